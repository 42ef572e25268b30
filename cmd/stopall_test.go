//go:build linux

package cmd_test

import (
	"bufio"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// baetyl stop returns when all has ended, in order, as after SIGTERM.
func TestStopByTheAPI(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	c, _ := d.start(t)
	pids := d.instances(t)
	out, code := d.run("stop")
	require.Zero(t, code, out)
	require.Contains(t, out, "everything has stopped after ")
	for name, pid := range pids {
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH, name)
	}
	require.NoFileExists(t, d.path(masterapi.AdminSocket))
	require.NoError(t, c.Wait(), "status 0")
	out, code = d.run("stop")
	require.Equal(t, 1, code)
	require.Contains(t, out, "no master runs in ")
}

// The real master, too, tells the manager of services how it is, through its keeper: ready when services were started.
func TestManagerOfServices(t *testing.T) {
	d := newBusyDevice(t)
	address := d.path("notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	require.NoError(t, err)
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", address)
	t.Setenv("WATCHDOG_USEC", "120000000")
	c, _ := d.start(t)
	hears := func(line string) {
		t.Helper()
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		text := make([]byte, 4096)
		for {
			n, err := conn.Read(text)
			require.NoError(t, err, line)
			for s := bufio.NewScanner(strings.NewReader(string(text[:n]))); s.Scan(); {
				if strings.HasPrefix(s.Text(), line) {
					return
				}
			}
		}
	}
	hears("READY=1")
	for _, pid := range d.instances(t) {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		require.NoError(t, err)
		require.NotContains(t, string(env), "NOTIFY_SOCKET="+address+"\x00")
		require.NotContains(t, string(env), "WATCHDOG_")
	}
	require.NoError(t, c.Process.Signal(syscall.SIGHUP))
	hears("RELOADING=1")
	hears("READY=1")
	out, code := d.run("stop")
	require.Zero(t, code, out)
	hears("STOPPING=1")
	require.NoError(t, c.Wait())
}
