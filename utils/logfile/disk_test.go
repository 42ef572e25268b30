//go:build unix

package logfile_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/logfile"
)

func text(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// until writes lines until ok.
func until(t *testing.T, f *logfile.File, line string, ok func() bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		f.Line(time.Now(), "hub", logfile.Stdout, line)
		require.NoError(t, f.Flush(in(t, time.Minute)))
		return ok()
	}, time.Minute, 10*time.Millisecond)
}

// Whatever others do to the file, lines are in the file of this name a second later.
func TestFileIsOpenedAgain(t *testing.T) {
	there := func(path string) func() bool {
		return func() bool {
			data, _ := os.ReadFile(path) // not there yet
			return strings.Contains(string(data), "after")
		}
	}
	for _, c := range []struct {
		name string
		do   func(path string) error
	}{
		{"moved", func(path string) error { return os.Rename(path, path+".1") }},
		{"removed", os.Remove},
		{"folder removed", func(path string) error { return os.RemoveAll(filepath.Dir(path)) }},
		{"replaced", func(path string) error {
			if err := os.WriteFile(path+".new", []byte("new\n"), 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}},
		{"cut", func(path string) error { return os.Truncate(path, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, path := create(t, logfile.Limits{Size: 1 << 30})
			f.Line(time.Now(), "hub", logfile.Stdout, "before")
			require.Contains(t, read(t, f, path), "before")
			require.NoError(t, c.do(path))
			until(t, f, "after", there(path))
			require.NotContains(t, text(t, path), "before")
			require.NotContains(t, text(t, path), "\x00", "no hole")
		})
	}
}

// A line that a killed process left without its end does not swallow the next.
func TestUnfinishedLastLine(t *testing.T) {
	f, path := create(t, logfile.Limits{})
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte("2026 [hub] stdout: unfini"), 0o640))
	f.Line(time.Now(), "hub", logfile.Stdout, "next")
	require.Equal(t, "[hub] stdout: unfini\n[hub] stdout: next\n", bare(read(t, f, path)))
}

// Others may not make the file a link to what they cannot write. An administrator may.
func TestSymbolicLinks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give links to others")
	}
	f, path := create(t, logfile.Limits{})
	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.Symlink(victim, path))
	require.NoError(t, os.WriteFile(victim, nil, 0o600))
	require.NoError(t, os.Lchown(path, 12345, 12345))
	f.Line(time.Now(), "hub", logfile.Stdout, "x")
	require.Eventually(t, func() bool { return f.Trouble() != nil }, time.Minute, time.Millisecond)
	require.ErrorContains(t, f.Trouble(), "symbolic link of user 12345")
	require.Empty(t, text(t, victim))
	require.NoError(t, os.Lchown(path, 0, 0))
	require.Contains(t, read(t, f, path), "stdout: x\n")
	require.Contains(t, text(t, victim), "stdout: x\n")
}

// Root in a container is root: its link is no better than that of others.
func TestNoLinkIsFollowed(t *testing.T) {
	f, path := create(t, logfile.Limits{NoLink: true})
	f.SetLimits(logfile.Limits{Size: 1 << 20})
	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.Symlink(victim, path))
	f.Line(time.Now(), "hub", logfile.Stdout, "x")
	require.Eventually(t, func() bool { return f.Trouble() != nil }, time.Minute, time.Millisecond)
	require.ErrorContains(t, f.Trouble(), "symbolic link, which a container may have made")
	require.NoFileExists(t, victim)
	require.NoError(t, os.Remove(path))
	require.Contains(t, read(t, f, path), "stdout: x\n")
	require.NoFileExists(t, victim)
}

// listed returns the rotated files, the oldest first.
func listed(t *testing.T, path string) (old []string) {
	names, err := filepath.Glob(strings.TrimSuffix(path, ".log") + "-*")
	require.NoError(t, err)
	slices.Sort(names)
	return names
}

func gunzip(t *testing.T, path string) string {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(data)
}

// No line is lost by rotation, whole lines are in each file, and in the end the old ones are compressed.
func TestRotation(t *testing.T) {
	f, path := create(t, logfile.Limits{Size: 10000})
	const lines = 1000
	for n := range lines {
		f.Line(time.Now(), "hub", logfile.Stdout, fmt.Sprintf("%06d", n))
		if n == 0 {
			read(t, f, path)
			require.NoError(t, os.Chmod(path, 0o604))
			require.NoError(t, os.Chown(path, os.Geteuid(), 0))
		}
		if n%50 == 0 {
			read(t, f, path)
		}
	}
	last := read(t, f, path)
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(listed(t, path), func(name string) bool { return !strings.HasSuffix(name, ".log.gz") })
	}, time.Minute, 10*time.Millisecond, "%v", listed(t, path))
	var all string
	for _, name := range listed(t, path) {
		part := gunzip(t, name)
		require.LessOrEqual(t, len(part), 10000)
		require.True(t, strings.HasSuffix(part, "\n"))
		all += part
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o604), info.Mode(), "as the administrator wants it")
	}
	all += last
	require.Equal(t, lines, strings.Count(all, "\n"))
	require.Contains(t, bare(all), "[hub] stdout: 000499\n[hub] stdout: 000500\n")
}

// Rotated files go when they are too many or too old, those of earlier versions and of a killed process too; files of
// others stay.
func TestOldFilesGo(t *testing.T) {
	f, path := create(t, logfile.Limits{Size: 1 << 20, Backups: 3, Age: 48 * time.Hour})
	dir := filepath.Dir(path)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	stamp := func(age time.Duration) string {
		return "hub-" + time.Now().Add(-age).UTC().Format("2006-01-02T15-04-05.000")
	}
	keep := []string{stamp(time.Hour) + ".log.gz", stamp(2*time.Hour) + ".log.gz", stamp(3*time.Hour) + ".log.gz",
		"hub-2.log", "hub-2-2026-01-01T00-00-00.000.log.gz", "hub-2026.log"}
	gone := []string{stamp(4*time.Hour) + ".log", stamp(72*time.Hour) + ".log.gz", stamp(time.Minute) + ".log.gz.part"}
	for _, name := range slices.Concat(keep, gone) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	f.Line(time.Now(), "hub", logfile.Stdout, "x")
	want := slices.Sorted(slices.Values(append(keep, "hub.log")))
	require.Eventually(t, func() bool {
		var names []string
		entries, _ := os.ReadDir(dir) // the next attempt finds it
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return slices.Equal(names, want)
	}, time.Minute, 10*time.Millisecond)
}

func TestLimitsMayChange(t *testing.T) {
	f, path := create(t, logfile.Limits{})
	for range 100 {
		f.Line(time.Now(), "hub", logfile.Stdout, "x")
	}
	read(t, f, path)
	require.Empty(t, listed(t, path))
	f.SetLimits(logfile.Limits{Size: 1000})
	f.Line(time.Now(), "hub", logfile.Stdout, "y")
	require.Equal(t, "[hub] stdout: y\n", bare(read(t, f, path)))
	require.Len(t, listed(t, path), 1)
}
