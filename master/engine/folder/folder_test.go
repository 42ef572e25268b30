//go:build unix

package folder_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine/folder"
)

// workdir returns the working directory of a master, with the data folder.
func workdir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, folder.Data), 0o755))
	return dir
}

func link(t *testing.T, to, path string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.Symlink(to, path))
}

// The owner of a working directory may have moved its data; what is in it has the path of the other place.
func TestFixedRootsMayBeLinks(t *testing.T) {
	for _, root := range []string{"etc", "var", "var/db", folder.Data, "var/log"} {
		dir, err := filepath.EvalSymlinks(t.TempDir())
		require.NoError(t, err)
		other, err := filepath.EvalSymlinks(t.TempDir())
		require.NoError(t, err)
		link(t, other, filepath.Join(dir, root))
		got, err := folder.Source(dir, root+"/a/b", false)
		require.NoError(t, err, root)
		require.Equal(t, filepath.Join(other, "a/b"), got)
		require.DirExists(t, got)
		got, err = folder.Source(dir, root, true)
		require.NoError(t, err, root)
		require.Equal(t, other, got)
	}
}

// A service that writes a volume can put a link at the path of another volume in it. It is not followed, wherever it
// leads, and nothing is made behind it.
func TestLinkOfAServiceIsNotFollowed(t *testing.T) {
	dir := workdir(t)
	outer := filepath.Join(dir, folder.Data, "n")
	program := filepath.Join(dir, "bin/baetyl")
	application := filepath.Join(dir, folder.Data, "application.yml")
	for _, f := range []string{program, application} {
		require.NoError(t, os.MkdirAll(filepath.Dir(f), 0o755))
		require.NoError(t, os.WriteFile(f, []byte("x"), 0o600))
	}
	outside := t.TempDir()
	for name, to := range map[string]string{
		"file": "../application.yml", "program": "../../../../bin/baetyl", "absolute": application, "up": "..",
		"inside": "here", "outside": outside, "nothing": "none",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(outer, "here"), 0o755))
		link(t, to, filepath.Join(outer, name))
		for _, path := range []string{name, name + "/new"} {
			for _, readonly := range []bool{false, true} {
				_, err := folder.Source(dir, folder.Data+"/n/"+path, readonly)
				require.Error(t, err, path)
				require.Contains(t, err.Error(), filepath.Join(outer, name), path)
			}
		}
	}
	_, err := folder.Source(dir, folder.Data+"/n/up", false)
	require.ErrorContains(t, err, "is a link, which a service may have made")
	require.NoDirExists(t, filepath.Join(outer, "none"))
	require.NoDirExists(t, filepath.Join(outer, "here/new"))
	require.NoDirExists(t, filepath.Join(dir, folder.Data, "new"))
	require.NoDirExists(t, filepath.Join(outside, "new"))

	got, err := folder.Source(dir, folder.Data+"/n/here/x", false)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(outer, "here/x"), got)
	got, err = folder.Source(dir, folder.Data+"/application.yml", true)
	require.NoError(t, err)
	require.Equal(t, application, got)
	_, err = folder.Source(dir, folder.Data+"/none/x", true)
	require.ErrorContains(t, err, "none/x does not exist, and a read-only volume is not created")
}
