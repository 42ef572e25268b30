//go:build linux

package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConnections(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0000000000000000 100 0
   1: 00000000000000000000000001000000:22B3 0000000000000000FFFF00000100007F:1F90 01 0:0 00:0 0 0 0 78 1 0`
	all := connections(text)
	require.Len(t, all, 2)
	require.Equal(t, "127.0.0.1:1883", all[0].local.String())
	require.True(t, all[0].listens)
	require.Equal(t, "socket:[77]", all[0].inode)
	require.Equal(t, "[::1]:8883", all[1].local.String())
	require.Equal(t, "127.0.0.1:8080", all[1].remote.String())
	require.False(t, all[1].listens)
}

func TestCapabilities(t *testing.T) {
	require.Empty(t, capabilities("0000000000000000"))
	require.Equal(t, []string{"DAC_OVERRIDE", "NET_BIND_SERVICE", "40"}, capabilities("0000010000000402"))
}

func TestMounts(t *testing.T) {
	require.Equal(t,
		[]mount{{Path: "/proc", Type: "proc", Options: "rw,nosuid rw,hidepid=invisible"},
			{Path: "/a", Type: "ext4", ReadOnly: true, Options: "ro rw"}},
		mounts("1 2 0:3 / /proc rw,nosuid master:1 - proc proc rw,hidepid=invisible\n3 2 8:1 /x /a ro - ext4 /dev/vda rw\n"))
}

// The document keeps its text around the tables.
func TestReplace(t *testing.T) {
	now, err := replace("a\n<!-- make security: native -->\nold\n<!-- end -->\nb\n", "native", "new")
	require.NoError(t, err)
	require.Equal(t, "a\n<!-- make security: native -->\n\nnew\n<!-- end -->\nb\n", now)
	_, err = replace(now, "docker", "new")
	require.ErrorContains(t, err, "has no place for docker")
	require.Equal(t, "- a\n+ b\n", difference("a\nc", "b\nc"))
}

func FuzzProc(f *testing.F) {
	for _, name := range []string{"net/tcp", "net/tcp6", "mountinfo", "status", "cgroup"} {
		data, err := os.ReadFile("/proc/self/" + name)
		require.NoError(f, err)
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range connections(text) {
			require.True(t, c.local.IsValid() && c.remote.IsValid())
		}
		for _, m := range mounts(text) {
			require.NotEmpty(t, m.Path)
		}
		capabilities(status(text)["CapEff"])
	})
}
