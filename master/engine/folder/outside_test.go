//go:build unix

package folder_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine/folder"
)

// A path with a slash at its beginning lies in the working directory all the same. Where a file of the host is meant,
// no empty folder takes its place, and the text says what to do.
func TestFilesOfTheHost(t *testing.T) {
	host, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	l, err := net.Listen("unix", filepath.Join(host, "s"))
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, syscall.Mkfifo(filepath.Join(host, "pipe"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(host, "file"), nil, 0o600))
	require.NoError(t, os.Symlink("/dev/null", filepath.Join(host, "by-id")))
	require.NoError(t, os.Mkdir(filepath.Join(host, "folder"), 0o755))
	for path, want := range map[string]string{
		"/dev/null":                           "/dev/null is a device of the host; a volume lies below the working directory",
		"//dev/../dev/null":                   "'..' is not allowed",
		"//dev//null":                         "write /dev/null in devices of the service",
		filepath.Join(host, "by-id"):          "is a device of the host",
		filepath.Join(host, "s"):              "is a socket of the host",
		filepath.Join(host, "pipe"):           "is a pipe of the host",
		filepath.Join(host, "file"):           "is a file of the host",
		filepath.Join(host, "folder"):         "",
		filepath.Join(host, "nothing"):        "",
		filepath.Join(host, "file")[1:]:       "", // without the slash: below the working directory
		filepath.Join(host, "folder", "x/y"):  "",
		filepath.Join(host, "file", "x"):      "",
		filepath.Join("/dev", "null", "x"):    "",
		"/" + folder.Data + "/no/such/folder": "",
	} {
		for _, readonly := range []bool{false, true} {
			dir := workdir(t)
			_, err := folder.Find(dir, path, readonly)
			_, made := folder.Source(dir, path, readonly)
			if want == "" {
				if !readonly {
					require.NoError(t, err, path)
					require.NoError(t, made, path)
				}
				continue
			}
			require.ErrorContains(t, err, want, path)
			require.ErrorContains(t, made, want, path)
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, entries, 1, "nothing was made but var")
		}
	}
}

// An empty folder that a version before has made serves on, and is no place for a new application. One with content
// is what was meant.
func TestFolderInPlaceOfADevice(t *testing.T) {
	dir := workdir(t)
	made := filepath.Join(dir, "dev/null")
	require.NoError(t, os.MkdirAll(made, 0o755))
	got, err := folder.Source(dir, "/dev/null", false)
	require.NoError(t, err)
	require.Equal(t, made, got)
	_, err = folder.Find(dir, "/dev/null", false)
	require.ErrorContains(t, err, "is a device of the host")
	require.NoError(t, os.WriteFile(filepath.Join(made, "x"), nil, 0o600))
	_, err = folder.Find(dir, "/dev/null", false)
	require.NoError(t, err)
}

// Find makes nothing.
func TestFind(t *testing.T) {
	dir := workdir(t)
	got, err := folder.Find(dir, folder.Data+"/a/b", false)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, folder.Data, "a/b"), got)
	require.NoDirExists(t, filepath.Join(dir, folder.Data, "a"))
	_, err = folder.Find(dir, folder.Data+"/a/b", true)
	require.ErrorContains(t, err, "does not exist, and a read-only volume is not created")
}
