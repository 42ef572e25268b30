package ota_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/ota"
)

// A file that is no program is told from a program that fails.
func TestCandidateIsNoProgram(t *testing.T) {
	b := ota.Binary{Path: filepath.Join(t.TempDir(), "baetyl")}
	require.NoError(t, os.WriteFile(b.Candidate(), []byte("version: v1\n"), 0o755))
	want := "exec format error; name a baetyl for " + runtime.GOOS + "/" + runtime.GOARCH
	require.ErrorContains(t, b.Check(t.Context(), "/", "conf.yml"), want)
}

// A candidate says whether it has a keeper; one that says nothing at all is none.
func TestHasKeeper(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		has    bool
		err    string
	}{
		"this version":   {"[ $1 = version ] && printf 'Version:      1\nKeeper:       1\n'", true, ""},
		"a later one":    {"printf 'Version: 9\nKeeper:       2\n'", true, ""},
		"before keepers": {"printf 'Version:      1\nGit revision: Keeper: 1\n'", false, ""},
		"says nothing":   {"true", false, ""},
		"fails":          {"echo no such command; exit 3", false, "exit status 3: no such command"},
	} {
		t.Run(name, func(t *testing.T) {
			b := ota.Binary{Path: filepath.Join(t.TempDir(), "baetyl")}
			require.NoError(t, os.WriteFile(b.Candidate(), []byte("#!/bin/sh\n"+c.script+"\n"), 0o755))
			has, err := b.HasKeeper(t.Context())
			require.Equal(t, c.has, has)
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
		})
	}
}
