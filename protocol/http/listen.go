package http

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/run"
)

// maxSockets is how many listeners a server has: that of its address, and those of files that were removed, which
// containers may have mounted. The oldest goes.
const maxSockets = 16

// socket is one listener.
type socket struct {
	net.Listener
	path   string      // of a unix socket; empty: tcp
	file   string      // which file at path leads here (fileID)
	key    string      // at the keeper
	closed atomic.Bool // on purpose
}

// A key is "<name> <file> <address>". It says all that the next server has to know.
func (s *Server) key(file string) string { return s.opts.Name + " " + file + " " + s.cfg.Address }

// parseKey returns the parts of a key; ok is false for what another one has kept.
func parseKey(name, key string) (file, address string, ok bool) {
	of, rest, _ := strings.Cut(key, " ")
	file, address, ok = strings.Cut(rest, " ")
	return file, address, ok && of == name
}

// listen fills s.sockets.
func (s *Server) listen(a addr.Address) error {
	path := ""
	if a.Scheme == "unix" {
		path = a.Path
	}
	if err := s.take(path); err != nil {
		return err
	}
	if path != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		at := fileID(path)
		if i := slices.IndexFunc(s.sockets, func(l *socket) bool { return l.file == at }); at != "" && i >= 0 {
			current := s.sockets[i]
			s.sockets = append(slices.Delete(s.sockets, i, i+1), current)
			return s.own(path)
		}
		_, err := s.renew(path)
		return err
	}
	if len(s.sockets) > 0 {
		return nil
	}
	l, err := net.Listen("tcp", a.Host)
	if err != nil {
		return err
	}
	return s.add(&socket{Listener: l, key: s.key("-")})
}

// take takes over the listeners of this address that the keeper holds, and closes those of other addresses: the new
// address may be one that they occupy.
func (s *Server) take(path string) error {
	for _, key := range slices.Sorted(maps.Keys(s.opts.Kept)) {
		file, address, ok := parseKey(s.opts.Name, key)
		if !ok {
			continue
		}
		f := s.opts.Kept[key]
		delete(s.opts.Kept, key)
		if address != s.cfg.Address {
			_ = f.Close()
			if err := giveUp(s.opts.Keeper, key, file, address); err != nil {
				return err
			}
			continue
		}
		l, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("take over the listener: %w", err)
		}
		s.sockets = append(s.sockets, &socket{Listener: l, path: path, file: file, key: key})
	}
	return nil
}

// Drop gives up the listeners of a server that is there no more: those that the keeper holds under the name in opts.
func Drop(opts Options) error {
	var errs []error
	for key, f := range opts.Kept {
		if file, address, ok := parseKey(opts.Name, key); ok {
			delete(opts.Kept, key)
			_ = f.Close()
			errs = append(errs, giveUp(opts.Keeper, key, file, address))
		}
	}
	return errors.Join(errs...)
}

// giveUp lets the keeper close a listener, whose file is removed.
func giveUp(k Keeper, key, file, address string) error {
	if old, err := addr.Listen(address, addr.Server...); err == nil && old.Scheme == "unix" {
		removeFile(old.Path, file)
	}
	if err := k.Keep(key, nil); err != nil {
		return fmt.Errorf("give up the listener on %s: %w", address, err)
	}
	return nil
}

// renew listens on a new file at path.
func (s *Server) renew(path string) (*socket, error) {
	l, err := ListenUnix(path)
	if err != nil {
		return nil, err
	}
	err = s.own(path)
	if err == nil {
		file := fileID(path)
		added := &socket{Listener: l, path: path, file: file, key: s.key(file)}
		if err = s.add(added); err == nil {
			return added, nil
		}
	}
	_ = l.Close()
	return nil, err
}

// add makes l the listener of the address, and gives it to the keeper.
func (s *Server) add(l *socket) error {
	if len(s.sockets) == maxSockets {
		s.drop(s.sockets[0])
		s.sockets = slices.Delete(s.sockets, 0, 1)
	}
	if s.opts.Keeper != nil {
		if err := keep(s.opts.Keeper, l); err != nil {
			return fmt.Errorf("give the listener to the keeper: %w", err)
		}
	}
	s.sockets = append(s.sockets, l)
	return nil
}

func keep(k Keeper, l *socket) error {
	open, ok := l.Listener.(interface{ File() (*os.File, error) })
	if !ok {
		return fmt.Errorf("a listener of type %T has no file", l.Listener)
	}
	f, err := open.File()
	if err != nil {
		return err
	}
	defer f.Close()
	// Whoever takes the number of f by its method Fd makes f block, and with it the listener, which shares its state.
	return errors.Join(k.Keep(l.key, f), unblock(l.Listener))
}

// own gives the file at path its mode and its group.
func (s *Server) own(path string) error {
	if s.opts.Group != 0 {
		if err := os.Lchown(path, -1, s.opts.Group); err != nil {
			return err
		}
	}
	return os.Chmod(path, s.opts.Mode)
}

// drop closes a listener for good.
func (s *Server) drop(l *socket) {
	l.closed.Store(true)
	if s.opts.Keeper != nil {
		if err := s.opts.Keeper.Keep(l.key, nil); err != nil {
			s.opts.Log.WithError(err).Warnf("cannot give up the listener on %s", s.cfg.Address)
		}
	}
	_ = l.Close() // the file is another one's by now, or removed
}

// remove removes the file of a unix socket, then the listeners from the keeper; this process goes on listening.
func (s *Server) remove() {
	for _, l := range s.sockets {
		if l.path != "" {
			removeFile(l.path, l.file)
		}
		if s.opts.Keeper == nil {
			continue
		}
		if err := s.opts.Keeper.Keep(l.key, nil); err != nil {
			s.opts.Log.WithError(err).Warnf("cannot give up the listener on %s", s.cfg.Address)
		}
	}
}

// removeFile removes the file at path if it is still that one.
func removeFile(path, file string) {
	if file != "" && fileID(path) == file {
		_ = os.Remove(path) // a file that stays is stale, and replaced by the next server
	}
}

// watch looks whether the file of the socket is there, and makes it anew where it is not.
func (s *Server) watch(ctx context.Context, accept func(*socket)) {
	path := s.sockets[len(s.sockets)-1].path
	if path == "" {
		return
	}
	trouble := ""
	_ = run.Every(ctx, watchInterval, func() { // nil, always
		if fileID(path) == s.sockets[len(s.sockets)-1].file {
			trouble = ""
			return
		}
		l, err := s.renew(path)
		if err != nil {
			if trouble != err.Error() { // once, not every two seconds
				trouble = err.Error()
				s.opts.Log.WithError(err).Warnf("the socket %s was removed, and cannot be made anew", path)
			}
			return
		}
		s.opts.Log.Warnf("the socket %s was removed: it is made anew", path)
		accept(l)
	})
}

// ListenUnix opens the socket at path, however long that is on Linux, in a folder that is made if it is missing. A
// socket that refuses connections was left by a killed server and is replaced; a socket that accepts them, and a file
// that is no socket, are errors. The file stays when the listener is closed.
func ListenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s exists and is not a socket; remove it or choose another address", path)
	default:
		conn, err := dialUnix(context.Background(), &net.Dialer{Timeout: time.Second}, path)
		if err == nil {
			_ = conn.Close()
			return nil, errors.New("another process serves this socket; stop it first")
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%s is not known to be stale: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	if err := CheckSocket(path); err != nil {
		return nil, err
	}
	var l *net.UnixListener
	err = short(path, func(path string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the file may be another one's by then, or the keeper's
	return l, nil
}

// dialUnix connects to the socket at path, however long that is.
func dialUnix(ctx context.Context, d *net.Dialer, path string) (conn net.Conn, err error) {
	err = short(path, func(path string) (err error) {
		conn, err = d.DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}

// The address of a socket has 108 bytes on Linux and 104 elsewhere, one of them a zero at its end.
const (
	shortPath = 103 // fits everywhere
	shortName = 90  // fits behind /proc/self/fd/99/
)

// CheckSocket says why no server can listen on a unix socket at path; nil: nothing of the path speaks against it.
func CheckSocket(path string) error {
	const text = "the %s of the socket %s has %d bytes, the system takes %d; shorten it"
	name := filepath.Base(path)
	switch {
	case len(path) <= shortPath:
		return nil
	case runtime.GOOS == "linux" && len(name) <= shortName:
		return nil
	case runtime.GOOS == "linux":
		return fmt.Errorf(text, "name", path, len(name), shortName)
	}
	return fmt.Errorf(text, "path", path, len(path), shortPath)
}

// short calls f with a path to the same file that fits into the address of a socket.
func short(path string, f func(path string) error) error {
	if len(path) <= shortPath || runtime.GOOS != "linux" {
		return f(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}
