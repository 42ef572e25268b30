package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// deb is one with two members, the second of which has these files and folders.
func deb(t testing.TB, names ...string) []byte {
	t.Helper()
	var data bytes.Buffer
	z := gzip.NewWriter(&data)
	w := tar.NewWriter(z)
	for _, name := range names {
		h := &tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeDir}
		if name[len(name)-1] != '/' {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(name))
		}
		require.NoError(t, w.WriteHeader(h))
		if h.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, name)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	out := bytes.NewBufferString(arMagic)
	for _, m := range []struct{ name, content string }{{"debian-binary", "2.0\n"}, {contents, data.String()}} {
		fmt.Fprintf(out, "%-16s%-12d%-6d%-6d%-8s%-10d%s%s", m.name, 0, 0, 0, "100644", len(m.content), arEnd, m.content)
		if len(m.content)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

// listed is what the second member has.
func listed(t testing.TB, ar []byte) (names []string) {
	t.Helper()
	_, _, rest, err := member(ar[len(arMagic):])
	require.NoError(t, err)
	_, content, _, err := member(rest)
	require.NoError(t, err)
	z, err := gzip.NewReader(bytes.NewReader(content))
	require.NoError(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names
		}
		require.NoError(t, err)
		names = append(names, h.Name)
	}
}

// Folders of the system go, those below stay, and so does a file of that name.
func TestShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.deb")
	data := deb(t, "./usr/local/", "./usr/local/bin/", "./usr/local/bin/baetyl", "./usr/local/etc")
	require.NoError(t, os.WriteFile(path, data, 0o644))
	require.NoError(t, shared([]string{path, "/usr/local", "/usr/local/bin", "/usr/local/etc"}))
	out, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, []string{"./usr/local/bin/baetyl", "./usr/local/etc"}, listed(t, out))
	again, err := without(out, []string{"/usr/local"})
	require.NoError(t, err)
	require.Equal(t, out, again, "the same input gives the same bytes")
}

func TestSharedRefuses(t *testing.T) {
	good := deb(t, "./usr/")
	for name, ar := range map[string][]byte{
		"nothing": nil, "no archive": []byte("harm"), "cut in a header": good[:40], "cut in a member": good[:len(good)-9],
	} {
		_, err := without(ar, []string{"/usr"})
		require.Error(t, err, name)
	}
}

// What is read once is read again, and says the same.
func FuzzWithout(f *testing.F) {
	f.Add(deb(f, "./usr/", "./usr/bin/", "./usr/bin/x"))
	f.Add([]byte(arMagic))
	f.Fuzz(func(t *testing.T, ar []byte) {
		out, err := without(ar, []string{"/usr"})
		if err != nil {
			return
		}
		again, err := without(out, []string{"/usr"})
		require.NoError(t, err)
		require.Equal(t, out, again)
	})
}

// The bill of this test names itself, Go and the libraries that it links, and is the same twice.
func TestSBOM(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	program, err := os.Executable()
	require.NoError(t, err)
	var texts [][]byte
	for _, name := range []string{"a.json", "b.json"} {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, sbom([]string{program, "1.0.0", path}))
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		texts = append(texts, data)
	}
	require.Equal(t, texts[0], texts[1])
	var b bill
	require.NoError(t, json.Unmarshal(texts[0], &b))
	require.Equal(t, "2023-11-14T22:13:20Z", b.Metadata.Time)
	require.Regexp(t, `^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, b.Serial)
	var urls []string
	for _, part := range b.Parts {
		urls = append(urls, part.URL)
	}
	require.Contains(t, fmt.Sprint(urls), "pkg:golang/std@1.")
}

// A library that another one stands in for is named as the one that is linked.
func TestBillNamesWhatIsLinked(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
		{Path: "a.example/x", Version: "v1.0.0"},
		{Path: "a.example/y", Version: "v1.0.0", Replace: &debug.Module{Path: "b.example/y", Version: "v2.0.0"}},
	}}
	b := billOf(info, []byte("program"), "1.0.0", time.Unix(0, 0))
	require.Len(t, b.Parts, 3)
	require.Equal(t, "pkg:golang/std@1.26.8", b.Parts[0].URL)
	require.Equal(t, "pkg:golang/a.example/x@v1.0.0", b.Parts[1].URL)
	require.Equal(t, "pkg:golang/b.example/y@v2.0.0", b.Parts[2].URL)
}
