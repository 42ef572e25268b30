package volume_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/baetyl-agent/volume"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

var bg = context.Background()

// device is a store with its configuration and its log.
type device struct {
	*volume.Store
	t   *testing.T
	cfg volume.Config
	log *bytes.Buffer
}

func newDevice(t *testing.T) *device {
	d := &device{t: t, log: &bytes.Buffer{}}
	d.cfg = volume.Config{
		Dir:          filepath.Join(t.TempDir(), "volumes"),
		Client:       http.DefaultClient,
		Timeout:      10 * time.Second,
		StallTimeout: 10 * time.Second,
		Limits:       volume.Limits{Package: 1 << 20, Unpacked: 1 << 20, Files: 100, Free: 1},
		Retry:        backoff.Policy{Min: time.Millisecond, Max: 10 * time.Millisecond},
		Log:          log.NewTo(d.log, log.Config{Level: "debug"}),
	}
	d.open()
	t.Cleanup(func() {
		d.Close()
		require.NotContains(t, d.log.String(), "secret", "no URL is logged: it may hold a secret")
	})
	return d
}

// open is what a new process does.
func (d *device) open() {
	if d.Store != nil {
		d.Close()
	}
	s, err := volume.Open(d.cfg)
	require.NoError(d.t, err)
	d.Store = s
}

func (d *device) write(path, text string) {
	path = filepath.Join(d.cfg.Dir, path)
	require.NoError(d.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(d.t, os.WriteFile(path, []byte(text), 0o644))
}

// read returns the content of a file, or "".
func (d *device) read(path string) string {
	data, _ := os.ReadFile(filepath.Join(d.cfg.Dir, path))
	return string(data)
}

func live(paths ...string) volume.Live {
	return func(context.Context) ([]string, error) { return paths, nil }
}

func none(context.Context) ([]string, error) { return nil, nil }

func TestPackageComesIntoPlaceOnce(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	v := s.Put("conf", "var/db/baetyl/conf/v1", agenttest.Zip(t,
		agenttest.Entry{Name: "service.yml", Data: "a: 1"},
		agenttest.Entry{Name: "bin/tool", Mode: 0o755 | os.ModeSetuid | os.ModeSetgid | os.ModeSticky, Data: "x"}))
	for range 2 {
		require.NoError(t, d.Ensure(bg, v, none))
		d.open()
	}
	require.Len(t, s.Ranges(), 1, "a package that is in place is not downloaded again")
	require.Equal(t, "a: 1", d.read("conf/v1/service.yml"))
	st, err := os.Stat(filepath.Join(d.cfg.Dir, "conf/v1/bin/tool"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), st.Mode(), "setuid, setgid and sticky bits are dropped")
	left, err := os.ReadDir(filepath.Join(d.cfg.Dir, ".agent/download"))
	require.NoError(t, err)
	require.Empty(t, left, "the archive is removed")

	require.NoError(t, os.RemoveAll(filepath.Join(d.cfg.Dir, "conf")))
	require.NoError(t, d.Ensure(bg, v, none))
	require.Equal(t, "a: 1", d.read("conf/v1/service.yml"), "a removed folder is downloaded again")
}

// A wrong package leaves the folder as it was, and nothing is written elsewhere.
func TestWrongPackagesChangeNothing(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"parent":   {agenttest.Zip(t, agenttest.Entry{Name: "../evil", Data: "x"}), "leaves the folder"},
		"sibling":  {agenttest.Zip(t, agenttest.Entry{Name: "../v1-evil/x", Data: "x"}), "leaves the folder"},
		"inner":    {agenttest.Zip(t, agenttest.Entry{Name: "a/../../../x", Data: "x"}), "leaves the folder"},
		"absolute": {agenttest.Zip(t, agenttest.Entry{Name: "/tmp/agent-evil", Data: "x"}), "leaves the folder"},
		"link": {agenttest.Zip(t, agenttest.Entry{Name: "l", Mode: 0o777 | os.ModeSymlink, Data: "/etc"}),
			"leads out of the archive"},
		"device": {agenttest.Zip(t, agenttest.Entry{Name: "d", Mode: 0o666 | os.ModeDevice}),
			"neither a file, a folder nor a link"},
		"not a zip": {[]byte("hello"), "zip: not a valid zip file"},
		"cut":       {agenttest.Zip(t, agenttest.Entry{Name: "a", Data: "aaaa"})[:60], "zip: not a valid zip file"},
		"too big":   {agenttest.Zip(t, agenttest.Entry{Name: "a", Data: big}), "package is larger than 1048576 bytes"},
		"too many":  {agenttest.Zip(t, make([]agenttest.Entry, 101)...), "101 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			d, s := newDevice(t), agenttest.NewServer(t, false)
			good := s.Put("v", "var/db/baetyl/v1", agenttest.Zip(t, agenttest.Entry{Name: "f", Data: "old"}))
			require.NoError(t, d.Ensure(bg, good, none))
			err := d.Ensure(bg, s.Put("v", "var/db/baetyl/v1", c.data), none)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "prepare volume (v): ")
			d.open()
			require.Equal(t, "old", d.read("v1/f"))
			names, err := filepath.Glob(filepath.Join(d.cfg.Dir, "*"))
			require.NoError(t, err)
			require.Equal(t, []string{filepath.Join(d.cfg.Dir, ".agent"), filepath.Join(d.cfg.Dir, "v1")}, names)
			above, err := os.ReadDir(filepath.Dir(d.cfg.Dir))
			require.NoError(t, err)
			require.Len(t, above, 1)
			require.NoFileExists(t, "/tmp/agent-evil")
			for _, dir := range []string{"download", "stage"} {
				left, _ := os.ReadDir(filepath.Join(d.cfg.Dir, ".agent", dir))
				require.Empty(t, left, dir)
			}
		})
	}
}

// The unpacked size is limited, since a small archive may unpack to a large one.
func TestUnpackedSizeIsCapped(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	d.cfg.Limits.Unpacked = 1000
	d.open()
	data := agenttest.Zip(t, agenttest.Entry{Name: "a", Data: strings.Repeat("0", 1001)})
	err := d.Ensure(bg, s.Put("v", "var/db/baetyl/v", data), none)
	require.ErrorIs(t, err, file.ErrLimit)
}

func TestPathsStayInside(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	data := agenttest.Zip(t, agenttest.Entry{Name: "f", Data: "x"})
	for _, p := range []string{
		"", "var/db/baetyl", "/etc/x", "var/db/baetyl/../x", "var/db/baetyl-evil/x", "var/db/baetyl/.agent/download",
		"var/log/x",
	} {
		require.ErrorContains(t, d.Ensure(bg, s.Put("v", p, data), none), "path: ", p)
	}
	outside := t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(d.cfg.Dir, "link")))
	require.Error(t, d.Ensure(bg, s.Put("v", "var/db/baetyl/link/v", data), none))
	require.Error(t, d.Ensure(bg, s.Put("v", "var/db/baetyl/link", data), none))
	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, left)
}

// Folders that the running application uses, and folders that were not downloaded, are not replaced.
func TestWhatMayBeReplaced(t *testing.T) {
	for _, c := range []struct {
		live string
		want error
	}{
		{"var/db/baetyl/a/v", volume.ErrLive},
		{"/var/db/baetyl/a/v/", volume.ErrLive}, // a form that the master accepts
		{"var/db/baetyl/a", volume.ErrLive},
		{"var/db/baetyl/a/v/in", volume.ErrLive},
		{"var/db/baetyl/a/v2", nil},
		{"var/db/baetyl", nil}, // the agent's own mount
		{"var", nil},
		{"var/db/other/a/v", nil},
	} {
		d, s := newDevice(t), agenttest.NewServer(t, false)
		v1 := s.Put("v", "var/db/baetyl/a/v", agenttest.Zip(t, agenttest.Entry{Name: "old", Data: "old"}))
		require.NoError(t, d.Ensure(bg, v1, none))
		v2 := s.Put("v", "var/db/baetyl/a/v", agenttest.Zip(t, agenttest.Entry{Name: "new", Data: "new"}))
		err := d.Ensure(bg, v2, live(c.live))
		if c.want != nil {
			require.ErrorIs(t, err, c.want, c.live)
			require.Equal(t, "old", d.read("a/v/old"))
			require.Len(t, s.Ranges(), 1, "it is not even downloaded")
			continue
		}
		require.NoError(t, err, c.live)
		require.Equal(t, "new", d.read("a/v/new"))
		require.Empty(t, d.read("a/v/old"), "files of the previous version are removed")
	}
	d, s := newDevice(t), agenttest.NewServer(t, false)
	d.write("hand/made", "x")
	d.write("file", "x")
	require.NoError(t, os.MkdirAll(filepath.Join(d.cfg.Dir, "empty"), 0o755))
	data := agenttest.Zip(t, agenttest.Entry{Name: "f", Data: "x"})
	require.ErrorIs(t, d.Ensure(bg, s.Put("v", "var/db/baetyl/hand", data), none), volume.ErrForeign)
	require.ErrorIs(t, d.Ensure(bg, s.Put("v", "var/db/baetyl/file", data), none), volume.ErrForeign)
	require.Error(t, d.Ensure(bg, s.Put("v", "var/db/baetyl/file/x", data), none))
	empty := s.Put("v", "var/db/baetyl/empty", data)
	require.NoError(t, d.Ensure(bg, empty, none), "the master makes folders that are missing")
	require.Equal(t, "x", d.read("hand/made"))
}

// A volume inside another one is removed with it, and downloaded again.
func TestNestedVolumes(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	outer := func(text string) cloud.Volume {
		return s.Put("o", "var/db/baetyl/o", agenttest.Zip(t, agenttest.Entry{Name: "i/fake", Data: text}))
	}
	inner := s.Put("i", "var/db/baetyl/o/x", agenttest.Zip(t, agenttest.Entry{Name: "f", Data: "inner"}))
	for _, text := range []string{"1", "2"} {
		require.NoError(t, d.Ensure(bg, outer(text), none))
		require.NoError(t, d.Ensure(bg, inner, none))
		require.Equal(t, text, d.read("o/i/fake"))
		require.Equal(t, "inner", d.read("o/x/f"))
	}
}
