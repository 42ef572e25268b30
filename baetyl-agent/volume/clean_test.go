package volume_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/baetyl-agent/volume"
)

// Which downloaded folders may be removed. downloaded is relative to var/db/baetyl, for which keep has @.
func TestChoose(t *testing.T) {
	for _, c := range []struct{ downloaded, keep, want string }{
		{"", "@/a", ""},
		{"a", "", "a"},
		{"a b", "@/a", "b"},
		{"hub/v1 hub/v2", "@/hub/v2", "hub/v1"},
		{"hub/v1 hub/v10", "@/hub/v10", "hub/v1"},   // a prefix of the name is no relation
		{"a a/b", "@/a/b", ""},                      // a kept volume in one that was downloaded
		{"a/b a", "@/a", ""},                        // one that was downloaded in a kept volume
		{"a/b/c", "@/a", ""},                        //
		{"a/b a/c", "@/a/c/d", "a/b"},               //
		{"a b", "@", "a b"},                         // the agent's own mount keeps nothing by itself
		{"a b", "@/ var .", "a b"},                  //
		{"a b", "/@/a", "b"},                        // the master takes an absolute path as one below its directory
		{"a b", "./@/a/ @/x/../b", "b"},             // '..' is refused by the master: there is no such volume
		{"a b", "@/A etc/a log/b @-other/b", "a b"}, //
		{"v1 v2 v3", "@/v2 @/v2 @/v3", "v1"},        //
	} {
		down, keep := strings.Fields(c.downloaded), strings.Fields(strings.ReplaceAll(c.keep, "@", "var/db/baetyl"))
		for range 2 { // the order does not matter
			require.Equal(t, strings.Fields(c.want), append([]string{}, volume.Choose(down, keep)...), "%v keep %v", down, keep)
			slices.Reverse(down)
			slices.Reverse(keep)
		}
	}
}

func TestCleanRemovesOnlyDownloads(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	for _, p := range []string{"hub/v1", "hub/v2", "app"} {
		data := agenttest.Zip(t, agenttest.Entry{Name: "f", Data: p})
		require.NoError(t, d.Ensure(bg, s.Put("v", "var/db/baetyl/"+p, data), none))
	}
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "f"), []byte("x"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(d.cfg.Dir, "hub/v1/link")))
	d.write("hand/made", "x")
	d.write("lib/baetyl/package.yml", "x") // as of native packages
	d.write("ota.log", "x")
	require.NoError(t, os.RemoveAll(filepath.Join(d.cfg.Dir, "app")))
	removed, err := d.Clean([]string{"var/db/baetyl/hub/v2", "var/db/baetyl"})
	require.NoError(t, err)
	require.Equal(t, []string{"app", "hub/v1"}, removed)
	require.NoFileExists(t, filepath.Join(d.cfg.Dir, "hub/v1/f"))
	require.FileExists(t, filepath.Join(outside, "f"), "links are not followed")
	require.Equal(t, "hub/v2", d.read("hub/v2/f"))
	for _, f := range []string{"hand/made", "lib/baetyl/package.yml", "ota.log"} {
		require.Equal(t, "x", d.read(f))
	}
	d.open()
	removed, err = d.Clean([]string{"var/db/baetyl/hub/v2"})
	require.NoError(t, err)
	require.Empty(t, removed)
}
