//go:build unix

package docker

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/logfile"
)

// Rotated files are read when they are compressed too, so that no line of theirs is written again.
func TestPlaceAfterCompression(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.log")
	at := time.Date(2026, 1, 2, 3, 4, 5, 1e6, time.UTC) // whole seconds are podman's
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for n := range 200_000 { // more than is held at once
		_, err := fmt.Fprintf(w, "%s [a] stdout: %60d\n", at.Format(logfile.Stamp), n)
		require.NoError(t, err)
	}
	_, err := fmt.Fprintf(w, "%s [a] stdout: x\n%s [a] stderr: y\n", at.Add(1e9).Format(logfile.Stamp),
		at.Add(2e9).Format(logfile.Stamp))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	old := filepath.Join(filepath.Dir(path), "svc-2026-01-02T03-04-07.000.log.gz")
	require.NoError(t, os.WriteFile(old, packed.Bytes(), 0o600))
	now := at.Add(1e9).Format(logfile.Stamp) + " [a] stdout: z\n" // of the same time, on the other side of the rotation
	require.NoError(t, os.WriteFile(path, []byte(now), 0o600))
	p, err := findPlace(path, "a", at)
	require.NoError(t, err)
	require.Equal(t, []string{"x", "z"}, p.streams[0].lines)
	require.Equal(t, []string{"y"}, p.streams[1].lines)
	require.Equal(t, []string{"x", "z", "y"}, p.linesSince(at))
	require.Equal(t, []string{"y"}, p.linesSince(at.Add(1500*time.Millisecond)))

	p, err = findPlace(filepath.Join(filepath.Dir(path), "svc.log"), "other", at)
	require.NoError(t, err)
	require.True(t, p.streams[0].at.IsZero(), "all files were read, and it is in none")
}

// A daemon that has rotated its files sends lines again to who follows, or ends; and the clock may be set back there.
// Each line is read once, in order.
func TestPlaceWhenTheDaemonRotates(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, step := range map[string]time.Duration{"a millisecond": 300, "longer": 2 * time.Millisecond} {
		for jump := range 2 {
			t.Run(fmt.Sprint(name, jump), func(t *testing.T) {
				var all []said
				var want []string
				for n := range 60 {
					line := said{n % 2 * jump, at.Add(time.Duration(n) * step), fmt.Sprint(n)}
					if n >= 40 && jump > 0 {
						line.at = line.at.Add(-20 * step)
					}
					all, want = append(all, line), append(want, line.text)
				}
				asked := 0
				ask := func(since string, follow bool) (io.ReadCloser, error) {
					if asked++; !follow || asked > 1 {
						return daemonOf(t, all, false)(since, follow)
					}
					return daemonOf(t, append(all[:30:30], all[20:]...), false)(since, follow)
				}
				var got []string
				p := &place{}
				for range 3 { // as at the end of the instance
					require.NoError(t, p.read(ask, func(_ int, _ time.Time, text string) { got = append(got, text) }))
				}
				require.Equal(t, want, got)
			})
		}
	}
}

// Whatever a compressed file holds, its end is lines or an error.
func FuzzUnpackTail(f *testing.F) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte("2026-01-02T03:04:05.000Z [a] stdout: x\n"))
	_ = w.Close()
	f.Add(packed.Bytes())
	f.Add(packed.Bytes()[:20])
	f.Fuzz(func(t *testing.T, data []byte) {
		if lines, err := unpackTail(bytes.NewReader(data)); err == nil {
			(&place{}).backwards(lines, "a")
		}
	})
}

// A service that writes in the folder of the output keeps no master from taking over, and shows it no other file.
func TestPlaceOfWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	require.NoError(t, os.WriteFile(other, []byte("2026-11-30T01:02:03.000Z [hub] stdout: secret\n"), 0o600))
	require.NoError(t, os.Symlink(other, filepath.Join(dir, "link.log")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe.log"), 0o600))
	for _, name := range []string{"link.log", "pipe.log"} {
		p, err := findPlace(filepath.Join(dir, name), "hub", time.Time{})
		require.Error(t, err, name)
		require.Empty(t, p.linesSince(time.Time{}), name)
	}
}
