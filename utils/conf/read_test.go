//go:build unix

package conf_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/conf"
)

// What is there and cannot be read is told apart from what is missing, and nothing hangs.
func TestFilesThatAreNoFiles(t *testing.T) {
	dir, err := os.MkdirTemp("", "conf") // a short path, for the socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	in := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, syscall.Mkfifo(in("fifo"), 0o600))
	l, err := net.Listen("unix", in("socket"))
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, os.WriteFile(in("file"), []byte("mode: native"), 0o600))
	for link, to := range map[string]string{
		"to-file": "file", "to-fifo": "fifo", "to-nothing": "none", "folder": in("gone"), "chain": "to-nothing",
		"loop": "loop", "here": ".",
	} {
		require.NoError(t, os.Symlink(to, in(link)))
	}
	_, err = conf.ReadFile(in("to-file"))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		is   error
		want string
	}{
		"none":        {os.ErrNotExist, "open: no such file or directory"},
		"here/none":   {os.ErrNotExist, "open: no such file or directory"},
		"fifo":        {conf.ErrNotRegular, "is a FIFO; name a regular file"},
		"to-fifo":     {conf.ErrNotRegular, "is a FIFO; name a regular file"},
		"socket":      {conf.ErrNotRegular, "is a socket; name a regular file"},
		"here":        {conf.ErrNotRegular, "is a folder; name a file"},
		"to-nothing":  {conf.ErrDangling, "is a link to nothing, none; put that back, or remove the link"},
		"chain":       {conf.ErrDangling, "is a link to nothing, to-nothing; "},
		"folder/x/y":  {conf.ErrDangling, in("folder") + " is a link to nothing, " + in("gone") + "; "},
		"loop":        {syscall.ELOOP, "too many levels of symbolic links"},
		"file/x":      {syscall.ENOTDIR, "not a directory"},
		"fifo/../../": {conf.ErrNotRegular, "is a folder; name a file"},
	} {
		_, err := conf.ReadFile(in(name))
		require.ErrorIs(t, err, c.is, name)
		require.ErrorContains(t, err, in(name)+": ", name)
		require.ErrorContains(t, err, c.want, name)
		require.Equal(t, errors.Is(c.is, os.ErrNotExist), errors.Is(err, os.ErrNotExist), name)
	}
	_, err = conf.ReadFile(os.DevNull)
	require.EqualError(t, err, os.DevNull+": is a device; name a regular file")

	var s sample
	var warnings []string
	warn := conf.Warn(func(text string) { warnings = append(warnings, text) })
	require.NoError(t, conf.LoadOrDefault(in("none"), &s, warn))
	require.Empty(t, warnings)
	require.Equal(t, "docker", s.Mode)
	require.NoError(t, conf.LoadOrDefault(in("to-nothing"), &s, warn))
	require.Equal(t, []string{in("to-nothing") + ": is a link to nothing, none; put that back, or remove the link; " +
		"the defaults are used"}, warnings)
	require.ErrorIs(t, conf.LoadOrDefault(in("fifo"), &s, warn), conf.ErrNotRegular)
}

// A file without content is told apart from one that says nothing.
func TestEmptyFiles(t *testing.T) {
	var s sample
	for _, text := range []string{"", "\n", " \r\n\n", "\ufeff\n", "\x00", strings.Repeat("\x00", 4096)} {
		require.ErrorIs(t, conf.Parse("f", []byte(text), &s, conf.NonEmpty()), conf.ErrEmpty, "%q", text)
		if strings.Contains(text, "\x00") {
			require.ErrorIs(t, conf.Parse("f", []byte(text), &s), conf.ErrEmpty, "%q", text)
		} else {
			require.NoError(t, conf.Parse("f", []byte(text), &s), "%q", text)
		}
	}
	for _, text := range []string{"# nothing", "---\n", "{}", "mode: native"} {
		require.NoError(t, conf.Parse("f", []byte(text), &s, conf.NonEmpty()), "%q", text)
	}
	err := conf.Parse("f", []byte("mode: native\nkeep: 1s\n\x00\x00\x00"), &s)
	require.EqualError(t, err,
		"f: from line 3 on there are only zero bytes, as after a power cut; put the file back from a copy")
	require.NotErrorIs(t, err, conf.ErrEmpty)
}

// Nothing of a file is left unread: YAML ends a document at more places than at ---.
func TestWhatStandsBehindTheDocument(t *testing.T) {
	type document struct {
		A string         `yaml:"a"`
		B string         `yaml:"b"`
		C map[string]any `yaml:"c"`
	}
	for text, want := range map[string]string{
		"a: 1\n---\nb: 2":              "f: line 2: a second document begins",
		"a: 1\n...\nb: 2":              "f: line 3: a second document begins",
		"a: 1\n... # end\n\n# x\nb: 2": "f: line 5: a second document begins",
		"a: 1\r\n...\r\nb: 2\r\n":      "f: line 3: a second document begins",
		"a: 1\n...\n---\nb: 2":         "f: line 3: a second document begins",
		" a: 1\nb: 2":                  `f: not YAML: line 2 (at "b"): did not find expected <document start>; this line does`,
		"{}\na: 1":                     `f: not YAML: line 2 (at "a"): did not find expected <document start>`,
		"{a: 1}\nb: 2":                 `f: not YAML: line 2 (at "b"): did not find expected <document start>`,
		"{a: 1} b: 2":                  "f: not YAML: line 1",
		"a: 1\n...\n{":                 "f: line 3: a second document begins",
		"[]":                           "f: top level is not a mapping",
		"- ":                           "f: top level is not a mapping",
	} {
		require.ErrorContains(t, conf.Parse("f", []byte(text), new(document)), want, text)
	}
	for _, text := range []string{
		"a: 1\n...\n", "a: 1\n---\n", "---\na: 1\n...\n---\n# x\n...\n", "{a: 1}\n# x\n", "{}", "~", "null # x",
		"c:\n  d: |\n    ...\n    e: f\n", "c:\n  d: '\n    ... x\n    ...\n    '\n", "a: ...\nb: --- x", "%YAML 1.1\n---\na: 1\n",
	} {
		require.NoError(t, conf.Parse("f", []byte(text), new(document)), text)
	}
}
