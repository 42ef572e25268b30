package listen

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// manager is one that keeps what it gets, as systemd does.
type manager struct {
	t    *testing.T
	conn *net.UnixConn

	mu    sync.Mutex // guards what follows
	kept  map[string]int
	names []string // in the order in which they came
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	m := &manager{t: t, conn: conn, kept: map[string]int{}}
	done := make(chan struct{})
	go func() { defer close(done); m.run() }()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	t.Setenv(envNotify, path)
	return m
}

func (m *manager) run() {
	for {
		text, rights := make([]byte, 4096), make([]byte, 4096)
		n, rn, _, _, err := m.conn.ReadMsgUnix(text, rights)
		if err != nil {
			return
		}
		fd := -1
		if all, err := syscall.ParseSocketControlMessage(rights[:rn]); err == nil && len(all) == 1 {
			fds, _ := syscall.ParseUnixRights(&all[0])
			fd = fds[0]
		}
		said := string(text[:n])
		_, name, _ := strings.Cut(said, "FDNAME=")
		m.mu.Lock()
		switch {
		case strings.HasPrefix(said, "FDSTORE=1\n"):
			m.kept[name], m.names = fd, append(m.names, name)
		case strings.HasPrefix(said, "FDSTOREREMOVE=1\n"):
			if kept, ok := m.kept[name]; ok {
				_ = syscall.Close(kept)
			}
			delete(m.kept, name)
		case said == "BARRIER=1":
			_ = syscall.Close(fd)
		}
		m.mu.Unlock()
	}
}

// has returns the names that it has now, and how many there were.
func (m *manager) has() (now []string, all int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.names {
		if _, ok := m.kept[name]; ok {
			now = append(now, name)
		}
	}
	return now, len(m.names)
}

// next returns the store of the next life of the program.
func (m *manager) next() *Store {
	m.t.Helper()
	const first = 500 // descriptors that nothing has here
	names, _ := m.has()
	m.mu.Lock()
	for n, name := range names {
		require.NoError(m.t, syscall.Dup3(m.kept[name], first+n, 0))
	}
	m.mu.Unlock()
	m.t.Setenv(envPID, fmt.Sprint(os.Getpid()))
	m.t.Setenv(envCount, fmt.Sprint(len(names)))
	m.t.Setenv(envNames, strings.Join(names, ":"))
	s := fromEnv(os.Getpid(), first)
	for _, name := range []string{envPID, envCount, envNames} {
		_, ok := os.LookupEnv(name)
		require.False(m.t, ok, name)
	}
	return s
}

func open(t *testing.T, s *Store, address string) net.Listener {
	t.Helper()
	ln, handed, err := s.Listen(address)
	require.NoError(t, handed)
	require.NoError(t, err)
	return ln
}

// What a program listens on is there in its next life, with who has connected meanwhile; what it does not listen on any
// more is free.
func TestNextLife(t *testing.T) {
	m := newManager(t)
	s := m.next()
	ports := []int{mqtttest.FreePort(t), mqtttest.FreePort(t), mqtttest.FreePort(t)}
	addresses := []string{
		fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf(":%d", ports[1]), fmt.Sprintf("localhost:%d", ports[2]),
	}
	require.NoError(t, s.Retain(addresses...))
	for _, a := range addresses {
		require.NoError(t, open(t, s, a).Close())
	}
	require.NoError(t, open(t, s, "127.0.0.1:0").Close())
	barrier(t, m)
	_, all := m.has()
	require.Equal(t, 3, all)
	for _, a := range addresses {
		_, err := net.Listen("tcp", a)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
	}
	waiting, err := net.Dial("tcp", addresses[2])
	require.NoError(t, err)
	defer waiting.Close()

	s = m.next()
	changed := fmt.Sprintf("0.0.0.0:%d", ports[0])
	now := []string{changed, addresses[1], addresses[2]}
	require.NoError(t, s.Retain(now...))
	for _, a := range now {
		ln := open(t, s, a)
		defer ln.Close()
		if a == addresses[2] {
			conn, err := ln.Accept()
			require.NoError(t, err)
			require.Equal(t, waiting.LocalAddr().String(), conn.RemoteAddr().String())
			require.NoError(t, conn.Close())
		}
	}
	barrier(t, m)
	names, all := m.has()
	require.Equal(t, 4, all, "what was inherited is not handed over again")
	require.Equal(t, []string{nameOf(addresses[1]), nameOf(addresses[2]), nameOf(changed)}, names)
}

// barrier waits until the manager has taken all that was sent.
func barrier(t *testing.T, m *manager) {
	t.Helper()
	require.NoError(t, remove(m.conn.LocalAddr().String(), "nothing"))
}

// A manager that is gone, or none at all, leaves a listener that works.
func TestWithoutManager(t *testing.T) {
	t.Setenv(envNotify, filepath.Join(t.TempDir(), "gone"))
	s := fromEnv(os.Getpid(), 3)
	address := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	ln, handed, err := s.Listen(address)
	require.NoError(t, err)
	require.ErrorContains(t, handed, "hand over "+address)
	require.NoError(t, ln.Close())
	require.NoError(t, open(t, &Store{}, address).Close())
}

// Variables for another process, or that make no sense, mean nothing, and are not passed on.
func TestVariablesOfOthers(t *testing.T) {
	for _, c := range [][2]string{{"1", "2"}, {"", "2"}, {fmt.Sprint(os.Getpid()), "x"}, {fmt.Sprint(os.Getpid()), "-1"}} {
		t.Setenv(envPID, c[0])
		t.Setenv(envCount, c[1])
		require.Empty(t, fromEnv(os.Getpid(), 3).list)
	}
}

func FuzzCount(f *testing.F) {
	f.Add("1", "3")
	f.Add("-1", "99999999999999999999")
	f.Fuzz(func(t *testing.T, pid, count string) {
		n := countOf(pid, count, 1)
		require.True(t, n == 0 || pid != "" && n > 0 && n <= maxFDs)
	})
}
