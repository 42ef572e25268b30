package file_test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/file"
)

type zipped struct {
	name string
	mode fs.FileMode
	data string
}

func archive(t testing.TB, entries ...zipped) string {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		f, err := w.CreateHeader(h)
		require.NoError(t, err)
		_, err = f.Write([]byte(e.data))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	path := filepath.Join(t.TempDir(), "a.zip")
	require.NoError(t, os.WriteFile(path, buf.Bytes(), 0o600))
	return path
}

var ample = file.Limits{Bytes: 1 << 20, Files: 100}

func TestUnzipKeepsPermissionsWithoutSetuid(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v")
	require.NoError(
		t,
		file.Unzip(
			archive(t, zipped{"bin/run", 0o755 | fs.ModeSetuid, "x"}, zipped{"d/", fs.ModeDir | 0o755, ""}),
			dir,
			ample,
		),
	)
	st, err := os.Stat(filepath.Join(dir, "bin/run"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o755), st.Mode())
}

func TestUnzipCannotLeaveItsFolder(t *testing.T) {
	for _, e := range []zipped{
		{"../v-evil/x", 0o644, "x"}, {"/etc/x", 0o644, "x"}, {"a/../../x", 0o644, "x"},
		{"l", 0o777 | fs.ModeSymlink, "/etc/passwd"},
	} {
		base := t.TempDir()
		require.Error(t, file.Unzip(archive(t, e), filepath.Join(base, "v"), ample), e.name)
		left, _ := filepath.Glob(base + "/*")
		require.Len(t, left, 1)
	}
	// A link that is there already is no way out either.
	dir, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "l")))
	require.Error(t, file.Unzip(archive(t, zipped{"l/x", 0o644, "x"}), dir, ample))
}

func TestUnzipLimits(t *testing.T) {
	bomb := archive(t, zipped{"a", 0o644, string(make([]byte, 5000))}, zipped{"b", 0o644, string(make([]byte, 5000))})
	require.ErrorIs(t, file.Unzip(bomb, t.TempDir(), file.Limits{Bytes: 9999, Files: 5}), file.ErrLimit)
	require.ErrorIs(t, file.Unzip(bomb, t.TempDir(), file.Limits{Bytes: 1 << 20, Files: 1}), file.ErrLimit)
	require.NoError(t, file.Unzip(bomb, t.TempDir(), file.Limits{Bytes: 10000, Files: 2}))
}

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

func FuzzUnzip(f *testing.F) {
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, data []byte) {
		base := t.TempDir()
		path := filepath.Join(base, "a.zip")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		_ = file.Unzip(path, filepath.Join(base, "v"), ample)
		left, _ := filepath.Glob(base + "/*")
		if len(left) > 2 {
			t.Fatalf("unpacked outside of the folder: %v", left)
		}
	})
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
