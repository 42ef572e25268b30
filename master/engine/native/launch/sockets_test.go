//go:build linux

package launch

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// passed is what a program sees of the sockets that it inherits.
type passed struct {
	Seen  seen
	Env   []string
	Ports []int
}

func saySockets([]string) {
	p := passed{Seen: see()}
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "LISTEN_") {
			p.Env = append(p.Env, kv)
		}
	}
	for _, fd := range p.Seen.Descriptors[3:] {
		if a, err := unix.Getsockname(fd); err == nil {
			p.Ports = append(p.Ports, a.(*unix.SockaddrInet4).Port)
		}
	}
	say(p)
}

// The program finds its sockets from descriptor 3 on, in their order, and nothing else of the keeper; a program that
// cannot run is told of all the same.
func TestSocketsArePassed(t *testing.T) {
	for _, count := range []int{1, 2, 3, 16, MaxListen} {
		s := spec("sockets")
		if os.Geteuid() != 0 {
			s.UID, s.GID = -1, -1
		}
		s.Env = append(s.Env, "LISTEN_PID=1", "LISTEN_FDS=7", "LISTEN_FDNAMES=x")
		cmd := command()
		var ports []int
		var files []*os.File
		for n := range count {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			f, err := ln.(*net.TCPListener).File()
			require.NoError(t, err)
			ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
			require.NoError(t, ln.Close())
			files = append(files, f)
			s.Listen = append(s.Listen, "n "+strconv.Itoa(n))
		}
		run := func(s Spec) (out, why string) {
			cmd := &exec.Cmd{Path: cmd.Path, Args: cmd.Args, Dir: cmd.Dir}
			return outputWith(t, cmd, s, files)
		}
		var got passed
		out, why := run(s)
		require.Empty(t, why)
		decode(t, out, &got)
		require.Equal(t, ports, got.Ports)
		require.Equal(t, []string{
			"LISTEN_PID=" + strconv.Itoa(got.Seen.PID), "LISTEN_FDS=" + strconv.Itoa(count),
			"LISTEN_FDNAMES=" + strings.Join(s.Listen, ":"),
		}, got.Env)
		got.Seen.Descriptors = got.Seen.Descriptors[:3]
		requireClean(t, got.Seen)

		s.Program = "/does/not/exist"
		_, why = run(s)
		require.Equal(t, "2 exec /does/not/exist: no such file or directory", why)
		for _, f := range files {
			require.NoError(t, f.Close())
		}
	}
}
