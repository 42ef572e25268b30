package file_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/file"
)

const (
	unix    = 3 << 8
	windows = 10 << 8
	dos     = 0
)

// raw is an entry as it is written, whatever it says.
type raw struct {
	name   string
	maker  uint16
	attrs  uint32 // external; of unix the mode, shifted
	method uint16
	flags  uint16
	data   string
}

func mode(m uint32) uint32 { return m << 16 }

func link(name, target string) raw {
	return raw{name: name, maker: unix, attrs: mode(syscall.S_IFLNK | 0o777), data: target}
}

func plain(name string) raw {
	return raw{name: name, maker: unix, attrs: mode(syscall.S_IFREG | 0o644), data: name}
}

func rawArchive(t testing.TB, entries ...raw) string {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		f, err := w.CreateRaw(&zip.FileHeader{
			Name: e.name, CreatorVersion: e.maker | 20, ReaderVersion: 20, ExternalAttrs: e.attrs, Method: e.method,
			Flags: e.flags, CRC32: crc32.ChecksumIEEE([]byte(e.data)),
			CompressedSize64: uint64(len(e.data)), UncompressedSize64: uint64(len(e.data)),
		})
		require.NoError(t, err)
		_, err = f.Write([]byte(e.data))
		require.NoError(t, err)
	}
	return saved(t, w, &buf)
}

// found is what lies below dir: folders end with a slash, links say where they lead.
func found(t testing.TB, dir string) []string {
	var out []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		switch {
		case err != nil || name == ".":
		case e.IsDir():
			out = append(out, name+"/")
		case e.Type() == fs.ModeSymlink:
			to, _ := os.Readlink(path)
			out = append(out, name+" -> "+to)
		default:
			out = append(out, name)
		}
		return err
	}))
	return out
}

// What makers of archives write in different ways gives the tree that they have packed.
func TestUnzipOfOtherMakers(t *testing.T) {
	for name, c := range map[string]struct {
		entries []raw
		want    []string
	}{
		"backslashes of windows": {
			[]raw{{name: `bin\`, maker: windows}, {name: `bin\run`, maker: windows}, {name: `lib\a\b.py`, maker: dos}},
			[]string{"bin/", "bin/run", "lib/", "lib/a/", "lib/a/b.py"},
		},
		"backslashes of unix are letters": {[]raw{plain(`dev-\x2d.device`)}, []string{`dev-\x2d.device`}},
		"links that stay inside": {
			[]raw{
				plain("lib/python3.9/os.py"), link("lib/python", "python3.9"), link("bin", "lib/../lib"),
				link("lib/up", ".."), link("later", "made/when/it/runs"), link("a/b/c", "../../lib/python"),
			},
			[]string{
				"a/", "a/b/", "a/b/c -> ../../lib/python", "bin -> lib/../lib", "later -> made/when/it/runs", "lib/",
				"lib/python -> python3.9", "lib/python3.9/", "lib/python3.9/os.py", "lib/up -> ..",
			},
		},
		"a link before what it leads to": {[]raw{link("l", "d/f"), plain("d/f")}, []string{"d/", "d/f", "l -> d/f"}},
		"folders named twice, or only in names": {
			[]raw{plain("d/f"), {name: "d/", maker: unix}, {name: "d/", maker: unix}, plain("./d//g")},
			[]string{"d/", "d/f", "d/g"},
		},
		"the folder itself":   {[]raw{{name: "./", maker: unix}, plain("f")}, []string{"f"}},
		"names that differ":   {[]raw{plain("A"), plain("a"), plain("e\u0301"), plain("\u00e9")}, []string{"A", "a", "e\u0301", "\u00e9"}},
		"a colon":             {[]raw{plain("a:b")}, []string{"a:b"}},
		"nothing":             {nil, nil},
		"dots that are names": {[]raw{plain("..."), plain("a..b"), plain("d./f")}, []string{"...", "a..b", "d./", "d./f"}},
	} {
		dir := filepath.Join(t.TempDir(), "v")
		require.NoError(t, file.Unzip(rawArchive(t, c.entries...), dir, ample), name)
		require.Equal(t, c.want, found(t, dir), name)
	}
}

// What would not be the tree that was packed is refused, and nothing is written.
func TestUnzipRefuses(t *testing.T) {
	deep := link("h0", "d")
	chain := []raw{plain("d/f"), deep}
	for n := range 45 {
		chain = append(chain, link(fmt.Sprint("h", n+1), fmt.Sprint("h", n)))
	}
	for name, c := range map[string]struct {
		entries []raw
		text    string
	}{
		"encrypted":           {[]raw{{name: "f", maker: unix, flags: 1, method: 8}}, "is encrypted; pack it without a password"},
		"encrypted with AES":  {[]raw{{name: "f", maker: unix, flags: 1, method: 99}}, "is encrypted"},
		"deflate64":           {[]raw{{name: "f", maker: windows, method: 9}}, "is packed with deflate64; pack it with deflate"},
		"zstd":                {[]raw{{name: "f", maker: unix, method: 93}}, "zstd"},
		"a method of nobody":  {[]raw{{name: "f", maker: unix, method: 4711}}, "method 4711"},
		"a link out":          {[]raw{link("l", "../x")}, `"l": is a link to "../x": leads out of the archive`},
		"an absolute link":    {[]raw{link("d/l", "/etc/passwd")}, "leads out"},
		"a link out by links": {[]raw{link("d/e/up", "../.."), link("m", "d/e/up/..")}, `"m": is a link to "d/e/up/..": leads out`},
		"a link out by names": {[]raw{plain("d/f"), link("l", "nothing/../../x")}, "leads out"},
		"links in a circle":   {[]raw{link("a", "b"), link("b", "a")}, "in a circle"},
		"a link to itself":    {[]raw{link("a", "a/x")}, "in a circle"},
		"too many links":      {chain, "in a circle"},
		"an empty link":       {[]raw{link("l", "")}, "could be a path"},
		"a link too long":     {[]raw{link("l", strings.Repeat("x", 5000))}, "could be a path"},
		"a NUL in a link":     {[]raw{link("l", "a\x00b")}, "could be a path"},
		"below a link":        {[]raw{link("l", "d"), plain("l/x")}, `lies below "l", which is no folder`},
		"a link above":        {[]raw{plain("l/x"), link("l", "d")}, "has it twice"},
		"below a file":        {[]raw{plain("f"), plain("f/d/x")}, `lies below "f"`},
		"a file above":        {[]raw{plain("f/x"), plain("f")}, "has it twice"},
		"twice":               {[]raw{plain("d/f"), plain("d/./f")}, "has it twice; remove one"},
		"up":                  {[]raw{plain("a/../../x")}, "leaves the folder"},
		"up and back":         {[]raw{plain("a/../x")}, "leaves the folder"},
		"up, of windows":      {[]raw{{name: `..\x`, maker: windows}}, "leaves the folder"},
		"absolute":            {[]raw{plain("/etc/x")}, "leaves the folder"},
		"absolute of windows": {[]raw{{name: `\x`, maker: dos}}, "leaves the folder"},
		"a drive":             {[]raw{{name: `C:\x`, maker: dos}}, "starts with a drive"},
		"both":                {[]raw{{name: `a/b\c`, maker: windows}}, "slashes and backslashes"},
		"no name":             {[]raw{plain("")}, "has no name"},
		"a dot":               {[]raw{plain(".")}, "has no name"},
		"a NUL in a name":     {[]raw{plain("a\x00b")}, "NUL"},
		"not UTF-8":           {[]raw{plain("caf\x82")}, "is not in UTF-8"},
		"a pipe":              {[]raw{{name: "p", maker: unix, attrs: mode(syscall.S_IFIFO | 0o644)}}, "neither a file"},
		"a device":            {[]raw{{name: "p", maker: unix, attrs: mode(syscall.S_IFCHR | 0o644)}}, "neither a file"},
		"a socket":            {[]raw{{name: "p", maker: unix, attrs: mode(syscall.S_IFSOCK | 0o644)}}, "neither a file"},
		"folders without end": {[]raw{plain(strings.Repeat("d/", 2000) + "f")}, "more than 100 files"},
		"a name without end":  {[]raw{plain(strings.Repeat("x", 5000))}, "the name has 5000 bytes"},
	} {
		base := t.TempDir()
		err := file.Unzip(rawArchive(t, append([]raw{plain("first")}, c.entries...)...), filepath.Join(base, "v"), ample)
		require.ErrorContains(t, err, c.text, name)
		require.Less(t, len(err.Error()), 600, name)
		require.Empty(t, found(t, base), name)
	}
}

// Modes are those of the archive, whatever the mask of this process, but nobody else may write.
func TestUnzipModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	dir := filepath.Join(t.TempDir(), "v")
	require.NoError(t, file.Unzip(rawArchive(t,
		raw{name: "bin/run", maker: unix, attrs: mode(syscall.S_IFREG | 0o6775)},
		raw{name: "all", maker: unix, attrs: mode(syscall.S_IFREG | 0o666)},
		raw{name: "own", maker: unix, attrs: mode(syscall.S_IFREG | 0o600)},
		raw{name: "none", maker: unix},
		raw{name: "win", maker: windows},
		raw{name: "closed/", maker: unix, attrs: mode(syscall.S_IFDIR)},
	), dir, ample))
	for name, want := range map[string]fs.FileMode{
		"bin": fs.ModeDir | 0o755, "bin/run": 0o755, "all": 0o644, "own": 0o600, "none": 0o644, "win": 0o644,
		"closed": fs.ModeDir | 0o755,
	} {
		info, err := os.Lstat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, info.Mode(), name)
	}
}

// An archive behind a program, and with something behind it, is read; one that was cut off is refused.
func TestUnzipOfWhatIsAround(t *testing.T) {
	data, err := os.ReadFile(rawArchive(t, plain("f")))
	require.NoError(t, err)
	unzip := func(data []byte) ([]string, error) {
		base := t.TempDir()
		path := filepath.Join(base, "a.zip")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		dir := filepath.Join(base, "v")
		err := file.Unzip(path, dir, ample)
		if err != nil {
			return nil, err
		}
		return found(t, dir), nil
	}
	names, err := unzip(append([]byte("#!/bin/sh\nexit 1\n"), data...))
	require.NoError(t, err)
	require.Equal(t, []string{"f"}, names)
	names, err = unzip(append(bytes.Clone(data), "trailing"...))
	require.NoError(t, err)
	require.Equal(t, []string{"f"}, names)
	for n := range data {
		_, err = unzip(data[:n])
		require.Error(t, err, n)
	}
}
