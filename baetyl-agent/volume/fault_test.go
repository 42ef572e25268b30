package volume_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/baetyl-agent/volume"
	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// faults are every 7th one; AGENT_FAULTS=1 is all of them (make agent-faults).
var faults = faultfs.Sample("AGENT_FAULTS", 7)

// faulty makes stores on a disk with a fault.
type faulty struct {
	t    *testing.T
	disk *faultfs.FS
	dir  string
}

func newFaulty(t *testing.T, d *faultfs.FS) faulty {
	f := faulty{t, d, filepath.Join(d.Dir(), "volumes")}
	require.NoError(t, os.Mkdir(f.dir, 0o755))
	return f
}

func (f faulty) open(disk file.Disk) (*volume.Store, error) {
	return volume.Open(volume.Config{Dir: f.dir, Disk: disk, Client: http.DefaultClient, Timeout: 10 * time.Second,
		Limits: volume.Limits{Package: 1 << 20, Unpacked: 1 << 20, Files: 100},
		Retry:  backoff.Policy{Min: time.Millisecond, Max: 10 * time.Millisecond}, Log: log.Discard()})
}

// run calls act with a store on the disk with the fault. It returns the error of act, and a store without faults: the
// same one, or that of a new process if the fault has ended the first.
func (f faulty) run(act func(*volume.Store) error) (*volume.Store, error) {
	f.disk.Start()
	s, err := f.open(f.disk.Disk())
	if err == nil {
		err = act(s)
	}
	f.disk.Reboot()
	if s == nil || f.disk.Fault().Kind.Ends() {
		if s != nil {
			_ = s.Close()
		}
		var opened error
		s, opened = f.open(agenttest.Disk())
		require.NoError(f.t, opened)
		for _, left := range []string{"stage", "trash"} {
			require.NoDirExists(f.t, filepath.Join(f.dir, ".agent", left))
		}
	}
	f.t.Cleanup(func() { require.NoError(f.t, s.Close()) })
	return s, err
}

// again returns the store of a new process.
func (f faulty) again() *volume.Store {
	s, err := f.open(agenttest.Disk())
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, s.Close()) })
	return s
}

// holds returns the text that all files of a folder have, as the packages of pack do; "" if there are none.
func (f faulty) holds(dir string) string {
	var text string
	for i, name := range []string{"a", "sub/b", "sub/deep/c", "sub/l"} {
		data, err := os.ReadFile(filepath.Join(f.dir, dir, name))
		if os.IsNotExist(err) {
			data = nil
		} else {
			require.NoError(f.t, err)
		}
		if i > 0 {
			require.Equal(f.t, text, string(data), "a mix in %s", dir)
		}
		text = string(data)
	}
	return text
}

// pack puts a package of three files with the same text on the server.
func pack(t *testing.T, s *agenttest.Server, path, text string) cloud.Volume {
	data := agenttest.Zip(t,
		agenttest.Entry{Name: "a", Data: text},
		agenttest.Entry{Name: "sub/b", Data: text},
		agenttest.Entry{Name: "sub/deep/c", Data: text},
		agenttest.Entry{Name: "sub/l", Mode: 0o777 | os.ModeSymlink, Data: "../a"})
	return s.Put("v", "var/db/baetyl/"+path, data)
}

// A new volume is complete or missing; it is complete once Ensure has returned no error.
func TestFaultsOfADownload(t *testing.T) {
	server := agenttest.NewServer(t, false)
	faultfs.Each(t, faults, func(t *testing.T, d *faultfs.FS) {
		f, v := newFaulty(t, d), pack(t, server, "hub/conf/v1", "new")
		s, err := f.run(func(s *volume.Store) error { return s.Ensure(bg, v, none) })
		if err == nil {
			require.Equal(t, "new", f.holds("hub/conf/v1"))
		} else {
			require.Contains(t, []string{"", "new"}, f.holds("hub/conf/v1"))
		}
		before := len(server.Ranges())
		require.NoError(t, s.Ensure(bg, v, none))
		require.Equal(t, "new", f.holds("hub/conf/v1"))
		if err == nil {
			require.Len(t, server.Ranges(), before, "it is known to be there")
		}
		require.NoError(t, f.again().Ensure(bg, v, none))
		require.Equal(t, "new", f.holds("hub/conf/v1"))
	})
}

// A volume that is replaced has its old content or the new one, and the record knows which.
func TestFaultsOfAReplacement(t *testing.T) {
	server := agenttest.NewServer(t, false)
	faultfs.Each(t, faults, func(t *testing.T, d *faultfs.FS) {
		f, v1, v2 := newFaulty(t, d), pack(t, server, "conf", "old"), pack(t, server, "conf", "new")
		require.NoError(t, f.again().Ensure(bg, v1, none))
		s, err := f.run(func(s *volume.Store) error { return s.Ensure(bg, v2, none) })
		switch has := f.holds("conf"); {
		case err == nil:
			require.Equal(t, "new", has)
		// a disk that does not take the new one may not take the old one back; then the next start puts it there
		case has == "":
			require.Equal(t, faultfs.Full, d.Fault().Kind)
			s = f.again()
			require.Equal(t, "old", f.holds("conf"))
		default:
			require.Contains(t, []string{"old", "new"}, has)
		}
		content := map[string]cloud.Volume{"old": v1, "new": v2}
		has := f.holds("conf")
		for _, text := range []string{map[string]string{"old": "new", "new": "old"}[has], has} {
			require.NoError(t, s.Ensure(bg, content[text], none))
			require.Equal(t, text, f.holds("conf"), "a record that takes one content for the other leaves it alone")
		}
		require.NoError(t, f.again().Ensure(bg, v2, none))
		require.Equal(t, "new", f.holds("conf"))
	})
}

// A folder with the content of the package that is not in the record is added to it, or not; its content stays.
func TestFaultsOfATakeover(t *testing.T) {
	server := agenttest.NewServer(t, false)
	faultfs.Each(t, faults, func(t *testing.T, d *faultfs.FS) {
		f, v := newFaulty(t, d), pack(t, server, "conf", "same")
		require.NoError(t, f.again().Ensure(bg, v, none))
		require.NoError(t, os.Remove(filepath.Join(f.dir, ".agent/volumes.json")))
		s, err := f.run(func(s *volume.Store) error { return s.Ensure(bg, v, live("var/db/baetyl/conf")) })
		require.Equal(t, "same", f.holds("conf"))
		before := len(server.Ranges())
		require.NoError(t, s.Ensure(bg, v, live("var/db/baetyl/conf")))
		if err == nil {
			require.Len(t, server.Ranges(), before)
		}
		require.Equal(t, "same", f.holds("conf"))
	})
}

// Files that another program has just written, without fsync, are made durable before the folder is recorded.
func TestFaultsOfATakeoverOfNewFiles(t *testing.T) {
	server := agenttest.NewServer(t, false)
	faultfs.Each(t, faults, func(t *testing.T, d *faultfs.FS) {
		f, v := newFaulty(t, d), pack(t, server, "by/hand/conf", "same")
		_, err := f.run(func(s *volume.Store) error {
			dir := filepath.Join(f.dir, "by/hand/conf")
			if err := d.MkdirAll(filepath.Join(dir, "sub/deep"), 0o755); err != nil {
				return err
			}
			for _, name := range []string{"a", "sub/b", "sub/deep/c", "sub/l"} {
				w, err := d.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY, 0o644)
				if err != nil {
					return err
				}
				if _, err := w.Write([]byte("same")); err != nil {
					return errors.Join(err, w.Close())
				}
				if err := w.Close(); err != nil {
					return err
				}
			}
			return s.Ensure(bg, v, none)
		})
		if err == nil {
			require.Equal(t, "same", f.holds("by/hand/conf"))
		}
	})
}

// A removed volume is not there again after a power cut, in whole or in part. If one can't be removed, the next
// cleaning removes it.
func TestFaultsOfCleaning(t *testing.T) {
	server := agenttest.NewServer(t, false)
	faultfs.Each(t, faults, func(t *testing.T, d *faultfs.FS) {
		f := newFaulty(t, d)
		v1, v2, v3 := pack(t, server, "hub/v1", "1"), pack(t, server, "hub/v2", "2"), pack(t, server, "app", "3")
		s := f.again()
		for _, v := range []cloud.Volume{v1, v2, v3} {
			require.NoError(t, s.Ensure(bg, v, none))
		}
		keep := []string{v2.Path}
		s, err := f.run(func(s *volume.Store) error { _, err := s.Clean(keep); return err })
		for _, v := range []string{"hub/v1", "app"} {
			if err == nil {
				require.NoDirExists(t, filepath.Join(f.dir, v))
			}
			f.holds(v)
		}
		require.Equal(t, "2", f.holds("hub/v2"))
		_, err = s.Clean(keep)
		require.NoError(t, err)
		require.NoDirExists(t, filepath.Join(f.dir, "hub/v1"))
		require.NoDirExists(t, filepath.Join(f.dir, "app"))
		require.Equal(t, "2", f.holds("hub/v2"))
		err = f.again().Ensure(bg, pack(t, server, "app", "4"), none)
		require.NoError(t, err, "no folder is left that is not in the record")
		require.Equal(t, "4", f.holds("app"))
	})
}
