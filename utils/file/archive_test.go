package file_test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	return saved(t, w, &buf)
}

// saved writes the archive that w has in buf to a file.
func saved(t testing.TB, w *zip.Writer, buf *bytes.Buffer) string {
	t.Helper()
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
		require.Empty(t, left, "nothing is written")
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

// Whatever an archive says, nothing is written outside of the folder, and no link leads out of it.
func FuzzUnzip(f *testing.F) {
	f.Add([]byte("PK\x05\x06"))
	for _, entries := range [][]raw{
		{plain("d/f"), link("l", "d/f"), link("d/up", "..")}, {link("a", "b"), link("b", "../a")},
		{{name: `d\f`, maker: windows, data: "x"}}, {plain("f"), {name: "d/", maker: unix}},
	} {
		data, err := os.ReadFile(rawArchive(f, entries...))
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		base := t.TempDir()
		path, dir := filepath.Join(base, "a.zip"), filepath.Join(base, "v")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		err := file.Unzip(path, dir, ample)
		left, _ := filepath.Glob(base + "/*")
		if len(left) > 2 {
			t.Fatalf("unpacked outside of the folder: %v", left)
		}
		if err != nil {
			return
		}
		require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Type() != fs.ModeSymlink {
				return err
			}
			to, err := filepath.EvalSymlinks(path)
			if err == nil && to != dir && !strings.HasPrefix(to, dir+"/") {
				t.Fatalf("%s leads to %s", path, to)
			}
			return nil
		}))
	})
}
