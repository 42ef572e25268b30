package file_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/file"
)

func TestWriteAtomicReplacesAndLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, file.WriteAtomic(path, []byte("a"), 0o600))
	require.NoError(t, file.WriteAtomic(path, []byte("b"), 0o640))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "b", string(got))
	left, _ := filepath.Glob(filepath.Dir(path) + "/.*")
	require.Empty(t, left)
	sum, err := file.MD5(path)
	require.NoError(t, err)
	require.Equal(t, "kutf/uauL+w61xx3dTFXjw==", sum)
}

func TestUnpackedAndFree(t *testing.T) {
	n, err := file.Unpacked(archive(t, zipped{"a", 0o644, "12345"}, zipped{"d/b", 0o644, "678"}))
	require.NoError(t, err)
	require.EqualValues(t, 8, n)
	_, err = file.Unpacked("/no/such.zip")
	require.ErrorIs(t, err, fs.ErrNotExist)
	free, err := file.Free(t.TempDir())
	require.NoError(t, err)
	require.Positive(t, free)
	_, err = file.Free("/no/such/folder")
	require.Error(t, err)
}

// Links may point anywhere, also to nothing: they are left alone.
func TestSyncTree(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a/b/f"), nil, 0o400))
	require.NoError(t, os.Symlink("/no/such", filepath.Join(dir, "a/l")))
	require.NoError(t, file.SyncTree(dir))
	require.Error(t, file.SyncTree(filepath.Join(dir, "c")))
}

func TestTidy(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"state", ".state.123", ".state.", "state.1", ".state.1x", ".other.1"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	require.NoError(t, file.Tidy(filepath.Join(dir, "state")))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{".other.1", ".state.1x", "state", "state.1"}, names)
	require.Error(t, file.Tidy(filepath.Join(dir, "no", "state")))
}

// What works on the disk works in a Root of it, and gets no further.
func TestRoot(t *testing.T) {
	dir := t.TempDir()
	r, err := file.OS.Root(dir)
	require.NoError(t, err)
	defer r.Close()
	d := file.Disk{FS: r}
	require.NoError(t, d.MakeDir("a/b", 0o755))
	require.NoError(t, d.MakeDir("a/b", 0o755))
	require.NoError(t, d.WriteAtomic("a/b/f", []byte("1"), 0o640))
	require.NoError(t, d.Tidy("a/b/f"))
	require.NoError(t, d.SyncTree("."))
	data, err := os.ReadFile(filepath.Join(dir, "a/b/f"))
	require.NoError(t, err)
	require.Equal(t, "1", string(data))
	require.Error(t, d.MakeDir("a/b/f", 0o755))
	require.Error(t, d.WriteAtomic("../f", nil, 0o600))
	_, err = d.ReadFile("../x")
	require.Error(t, err)
	below, err := r.Root("a")
	require.NoError(t, err)
	defer below.Close()
	data, err = file.Disk{FS: below}.ReadHead("b/f", 0)
	require.NoError(t, err)
	require.Empty(t, data)
}
