package state_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

type value struct {
	Name  string            `json:"name,omitempty"`
	Parts map[string]string `json:"parts,omitempty"`
}

// bench is a file, and what was logged about it.
type bench struct {
	state.File[value]
	log bytes.Buffer
}

func newBench(t testing.TB) *bench {
	b := &bench{}
	b.File = state.File[value]{
		Path:    filepath.Join(t.TempDir(), "f.json"),
		What:    "list of parts",
		Then:    "there are none",
		Version: 1,
		Log:     log.NewTo(&b.log, log.Config{Level: "debug"}),
	}
	return b
}

func (b *bench) write(t testing.TB, data string) {
	t.Helper()
	require.NoError(t, os.WriteFile(b.Path, []byte(data), 0o600))
}

func (b *bench) read(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(b.Path)
	require.NoError(t, err)
	return string(data)
}

// asides are the names of damaged files.
func (b *bench) asides(t testing.TB) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(b.Path))
	require.NoError(t, err)
	for _, e := range entries {
		if e.Name() != filepath.Base(b.Path) {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestSaveAndLoad(t *testing.T) {
	b := newBench(t)
	b.Path = filepath.Join(filepath.Dir(b.Path), "a", "b", "f.json")
	got, err := b.Load()
	require.NoError(t, err)
	require.Zero(t, got)
	for _, v := range []value{{Name: "x", Parts: map[string]string{"ü\n": `"`}}, {}} {
		require.NoError(t, b.Save(v))
		got, err = b.Load()
		require.NoError(t, err)
		require.Equal(t, v, got)
		info, err := os.Stat(b.Path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
		// A program from before there were versions reads it too.
		var old value
		require.NoError(t, json.Unmarshal([]byte(b.read(t)), &old))
		require.Equal(t, v, old)
	}
	require.NoError(t, b.Remove())
	require.NoError(t, b.Remove())
	require.NoFileExists(t, b.Path)
	require.Empty(t, b.log.String())
}

func TestList(t *testing.T) {
	f := state.File[[]value]{Path: filepath.Join(t.TempDir(), "f"), What: "list", Version: 1, Log: log.Discard()}
	for _, v := range [][]value{{{Name: "x"}, {Name: "y"}}, {}} {
		require.NoError(t, f.Save(v))
		got, err := f.Load()
		require.NoError(t, err)
		require.Equal(t, v, got)
		data, err := os.ReadFile(f.Path)
		require.NoError(t, err)
		var old []value
		require.NoError(t, json.Unmarshal(data, &old))
		require.Equal(t, append([]value{{}}, v...), old)
	}
	require.ErrorContains(t, f.Save(nil), "neither an object nor a list")
}

func TestForm(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.Save(value{Name: "x"}))
	require.Equal(t, `{"statefile":{"version":1,"sha256":"`+
		`23268dd8b972b3cd41c00ea93e1be80e647103d329f330eed65b10d200cb7ae3`+`"}
, "name": "x"
}
`, b.read(t), "files of this form are on devices")
}

func TestOlderVersions(t *testing.T) {
	b := newBench(t)
	b.write(t, `{"name":"from before"}`)
	got, err := b.Load()
	require.NoError(t, err)
	require.Equal(t, value{Name: "from before"}, got)

	require.NoError(t, b.Save(value{Name: "one"}))
	b.Version = 3
	got, err = b.Load()
	require.NoError(t, err)
	require.Equal(t, value{Name: "one"}, got, "same form")
	b.Old = func(version int, data []byte) (v value, err error) {
		require.Equal(t, 1, version)
		return value{Name: string(data)}, nil
	}
	got, err = b.Load()
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"one"}`, got.Name, "without the first line")
	b.Old = func(int, []byte) (value, error) { return value{Name: "half"}, errors.New("boom") }
	got, err = b.Load()
	require.ErrorIs(t, err, state.ErrDamaged)
	require.Zero(t, got)
}

func TestNewerVersion(t *testing.T) {
	b := newBench(t)
	b.Version = 2
	require.NoError(t, b.Save(value{Name: "new"}))
	data := b.read(t)
	b.Version = 1
	_, err := b.Load()
	require.ErrorIs(t, err, state.ErrNewer)
	require.ErrorContains(t, err, b.Path+" has version 2, this program reads up to 1; install the program that wrote it")
	require.ErrorIs(t, b.Save(value{}), state.ErrNewer)
	require.ErrorIs(t, b.Remove(), state.ErrNewer)
	require.Equal(t, data, b.read(t), "left alone")
	require.Empty(t, b.asides(t))
}

func TestDamage(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.Save(value{Name: "x", Parts: map[string]string{"a": "b"}}))
	whole := b.read(t)
	cases := map[string]string{
		"empty":                 "",
		"zeros":                 string(make([]byte, len(whole))),
		"half":                  `{"name":`,
		"text":                  "hello",
		"number":                "1",
		"more":                  `{"name":"x"} {}`,
		"not UTF-8":             "{\"name\":\"\xff\"}",
		"huge":                  whole[:len(whole)-1] + strings.Repeat(" ", state.MaxSize),
		"other type":            `{"name":1}`,
		"list":                  `[]`,
		"written by hand":       strings.Replace(whole, `"x"`, `"y"`, 1),
		"formatted":             strings.Replace(whole, "\n", " ", 1),
		"newer, wrong checksum": strings.Replace(whole, `"version":1`, `"version":2`, 1),
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) { checkDamaged(t, data) })
	}
	for i := range whole {
		for _, data := range []string{whole[:i], whole[:i] + string(whole[i]^1) + whole[i+1:], whole[:i] +
			string(make([]byte, len(whole)-i))} {
			checkDamaged(t, data)
		}
	}
}

func checkDamaged(t *testing.T, data string) {
	t.Helper()
	b := newBench(t)
	b.write(t, data)
	got, err := b.Load()
	require.ErrorIs(t, err, state.ErrDamaged, "%q", data)
	require.ErrorContains(t, err, b.Path+".damaged-1")
	require.Zero(t, got)
	require.NoFileExists(t, b.Path)
	kept, err := os.ReadFile(b.Path + ".damaged-1")
	require.NoError(t, err)
	require.Equal(t, data, string(kept))
	require.Contains(t, b.log.String(), "list of parts is damaged and was moved aside; there are none")
	require.Contains(t, b.log.String(), b.Path+".damaged-1")
	got, err = b.Load()
	require.NoError(t, err)
	require.Zero(t, got)
	require.NoError(t, b.Save(value{Name: "next"}))
}

func TestFolderAndPipe(t *testing.T) {
	b := newBench(t)
	require.NoError(t, os.MkdirAll(filepath.Join(b.Path, "x"), 0o755))
	_, err := b.Load()
	require.ErrorIs(t, err, state.ErrDamaged)
	require.NoError(t, syscall.Mkfifo(b.Path, 0o600))
	_, err = b.Load()
	require.ErrorIs(t, err, state.ErrDamaged)
	require.Equal(t, []string{"f.json.damaged-1", "f.json.damaged-2"}, b.asides(t))
}

func TestDamagedFilesThatAreKept(t *testing.T) {
	b := newBench(t)
	b.write(t, "")
	require.NoError(t, os.WriteFile(b.Path+".damaged-x", nil, 0o600)) // somebody else's
	for n := range 12 {
		b.write(t, strings.Repeat("x", n))
		_, err := b.Load()
		require.ErrorIs(t, err, state.ErrDamaged)
	}
	require.Equal(
		t,
		[]string{"f.json.damaged-10", "f.json.damaged-11", "f.json.damaged-12", "f.json.damaged-x"},
		b.asides(t),
	)
}

// What cannot be read may be whole.
func TestUnreadableIsLeftAlone(t *testing.T) {
	for n := 1; n <= 3; n++ {
		d := faultfs.New(t, faultfs.Fault{N: n, Kind: faultfs.Error})
		b := newBench(t)
		b.Path, b.Disk = filepath.Join(d.Dir(), "f"), d.Disk()
		require.NoError(t, b.Save(value{Name: "x"}))
		d.Start()
		_, err := b.Load()
		require.ErrorIs(t, err, syscall.EIO)
		require.NotErrorIs(t, err, state.ErrDamaged)
		d.Reboot()
		got, err := b.Load()
		require.NoError(t, err)
		require.Equal(t, "x", got.Name)
	}
}

// Whatever fails, and when: the file has the old value or the new one, the new one if Save said so; a damaged one is
// there or aside.
func TestFaults(t *testing.T) {
	after := func(b *bench) *bench { // the next process
		next := &bench{File: b.File}
		next.Disk.FS = nil
		return next
	}
	t.Run("first", func(t *testing.T) {
		faultfs.Each(t, faultfs.Options{}, func(t *testing.T, d *faultfs.FS) {
			b := newBench(t)
			b.Path, b.Disk = filepath.Join(d.Dir(), "a", "f"), d.Disk()
			d.Start()
			saved := b.Save(value{Name: "new"})
			d.Reboot()
			got, err := after(b).Load()
			require.NoError(t, err)
			if saved == nil {
				require.Equal(t, "new", got.Name)
			} else {
				require.Contains(t, []string{"", "new"}, got.Name)
			}
		})
	})
	t.Run("replace", func(t *testing.T) {
		faultfs.Each(t, faultfs.Options{}, func(t *testing.T, d *faultfs.FS) {
			b := newBench(t)
			b.Path, b.Disk = filepath.Join(d.Dir(), "f"), d.Disk()
			require.NoError(t, b.Save(value{Name: "old"}))
			d.Start()
			saved := b.Save(value{Name: "new"})
			d.Reboot()
			got, err := after(b).Load()
			require.NoError(t, err)
			if saved == nil {
				require.Equal(t, "new", got.Name)
			} else {
				require.Contains(t, []string{"old", "new"}, got.Name)
			}
		})
	})
	t.Run("remove", func(t *testing.T) {
		faultfs.Each(t, faultfs.Options{}, func(t *testing.T, d *faultfs.FS) {
			b := newBench(t)
			b.Path, b.Disk = filepath.Join(d.Dir(), "f"), d.Disk()
			require.NoError(t, b.Save(value{Name: "old"}))
			d.Start()
			removed := b.Remove()
			d.Reboot()
			got, err := after(b).Load()
			require.NoError(t, err)
			if removed == nil {
				require.Zero(t, got)
			}
		})
	})
	t.Run("aside", func(t *testing.T) {
		faultfs.Each(t, faultfs.Options{}, func(t *testing.T, d *faultfs.FS) {
			b := newBench(t)
			b.Path, b.Disk = filepath.Join(d.Dir(), "f"), d.Disk()
			b.write(t, "{half")
			d.Start()
			_, err := b.Load()
			require.Error(t, err)
			d.Reboot()
			if errors.Is(err, state.ErrDamaged) {
				require.NoFileExists(t, b.Path)
			} else {
				_, _ = after(b).Load()
			}
			data, err := os.ReadFile(b.Path + ".damaged-1")
			require.NoError(t, err)
			require.Equal(t, "{half", string(data))
		})
	})
}

// Any content is a value or damage; a value that was saved comes back.
func FuzzLoad(f *testing.F) {
	b := newBench(f)
	for _, v := range []value{{}, {Name: "x"}, {Parts: map[string]string{"a": "b"}}} {
		require.NoError(f, b.Save(v))
		f.Add([]byte(b.read(f)))
	}
	for _, s := range []string{"", "{", "[", `[{"statefile":{"version":1,"sha256":""}}`, `{"statefile":{"version":9}}`,
		"\xff", `{"name":"x"}`, "null", "\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench(t)
		b.Disk = faultfs.New(t, faultfs.Fault{}).Disk() // spares the real disk
		b.write(t, string(data))
		v, err := b.Load()
		switch {
		case errors.Is(err, state.ErrNewer):
			require.Equal(t, string(data), b.read(t))
			return
		case err != nil:
			require.ErrorIs(t, err, state.ErrDamaged)
			require.Zero(t, v)
			require.NoFileExists(t, b.Path)
		}
		require.NoError(t, b.Save(v))
		again, err := b.Load()
		require.NoError(t, err)
		want, _ := json.Marshal(v)
		got, _ := json.Marshal(again)
		require.JSONEq(t, string(want), string(got))
	})
}
