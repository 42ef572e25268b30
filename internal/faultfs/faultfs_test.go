package faultfs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/utils/file"
)

// tree returns names and contents below dir.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || name == "." {
			return err
		}
		if e.IsDir() {
			out[name+"/"] = ""
			return nil
		}
		data, err := os.ReadFile(path)
		out[name] = string(data)
		return err
	}))
	return out
}

type files = map[string]string

func fill(t *testing.T, dir string, what files) {
	t.Helper()
	for name, data := range what {
		folder, _ := filepath.Split(dir + "/" + name)
		require.NoError(t, os.MkdirAll(folder, 0o755))
		if !strings.HasSuffix(name, "/") {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600))
		}
	}
}

func write(t *testing.T, d file.Disk, path, data string, flag int) file.File {
	t.Helper()
	f, err := d.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, 0o600)
	require.NoError(t, err)
	_, err = f.Write([]byte(data))
	require.NoError(t, err)
	return f
}

// What a power cut leaves, after run.
func TestModel(t *testing.T) {
	for name, c := range map[string]struct {
		before                 files
		run                    func(t *testing.T, d file.Disk, dir string)
		cut, names, data, torn files // what Cut, CutNames, CutData, CutTorn leave
		allSame                bool  // as cut
	}{
		"new file": {
			run: func(t *testing.T, d file.Disk, dir string) { write(t, d, dir+"/f", "1234", 0) },
			cut: files{}, names: files{}, data: files{"f": ""}, torn: files{"f": "12\x00\x00"},
		},
		"content is synced, name is not": {
			run: func(t *testing.T, d file.Disk, dir string) {
				require.NoError(t, write(t, d, dir+"/f", "1234", 0).Sync())
			},
			cut: files{}, names: files{}, data: files{"f": "1234"}, torn: files{"f": "1234"},
		},
		"name is synced, content is not": {
			run: func(t *testing.T, d file.Disk, dir string) {
				write(t, d, dir+"/f", "1234", 0)
				require.NoError(t, d.SyncDir(dir))
			},
			cut: files{"f": ""}, names: files{"f": "1234"}, data: files{"f": ""}, torn: files{"f": "12\x00\x00"},
		},
		"both are synced": {
			run: func(t *testing.T, d file.Disk, dir string) {
				require.NoError(t, write(t, d, dir+"/f", "1234", 0).Sync())
				require.NoError(t, d.SyncDir(dir))
			},
			cut: files{"f": "1234"}, allSame: true,
		},
		"written over": {
			before: files{"f": "abcdef"},
			run:    func(t *testing.T, d file.Disk, dir string) { write(t, d, dir+"/f", "1234", os.O_TRUNC) },
			cut:    files{"f": "abcdef"}, names: files{"f": "1234"}, data: files{"f": "abcdef"}, torn: files{"f": "12\x00\x00"},
		},
		"appended after a sync": {
			run: func(t *testing.T, d file.Disk, dir string) {
				f := write(t, d, dir+"/f", "1234", os.O_APPEND)
				require.NoError(t, f.Sync())
				require.NoError(t, d.SyncDir(dir))
				write(t, d, dir+"/f", "56", os.O_APPEND)
			},
			cut: files{"f": "1234"}, names: files{"f": "123456"}, data: files{"f": "1234"}, torn: files{"f": "1234\x00\x00"},
		},
		"rename": {
			before: files{"a": "1"},
			run:    func(t *testing.T, d file.Disk, dir string) { require.NoError(t, d.Rename(dir+"/a", dir+"/b")) },
			cut:    files{"a": "1"}, names: files{"a": "1"}, data: files{"b": "1"}, torn: files{"b": "1"},
		},
		"rename over another, synced": {
			before: files{"a": "1", "b": "2"},
			run: func(t *testing.T, d file.Disk, dir string) {
				require.NoError(t, d.Rename(dir+"/a", dir+"/b"))
				require.NoError(t, d.SyncDir(dir))
			},
			cut: files{"b": "1"}, allSame: true,
		},
		"rename over another, not synced": {
			before: files{"a": "1", "b": "2"},
			run:    func(t *testing.T, d file.Disk, dir string) { require.NoError(t, d.Rename(dir+"/a", dir+"/b")) },
			cut:    files{"a": "1", "b": "2"}, names: files{"a": "1", "b": "2"}, data: files{"b": "1"}, torn: files{"b": "1"},
		},
		"rename of a file that is not synced": {
			before: files{"b": "2"},
			run: func(t *testing.T, d file.Disk, dir string) {
				write(t, d, dir+"/a", "1234", 0)
				require.NoError(t, d.Rename(dir+"/a", dir+"/b"))
				require.NoError(t, d.SyncDir(dir))
			},
			cut: files{"b": ""}, names: files{"b": "1234"}, data: files{"b": ""}, torn: files{"b": "12\x00\x00"},
		},
		"rename to another folder is in both or in none": {
			before: files{"x/f": "1", "y/": ""},
			run: func(t *testing.T, d file.Disk, dir string) {
				require.NoError(t, d.Rename(dir+"/x/f", dir+"/y/f"))
				require.NoError(t, d.SyncDir(dir+"/x"))
			},
			cut: files{"x/": "", "y/": "", "y/f": "1"}, allSame: true,
		},
		"rename of a folder": {
			before: files{"x/f": "1", "x/g/h": "2", "y/": ""},
			run:    func(t *testing.T, d file.Disk, dir string) { require.NoError(t, d.Rename(dir+"/x", dir+"/y/x")) },
			cut:    files{"x/": "", "x/f": "1", "x/g/": "", "x/g/h": "2", "y/": ""},
			names:  files{"x/": "", "x/f": "1", "x/g/": "", "x/g/h": "2", "y/": ""},
			data:   files{"y/": "", "y/x/": "", "y/x/f": "1", "y/x/g/": "", "y/x/g/h": "2"},
			torn:   files{"y/": "", "y/x/": "", "y/x/f": "1", "y/x/g/": "", "y/x/g/h": "2"},
		},
		"remove": {
			before: files{"x/f": "1", "g": "2"},
			run: func(t *testing.T, d file.Disk, dir string) {
				require.NoError(t, d.RemoveAll(dir+"/x"))
				require.NoError(t, d.Remove(dir+"/g"))
			},
			cut:   files{"x/": "", "x/f": "1", "g": "2"},
			names: files{"x/": "", "x/f": "1", "g": "2"}, data: files{}, torn: files{},
		},
		"a file in a folder that is not synced": {
			run: func(t *testing.T, d file.Disk, dir string) {
				require.NoError(t, d.MkdirAll(dir+"/x/y", 0o755))
				require.NoError(t, d.WriteAtomic(dir+"/x/y/f", []byte("1"), 0o600))
			},
			cut: files{}, names: files{}, data: files{"x/": "", "x/y/": "", "x/y/f": "1"},
			torn: files{"x/": "", "x/y/": "", "x/y/f": "1"},
		},
		"a folder made durably": {
			run: func(t *testing.T, d file.Disk, dir string) {
				require.NoError(t, d.MakeDir(dir+"/x/y", 0o755))
				require.NoError(t, d.WriteAtomic(dir+"/x/y/f", []byte("1"), 0o600))
			},
			cut: files{"x/": "", "x/y/": "", "x/y/f": "1"}, allSame: true,
		},
		"an archive that is synced": {
			run: func(t *testing.T, d file.Disk, dir string) {
				r, err := d.Root(dir)
				require.NoError(t, err)
				require.NoError(t, r.MkdirAll("x/y", 0o755))
				write(t, file.Disk{FS: r}, "x/y/f", "12", 0)
				require.NoError(t, d.SyncTree(dir))
				require.NoError(t, r.Close())
			},
			cut: files{"x/": "", "x/y/": "", "x/y/f": "12"}, allSame: true,
		},
		"what goes past the disk stays": {
			before: files{"f": "1"},
			run: func(t *testing.T, d file.Disk, dir string) {
				fill(t, dir, files{"f": "2", "x/g": "3"})
				require.NoError(t, d.Rename(dir+"/x/g", dir+"/x/h"))
			},
			cut: files{"f": "2", "x/": "", "x/g": "3"}, names: files{"f": "2", "x/": "", "x/g": "3"},
			data: files{"f": "2", "x/": "", "x/h": "3"}, torn: files{"f": "2", "x/": "", "x/h": "3"},
		},
	} {
		for k, want := range map[faultfs.Kind]files{
			faultfs.Cut: c.cut, faultfs.CutNames: c.names, faultfs.CutData: c.data, faultfs.CutTorn: c.torn,
		} {
			t.Run(name+"/"+k.String(), func(t *testing.T) {
				d := faultfs.New(t, faultfs.Fault{N: 1 << 20, Kind: k})
				fill(t, d.Dir(), c.before)
				d.Start()
				c.run(t, d.Disk(), d.Dir())
				d.Reboot()
				if c.allSame {
					want = c.cut
				}
				require.Equal(t, want, tree(t, d.Dir()))
				_, err := d.Stat(d.Dir())
				require.ErrorIs(t, err, faultfs.ErrOff)
			})
		}
	}
}

func TestKinds(t *testing.T) {
	run := func(d *faultfs.FS) error { return d.Disk().WriteAtomic(d.Dir()+"/f", []byte("1234"), 0o600) }
	count := faultfs.New(t, faultfs.Fault{})
	count.Start()
	require.NoError(t, run(count))
	var names []string
	for _, op := range count.Ops() {
		names = append(names, op.Name)
	}
	dir := filepath.Base(count.Dir())
	require.Equal(
		t,
		[]string{"create .f.N", "write .f.N", "chmod .f.N", "sync .f.N", "rename to f", "open " + dir, "sync " + dir},
		names,
	)

	for _, c := range []struct {
		fault faultfs.Fault
		err   error
	}{
		{faultfs.Fault{N: 1, Kind: faultfs.Error}, syscall.EIO},
		{faultfs.Fault{N: 7, Kind: faultfs.Error}, syscall.EIO},
		{faultfs.Fault{N: 2, Kind: faultfs.NoSpace}, syscall.ENOSPC},
		{faultfs.Fault{N: 3, Kind: faultfs.NoSpace}, nil}, // chmod needs none
		{faultfs.Fault{N: 3, Kind: faultfs.Full}, syscall.ENOSPC},
		{faultfs.Fault{N: 2, Kind: faultfs.Short}, syscall.ENOSPC},
		{faultfs.Fault{N: 5, Kind: faultfs.Kill}, faultfs.ErrOff},
	} {
		d := faultfs.New(t, c.fault)
		d.Start()
		require.ErrorIs(t, run(d), c.err)
		if c.fault.Kind != faultfs.Full && !c.fault.Kind.Ends() {
			require.NoError(t, run(d), "the next one works")
		}
		d.Reboot()
		if !c.fault.Kind.Ends() {
			require.NoError(t, run(d), "works again")
		}
	}

	d := faultfs.New(t, faultfs.Fault{N: 2, Kind: faultfs.Short})
	d.Start()
	f, err := d.OpenFile(d.Dir()+"/f", os.O_WRONLY|os.O_CREATE, 0o600)
	require.NoError(t, err)
	n, err := f.Write([]byte("1234"))
	require.Equal(t, 2, n)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.True(t, d.Met())
	require.Equal(t, files{"f": "12"}, tree(t, d.Dir()))
}

// A file that is written by WriteAtomic is the old one or the new one, whatever happens, and the new one if it
// returned.
func TestEach(t *testing.T) {
	met := map[faultfs.Kind]int{}
	faultfs.Each(t, faultfs.Options{}, func(t *testing.T, d *faultfs.FS) {
		fill(t, d.Dir(), files{"f": "old"})
		d.Start()
		err := d.Disk().WriteAtomic(d.Dir()+"/f", []byte("newer"), 0o600)
		d.Reboot()
		if d.Met() {
			met[d.Fault().Kind]++
		}
		got, readErr := os.ReadFile(d.Dir() + "/f")
		require.NoError(t, readErr)
		if err == nil {
			require.Equal(t, "newer", string(got))
		} else {
			require.Contains(t, []string{"old", "newer"}, string(got))
		}
		require.NoError(t, file.Tidy(d.Dir()+"/f"))
		require.Len(t, tree(t, d.Dir()), 1)
	})
	require.Equal(t, map[faultfs.Kind]int{faultfs.Error: 7, faultfs.NoSpace: 5, faultfs.Full: 5, faultfs.Short: 1,
		faultfs.Kill: 7, faultfs.Cut: 7, faultfs.CutNames: 7, faultfs.CutData: 7, faultfs.CutTorn: 7}, met)
}
