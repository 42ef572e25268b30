package folder_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/engine/folder"
)

// deep makes n folders in each other below dir. Their path is longer than the system takes at once. It is not longer
// than that needs: go test keeps the path of each folder that a test opens, and needs six times that in memory.
func deep(t *testing.T, dir string, n int) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	at, err := os.OpenRoot(dir)
	require.NoError(t, err)
	for range n {
		name := "xxx"
		require.NoError(t, at.Mkdir(name, 0o755))
		next, err := at.OpenRoot(name)
		require.NoError(t, err)
		require.NoError(t, at.Close())
		at = next
	}
	require.NoError(t, at.WriteFile("f", nil, 0o600))
	require.NoError(t, at.Close())
}

// Folders so deep that one descriptor for each is more than a process may have are removed all the same.
func TestRemoveDeepFolders(t *testing.T) {
	top := filepath.Join(t.TempDir(), "run")
	deep(t, top, 2000)
	var before unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	few := before
	few.Cur = 64
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	var old, now runtime.MemStats
	runtime.ReadMemStats(&old)
	err := folder.Remove(top)
	runtime.ReadMemStats(&now)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before))
	require.NoError(t, err)
	require.NoDirExists(t, top)
	require.Less(t, now.Sys-min(old.Sys, now.Sys), uint64(64<<20), "bytes of memory")
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept")
	require.NoError(t, os.MkdirAll(kept, 0o755))
	require.NoError(t, os.WriteFile(kept+"/f", nil, 0o600))
	top := filepath.Join(dir, "top")
	for i := range 1000 {
		require.NoError(t, os.MkdirAll(filepath.Join(top, "a", strconv.Itoa(i), "b"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(top, "a", strconv.Itoa(i), "b/f"), nil, 0o400))
	}
	require.NoError(t, os.Symlink(kept, top+"/link"))
	require.NoError(t, os.Symlink(kept, top+"/a/link"))
	require.NoError(t, unix.Mkfifo(top+"/pipe", 0o600))
	require.NoError(t, folder.Remove(top))
	require.NoDirExists(t, top)
	require.NoError(t, folder.Remove(top), "twice")
	require.NoError(t, folder.Remove(filepath.Join(dir, "none/none")))
	require.NoError(t, os.Symlink(kept, top))
	require.NoError(t, folder.Remove(top))
	require.NoError(t, os.WriteFile(top, nil, 0o600))
	require.NoError(t, folder.Remove(top))
	require.NoFileExists(t, top)
	require.FileExists(t, kept+"/f")
}

// What is mounted stays, the rest goes, and the error is short.
func TestRemoveLeavesMounts(t *testing.T) {
	top := filepath.Join(t.TempDir(), "top")
	at := filepath.Join(top, "a", strings.Repeat("y", 250), strings.Repeat("z", 250))
	require.NoError(t, os.MkdirAll(at, 0o755))
	require.NoError(t, os.MkdirAll(top+"/a/rest", 0o755))
	if err := unix.Mount("none", at, "tmpfs", 0, ""); err != nil {
		t.Skip("this host does not let us mount: ", err)
	}
	require.NoError(t, os.WriteFile(at+"/f", nil, 0o600))
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	err := folder.Remove(top)
	require.True(t, errors.Is(err, unix.EBUSY), "%v", err)
	require.Less(t, len(err.Error()), 1024)
	require.NoDirExists(t, top+"/a/rest")
	moved, err := filepath.Glob(top + "/*/" + filepath.Base(at))
	require.NoError(t, err)
	require.Len(t, moved, 1)
	require.FileExists(t, moved[0]+"/f")
	require.NoError(t, unix.Unmount(moved[0], 0))
	require.NoError(t, folder.Remove(top))
	require.NoDirExists(t, top)
}
