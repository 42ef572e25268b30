package ota_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/utils/log"
)

// Whatever fails in Commit: committed is true exactly if the new binary is what boots.
func TestCommitTellsWhatBoots(t *testing.T) {
	late := 0
	faultfs.Each(t, faultfs.Options{Kinds: []faultfs.Kind{faultfs.Error}}, func(t *testing.T, d *faultfs.FS) {
		b := ota.Binary{Path: filepath.Join(d.Dir(), "baetyl"), Disk: d.Disk()}
		require.NoError(t, os.WriteFile(b.Path, []byte("old"), 0o755))
		require.NoError(t, os.WriteFile(b.Candidate(), []byte("new"), 0o755))
		d.Start()
		committed, err := b.Commit()
		d.Reboot()
		data, readErr := os.ReadFile(b.Path)
		require.NoError(t, readErr)
		require.Equal(t, map[bool]string{true: "new", false: "old"}[committed], string(data))
		require.Equal(t, d.Met(), err != nil)
		if committed && err != nil {
			late++
		}
	})
	require.NotZero(t, late, "no fault came after the rename")
}

// A candidate whose folder cannot be synced after the rename is committed all the same.
func TestCandidateIsCommittedWithoutTheSync(t *testing.T) {
	faultfs.Each(t, faultfs.Options{Kinds: []faultfs.Kind{faultfs.Error}}, func(t *testing.T, d *faultfs.FS) {
		b := ota.Binary{Path: filepath.Join(d.Dir(), "baetyl"), Disk: d.Disk()}
		require.NoError(t, os.WriteFile(b.Path, []byte("old"), 0o755))
		script := "#!/bin/sh\necho ready >&3\nread word <&4\ntest \"$word\" = go\n"
		require.NoError(t, os.WriteFile(b.Candidate(), []byte(script), 0o755))
		d.Start()
		committed, status, err := candidate(b).Run(t.Context())
		d.Reboot()
		data, readErr := os.ReadFile(b.Path)
		require.NoError(t, readErr)
		require.Equal(t, committed, strings.HasPrefix(string(data), "#!"))
		require.Equal(t, committed, err == nil)
		if committed {
			require.Zero(t, status, "it has heard go")
		}
	})
}

func candidate(b ota.Binary) ota.Candidate {
	return ota.Candidate{
		Binary: b, Healthy: time.Millisecond, Deadline: time.Minute, Grace: time.Second, Log: log.Discard(),
	}
}
