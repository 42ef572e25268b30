package volume_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/baetyl-agent/volume"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// The states of the disk that a power failure may leave while v with the content old is replaced by new, in their order
// (see place). The test writes each of them, since they are single system calls apart.
func TestPowerFailureWhileAVolumeIsReplaced(t *testing.T) {
	for _, c := range []struct {
		state string
		files string // folders that hold a file of that content
		note  bool   // the rename is in the record
		want  string // content of v after the start
	}{
		{"downloaded", "v=old", false, "old"},
		{"half unpacked", "v=old .agent/stage/new=half", false, "old"},
		{"noted", "v=old .agent/stage/new=new", true, "old"},
		{"old one set aside", ".agent/stage/old=old .agent/stage/new=new", true, "old"},
		{"new one in place", "v=new .agent/stage/old=old", true, "new"},
		{"first one noted", ".agent/stage/new=new", true, ""},
		{"first one in place", "v=new", true, "new"},
		{"unnoted", "v=new .agent/stage/old=old", false, "new"},
	} {
		t.Run(c.state, func(t *testing.T) {
			d, s := newDevice(t), agenttest.NewServer(t, false)
			v := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, agenttest.Entry{Name: "f", Data: "new"}))
			record := `{"volumes":{"v":{"md5":"x","sha256":"y"}}`
			if c.note {
				record += fmt.Sprintf(`,"placing":{"path":"v","entry":{"md5":%q,"sha256":%q}}`, v.Meta.MD5, v.Meta.SHA256)
			}
			d.write(".agent/volumes.json", record+"}")
			for _, f := range strings.Fields(c.files) {
				dir, text, _ := strings.Cut(f, "=")
				d.write(dir+"/f", text)
			}
			d.open()
			require.Equal(t, c.want, d.read("v/f"))
			_, err := os.Stat(filepath.Join(d.cfg.Dir, ".agent/stage"))
			require.ErrorIs(t, err, os.ErrNotExist)
			require.NoError(t, d.Ensure(bg, v, none))
			require.Equal(t, "new", d.read("v/f"))
			if c.note && c.want == "new" {
				require.Empty(t, s.Ranges(), "the record knows that it is whole")
			}
		})
	}
}

// With a damaged record the store starts, and neither replaces nor removes the volumes that are there.
func TestDamagedRecord(t *testing.T) {
	for _, text := range []string{
		"", "{", "[]", `{"volumes":null}`,
		`{"volumes":{"../..":{},"":{},"a/../b":{},".agent":{},"/etc":{}},"placing":{"path":"../../x"}}`,
	} {
		d, s := newDevice(t), agenttest.NewServer(t, false)
		d.write("v/f", "old")
		d.write(".agent/volumes.json", text)
		d.open()
		other := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, agenttest.Entry{Name: "f"}))
		require.ErrorIs(t, d.Ensure(bg, other, none), volume.ErrForeign)
		removed, err := d.Clean(nil)
		require.NoError(t, err)
		require.Empty(t, removed)
		require.Equal(t, "old", d.read("v/f"))

		// A volume with the content of its folder is accepted, so that an update that does not change it succeeds.
		same := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, agenttest.Entry{Name: "f", Data: "old"}))
		require.NoError(t, d.Ensure(bg, same, live("var/db/baetyl/v")))
		before := len(s.Ranges())
		d.open()
		require.NoError(t, d.Ensure(bg, same, none))
		require.Len(t, s.Ranges(), before)
	}
}

// Records of older versions, which have no first line with version and checksum, are read, also with a rename that had
// started.
func TestRecordsOfOlderVersions(t *testing.T) {
	v1 := app.VolumeMeta{URL: "http://127.0.0.1:1/x", MD5: "Yj+dA79F3k6TnEvGBpNA+w=="}
	v2 := app.VolumeMeta{URL: "http://127.0.0.1:1/x", MD5: "1B2M2Y8AsgTpgAmY7PhCfg=="}
	for file, holds := range map[string]app.VolumeMeta{"volumes-v0.json": v1, "volumes-placing-v0.json": v2} {
		data, err := os.ReadFile("testdata/" + file)
		require.NoError(t, err)
		d := newDevice(t)
		d.write(".agent/volumes.json", string(data))
		d.write("hub/v1/f", "x")
		for range 2 { // the second time this version has written it
			d.open()
			require.NoError(t, d.Ensure(bg, cloud.Volume{Name: "v", Path: "var/db/baetyl/hub/v1", Meta: holds}, none), file)
		}
		removed, err := d.Clean(nil)
		require.NoError(t, err)
		require.Equal(t, []string{"hub/v1"}, removed)
	}
}

// With any record a start and a cleaning change nothing outside of Dir.
func FuzzRecord(f *testing.F) {
	f.Add(`{"volumes":{"v":{"md5":"x"}},"placing":{"path":"v","entry":{}}}`)
	f.Add(`{"volumes":{"../outside":{}},"placing":{"path":"../outside"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		data, outside := filepath.Join(dir, "volumes"), filepath.Join(dir, "outside")
		for path, content := range map[string]string{
			outside: "x",
			filepath.Join(data, ".agent/volumes.json"): text,
			filepath.Join(data, "v/f"):                 "x",
		} {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		}
		s, err := volume.Open(volume.Config{Dir: data, Log: log.Discard()})
		if errors.Is(err, state.ErrNewer) {
			return
		}
		require.NoError(t, err)
		defer s.Close()
		_, err = s.Clean(nil)
		require.NoError(t, err)
		require.FileExists(t, outside)
	})
}
