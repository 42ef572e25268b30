package native_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/engine/native"
)

// serverScript takes the socket that it inherits, or opens the port PORT and hands it over. It answers each connection
// with a line, and ends at the word "end". What STORE says is sent as well.
const serverScript = `exec python3 -u -c '
import array, os, socket, sys
def tell(text, *files):
    to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
    to.sendmsg([text.encode()], rights, 0, os.environ["NOTIFY_SOCKET"])
inherited = os.environ.get("LISTEN_PID") == str(os.getpid()) and int(os.environ["LISTEN_FDS"])
if inherited:
    s = socket.socket(fileno=3)
else:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", PORT))
    s.listen(50)
    tell("FDSTORE=1\nFDNAME=tcp", s.fileno())
MORE
print("up", inherited, os.environ.get("LISTEN_FDNAMES"))
while True:
    c, _ = s.accept()
    word = c.makefile().readline()
    c.sendall(b"hello\n")
    c.close()
    if word == "end\n": sys.exit(0)
'`

func server(t *testing.T, h *host, name string, port int, more string) engine.Service {
	t.Helper()
	script := strings.NewReplacer("PORT", fmt.Sprint(port), "MORE", more).Replace(serverScript)
	return h.service(t, name, script)
}

// take tries to listen on a port as a program does that wants it badly.
func take(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1); err != nil {
			return err
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	return unix.Listen(fd, 1)
}

// dial connects to a server and sends a word.
func dial(t *testing.T, port int, word string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintln(conn, word)
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	return conn
}

func answered(t *testing.T, conn net.Conn) {
	t.Helper()
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "hello\n", line)
}

// A port stays taken between the lives of an instance, also when the master changes, until nobody wants it any more;
// who connects meanwhile is answered by the next life.
func TestPortsOutliveAnInstance(t *testing.T) {
	for name, change := range map[string][]func(*native.Options){
		"users": {withUsers(t)}, "no cgroups": {noCgroups}, "plain": nil,
	} {
		t.Run(name, func(t *testing.T) {
			if name == "users" {
				needsRoot(t)
			}
			h := newHost(t, change...)
			port := mqtttest.FreePort(t)
			s := server(t, h, "svc", port, "")
			_, i := h.start(t, s, nil)
			enginetest.Output(t, i, "up False None")
			for round := range 3 {
				answered(t, dial(t, port, "word"))
				await(t, h, 1)
				kill(i)
				require.ErrorIs(t, take(port), syscall.EADDRINUSE)
				waiting := dial(t, port, "word")
				if round == 1 {
					h.successor(t)
					require.NoError(t, h.Reap(t.Context(), nil, nil))
					h.Drop(func(service, instance string) bool { return service == "svc" && instance == "svc" })
				}
				require.ErrorIs(t, take(port), syscall.EADDRINUSE)
				_, i = h.start(t, s, nil)
				enginetest.Output(t, i, "up 1 tcp")
				answered(t, waiting)
			}
			r := i.Record()
			h.successor(t)
			require.NoError(t, h.Reap(t.Context(), []engine.Record{r}, []engine.Record{r}))
			box, err := h.Open(t.Context(), s)
			require.NoError(t, err)
			i, err = box.Adopt(t.Context(), engine.Spec{Name: "svc"}, r)
			require.NoError(t, err)
			answered(t, dial(t, port, "word"))
			kill(i)
			require.ErrorIs(t, take(port), syscall.EADDRINUSE)
			h.Drop(func(string, string) bool { return false })
			mqtttest.Until(t, "the port is free", func() bool { return take(port) == nil })
			require.NoError(t, box.Close())
			require.NoError(t, h.Close())
			state, err := h.next().Hello(t.Context(), keeper.Hello{Protocol: keeper.Protocol})
			require.NoError(t, err)
			require.Empty(t, state.Kept)
		})
	}
}

// await waits until so many sockets have been handed over.
func await(t *testing.T, h *host, n int) {
	t.Helper()
	mqtttest.Until(t, fmt.Sprintf("%d sockets", n), func() bool { return native.Sockets(h.Engine) == n })
}

// When an instance does not come back, clients are told, and the port stays taken all the same.
func TestPortOfAnInstanceThatDoesNotComeBack(t *testing.T) {
	h := newHost(t)
	native.SetWait(h.Engine, 50*time.Millisecond)
	port := mqtttest.FreePort(t)
	s := server(t, h, "svc", port, "")
	_, i := h.start(t, s, nil)
	enginetest.Output(t, i, "up False None")
	await(t, h, 1)
	answered(t, dial(t, port, "end"))
	enginetest.Ended(t, i)
	for range 3 {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil { // it may be closed already
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		require.Error(t, err)
		require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "nobody closes the connection")
		require.ErrorIs(t, take(port), syscall.EADDRINUSE)
	}
	i.Stop(t.Context())
	_, i = h.start(t, s, nil)
	enginetest.Output(t, i, "up 1 tcp")
	answered(t, dial(t, port, "word"))
	kill(i)
}

// What an instance sends is bounded: what does not listen, what is too much, and what is no message is closed.
func TestWhatAnInstanceMayHandOver(t *testing.T) {
	h := newHost(t)
	more := `
for i in range(40):
    x = socket.socket(); x.bind(("127.0.0.1", 0)); x.listen(1)
    tell("FDSTORE=1\nFDNAME=n%d" % i, x.fileno())
y = socket.socket(); y.bind(("127.0.0.1", 0))
tell("FDSTORE=1", y.fileno(), 0, 1)
tell("FDSTORE=1\nFDNAME=a:b", s.fileno())
tell("FDSTORE=1\nFDNAME=again", s.fileno())
tell("x" * 5000, s.fileno())
tell("FDSTOREREMOVE=1\nFDNAME=n3")
tell("READY=1")
tell("FDSTORE=1\nFDNAME=last", *([x.fileno()] * 200))
r, w = os.pipe()
tell("BARRIER=1", w)
os.close(w)
os.read(r, 1) # ends when everything before was judged
`
	s := server(t, h, "svc", mqtttest.FreePort(t), more)
	files := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(all)
	}
	before := files()
	_, i := h.start(t, s, nil)
	enginetest.Output(t, i, "up False None")
	require.Equal(t, 16, native.Sockets(h.Engine))
	mqtttest.Until(t, "everything else is closed", func() bool { return files() <= before+2*16+6 })
	kill(i)
	_, i = h.start(t, s, nil)
	enginetest.Output(t, i, "up 16 tcp:n0:n1:n2:n4:n5:n6:n7:n8:n9:n10:n11:n12:n13:n14:last")
	kill(i)
	h.Drop(func(string, string) bool { return false })
	mqtttest.Until(t, "all of it is closed", func() bool { return files() <= before+4 })
}

// A process of the same user that is not one of the instance hands nothing over for it.
func TestStrangersHandNothingOver(t *testing.T) {
	for name, change := range map[string]func(*native.Options){"cgroups": withCgroups, "no cgroups": noCgroups} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, change)
			_, i := h.start(t, h.service(t, "svc", "echo up; exec sleep 1000"), nil)
			enginetest.Output(t, i, "up")
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			raw, err := ln.(*net.TCPListener).SyscallConn()
			require.NoError(t, err)
			to, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			require.NoError(t, err)
			defer unix.Close(to)
			send := func(text string, fd int) {
				address := &unix.SockaddrUnix{Name: h.private("svc") + "/notify"}
				require.NoError(t, unix.Sendmsg(to, []byte(text), unix.UnixRights(fd), address, 0))
			}
			require.NoError(t, raw.Control(func(fd uintptr) { send("FDSTORE=1", int(fd)) }))
			r, w, err := os.Pipe()
			require.NoError(t, err)
			defer r.Close()
			send("BARRIER=1", int(w.Fd()))
			require.NoError(t, w.Close())
			_, err = r.Read(make([]byte, 1)) // ends when everything before was judged
			require.ErrorIs(t, err, io.EOF)
			require.Zero(t, native.Sockets(h.Engine))
			kill(i)
		})
	}
}
