//go:build linux

package http_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/http"
)

// holder is a keeper in the process of the test.
type holder struct {
	mu sync.Mutex // guards what follows
	by map[string]*os.File
}

func (h *holder) Keep(name string, f *os.File) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by == nil {
		h.by = map[string]*os.File{}
	}
	if old := h.by[name]; old != nil {
		_ = old.Close()
	}
	delete(h.by, name)
	if f == nil {
		return nil
	}
	fd, err := syscall.Dup(int(f.Fd())) // and f blocks from here on, as a careless keeper leaves it
	if err != nil {
		return err
	}
	h.by[name] = os.NewFile(uintptr(fd), name)
	return nil
}

func (h *holder) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.by))
}

// kept is what a new process gets.
func (h *holder) kept(t *testing.T) map[string]*os.File {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]*os.File{}
	for name, f := range h.by {
		fd, err := syscall.Dup(int(f.Fd()))
		require.NoError(t, err)
		out[name] = os.NewFile(uintptr(fd), name)
	}
	return out
}

// boot serves until the test ends or stop is called; leave tells that another server follows.
func (h *holder) boot(t *testing.T, address string, answer nethttp.Handler) (stop func(leave bool)) {
	s := http.NewServerWith(http.ServerConfig{Address: address},
		http.Options{Name: "api", Keeper: h, Kept: h.kept(t), Mode: 0o666}, answer)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	stop = func(leave bool) {
		if stopped {
			return
		}
		stopped = true
		if leave {
			s.Leave()
		}
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(func() { stop(false) })
	return stop
}

func says(text string) nethttp.Handler {
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) { http.WriteJSON(w, 200, text) })
}

// ask calls over a connection of its own.
func ask(t *testing.T, address string) (answer string, err error) {
	c, err := http.NewClient(http.ClientConfig{Address: address, Timeout: time.Minute})
	require.NoError(t, err)
	defer c.Close()
	return answer, c.Get(t.Context(), "/", &answer)
}

// mount makes the socket reachable at another path, as a container sees it.
func mount(t *testing.T, path string) string {
	other := filepath.Join(shortDir(t), "mounted.sock")
	if os.Geteuid() == 0 {
		require.NoError(t, os.WriteFile(other, nil, 0o600))
		if syscall.Mount(path, other, "", syscall.MS_BIND, "") == nil {
			t.Cleanup(func() { require.NoError(t, syscall.Unmount(other, 0)) })
			return other
		}
		require.NoError(t, os.Remove(other)) // a container of tests that may not mount
	}
	require.NoError(t, os.Link(path, other))
	return other
}

// Over ten servers, nobody who connects is refused, and a mounted socket goes on working.
func TestTheNextServerTakesTheListener(t *testing.T) {
	unix := "unix://" + shortDir(t) + "/sub/api.sock"
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	for _, address := range []string{unix, "tcp://" + free.Addr().String()} {
		t.Run(address[:4], func(t *testing.T) {
			keeper := &holder{}
			stop := keeper.boot(t, address, says("0"))
			addresses := []string{address}
			if path, ok := strings.CutPrefix(address, "unix://"); ok {
				info, err := os.Stat(path)
				require.NoError(t, err)
				require.Equal(t, fs.FileMode(0o666), info.Mode().Perm())
				addresses = append(addresses, "unix://"+mount(t, path))
			}
			ctx, cancel := context.WithCancel(t.Context())
			var calling sync.WaitGroup
			var calls [2]int
			for i, a := range addresses {
				calling.Go(func() {
					for ctx.Err() == nil {
						if _, err := ask(t, a); err != nil {
							t.Errorf("call %s: %v", a, err)
							return
						}
						calls[i]++
					}
				})
			}
			names := keeper.names()
			for n := range 10 {
				stop(true)
				stop = keeper.boot(t, address, says("more"))
				answer, err := ask(t, addresses[len(addresses)-1])
				require.NoError(t, err, "server %d", n+1)
				require.Equal(t, "more", answer)
			}
			cancel()
			calling.Wait()
			require.Positive(t, calls[0])
			require.Equal(t, names, keeper.names(), "the listener is another one")
			stop(false)
			require.Empty(t, keeper.names(), "a server that has stopped leaves nothing")
			_, err := ask(t, address)
			require.Error(t, err)
			if path, ok := strings.CutPrefix(address, "unix://"); ok {
				require.NoFileExists(t, path)
			}
		})
	}
}

// A socket that a cleaner removed comes back, and who had it mounted is served too, also by the next server.
func TestARemovedSocketComesBack(t *testing.T) {
	path := filepath.Join(shortDir(t), "sub", "api.sock")
	keeper := &holder{}
	stop := keeper.boot(t, "unix://"+path, says("1"))
	mounted := mount(t, path)
	for _, remove := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return os.RemoveAll(filepath.Dir(path)) },
		func() error { return os.Rename(path, path+".old") },
	} {
		require.NoError(t, remove())
		require.Eventually(t, func() bool {
			_, err := ask(t, "unix://"+path)
			return err == nil
		}, time.Minute, 10*time.Millisecond)
		answer, err := ask(t, "unix://"+mounted)
		require.NoError(t, err)
		require.Equal(t, "1", answer)
	}
	require.Len(t, keeper.names(), 4)
	stop(true)
	stop = keeper.boot(t, "unix://"+path, says("2"))
	for _, p := range []string{path, mounted, path + ".old"} {
		answer, err := ask(t, "unix://"+p)
		require.NoError(t, err, p)
		require.Equal(t, "2", answer, p)
	}
	require.Len(t, keeper.names(), 4)

	// Removed while no server ran.
	stop(true)
	require.NoError(t, os.Remove(path))
	stop = keeper.boot(t, "unix://"+path, says("3"))
	for _, p := range []string{path, mounted} {
		answer, err := ask(t, "unix://"+p)
		require.NoError(t, err, p)
		require.Equal(t, "3", answer, p)
	}

	// What is not ours stays.
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, []byte("data"), 0o600))
	stop(false)
	require.FileExists(t, path)
	require.Empty(t, keeper.names())
}

// However often a socket is removed, the listeners of it are bounded.
func TestListenersAreBounded(t *testing.T) {
	path := filepath.Join(shortDir(t), "api.sock")
	keeper := &holder{}
	for range 20 {
		stop := keeper.boot(t, "unix://"+path, says("1"))
		stop(true)
		require.NoError(t, os.Remove(path))
	}
	stop := keeper.boot(t, "unix://"+path, says("2"))
	answer, err := ask(t, "unix://"+path)
	require.NoError(t, err)
	require.Equal(t, "2", answer)
	require.Len(t, keeper.names(), 16)
	stop(false)
	require.Empty(t, keeper.names())
}

// With another address, the listener of the previous one is closed before the new one is opened: it may be in its way.
func TestAChangedAddressClosesTheOldListener(t *testing.T) {
	dir := shortDir(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	_, port, _ := net.SplitHostPort(free.Addr().String())
	keeper := &holder{}
	previous := ""
	for _, address := range []string{
		"unix://" + dir + "/a.sock", "unix://" + dir + "/b.sock", "tcp://0.0.0.0:" + port, "tcp://127.0.0.1:" + port,
	} {
		stop := keeper.boot(t, address, says(address))
		if path, ok := strings.CutPrefix(previous, "unix://"); ok {
			require.NoFileExists(t, path)
		}
		answer, err := ask(t, address)
		require.NoError(t, err)
		require.Equal(t, address, answer)
		require.Len(t, keeper.names(), 1)
		previous = address
		stop(true)
	}
}

// What others have kept is not touched.
func TestOnlyItsOwnListenersAreTaken(t *testing.T) {
	keeper := &holder{}
	lock, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	require.NoError(t, err)
	defer lock.Close()
	for _, name := range []string{"lock", "apix 1 unix:///x", "api", "api 1"} {
		require.NoError(t, keeper.Keep(name, lock))
	}
	before := keeper.names()
	stop := keeper.boot(t, "unix://"+shortDir(t)+"/a.sock", says("1"))
	stop(false)
	require.Equal(t, before, keeper.names())
}

// A working directory may lie deeper than the address of a socket is long.
func TestALongPath(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs /proc")
	}
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 100), "sub", "api.sock")
	keeper := &holder{}
	stop := keeper.boot(t, "unix://"+path, says("1"))
	answer, err := ask(t, "unix://"+path)
	require.NoError(t, err)
	require.Equal(t, "1", answer)
	stop(true)
	stop = keeper.boot(t, "unix://"+path, says("2"))
	answer, err = ask(t, "unix://"+path)
	require.NoError(t, err)
	require.Equal(t, "2", answer)
	stop(false)
	require.NoFileExists(t, path)
}

// Whatever is kept under whatever name: only keys of the same name are taken, and give back what is in them.
func FuzzKey(f *testing.F) {
	f.Add("api", "64769:12", "unix:///var/run/x y.sock", "lock")
	f.Add("api", "-", "tcp://127.0.0.1:0", "api  ")
	f.Fuzz(func(t *testing.T, name, file, address, other string) {
		if strings.Contains(name+file, " ") {
			t.Skip() // neither has one
		}
		gotFile, gotAddress, ok := http.ParseKey(name, http.Key(name, file, address))
		require.True(t, ok)
		require.Equal(t, file, gotFile)
		require.Equal(t, address, gotAddress)
		if gotFile, gotAddress, ok := http.ParseKey(name, other); ok {
			require.Equal(t, other, http.Key(name, gotFile, gotAddress))
		}
	})
}

// CheckSocket says what Listen would find.
func TestCheckSocket(t *testing.T) {
	dir := t.TempDir()
	for n := 80; n < 130; n += 5 {
		path := filepath.Join(dir, strings.Repeat("d", 60), strings.Repeat("s", n))
		s := http.NewServer(http.ServerConfig{Address: "unix://" + path}, nil)
		err := http.CheckSocket(path)
		if n <= 90 {
			require.NoError(t, err)
			require.NoError(t, s.Listen(), n)
			require.NoError(t, s.Close())
			continue
		}
		require.ErrorContains(t, err, "the system takes 90; shorten it")
		require.ErrorContains(t, s.Listen(), err.Error(), n)
	}
}

// A server that is configured no more leaves no listener with the keeper, which would take connections for nobody.
func TestDrop(t *testing.T) {
	for _, address := range []string{"unix://" + shortDir(t) + "/api.sock", "tcp://127.0.0.1:0"} {
		keeper := &holder{}
		keeper.boot(t, address, says("0"))(true)
		require.Len(t, keeper.names(), 1)
		require.NoError(t, http.Drop(http.Options{Name: "other", Keeper: keeper, Kept: keeper.kept(t)}))
		require.Len(t, keeper.names(), 1, "of another server")
		require.NoError(t, http.Drop(http.Options{Name: "api", Keeper: keeper, Kept: keeper.kept(t)}))
		require.Empty(t, keeper.names())
		if path, ok := strings.CutPrefix(address, "unix://"); ok {
			require.NoFileExists(t, path)
		}
	}
	require.NoError(t, http.Drop(http.Options{Name: "api"}), "without a keeper there is nothing")
}
