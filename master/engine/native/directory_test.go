//go:build unix

package native

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine/folder"
)

// A service that makes its directory deep and large does not make the master's memory so.
func TestDirectoryThatIsDeep(t *testing.T) {
	work := t.TempDir()
	dir, volumes := filepath.Join(work, "svc"), filepath.Join(work, "volumes")
	require.NoError(t, os.MkdirAll(volumes+"/new", 0o755))
	require.NoError(t, os.MkdirAll(dir+"/etc", 0o755))
	require.NoError(t, os.Symlink(volumes+"/old", dir+"/old"))
	require.NoError(t, os.Symlink(volumes+"/old", dir+"/etc/old"))
	require.NoError(t, os.Symlink("/elsewhere", dir+"/etc/own"))
	at, err := os.OpenRoot(dir)
	require.NoError(t, err)
	for range 3000 {
		name := strings.Repeat("x", 250)
		require.NoError(t, at.Mkdir(name, 0o755))
		next, err := at.OpenRoot(name)
		require.NoError(t, err)
		require.NoError(t, at.Close())
		at = next
	}
	require.NoError(t, at.Close())
	t.Cleanup(func() { require.NoError(t, folder.Remove(dir)) })

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	links := []link{{target: "etc/new", source: volumes + "/new"}}
	require.NoError(t, build(dir, links, []string{volumes}, -1, -1))
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "bytes")
	for _, gone := range []string{"old", "etc/old"} {
		_, err := os.Lstat(filepath.Join(dir, gone))
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	for path, to := range map[string]string{"etc/own": "/elsewhere", "etc/new": volumes + "/new"} {
		now, err := os.Readlink(filepath.Join(dir, path))
		require.NoError(t, err)
		require.Equal(t, to, now)
	}
}
