//go:build unix

package native

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/protocol/app"
)

// callsDir holds a folder for each instance that its caller calls over a unix socket:
//
//	calls/            the master's, 0711: names in it can be passed, not listed
//	  <digest>/       the instance's user, the group of its caller, 02710: both may enter, the instance alone may write
//	    call.sock     the socket: the group of the folder, and writable for it by the umask of the instance
//
// Every service that may start instances sees all of them in its mount namespace, and enters its own.
const callsDir = runDir + "/calls"

// callsDirOf is the folder of one instance. A short name, since the path of a socket is.
func callsDirOf(workdir, service, instance string) string {
	sum := sha256.Sum256([]byte(service + "/" + instance))
	return filepath.Join(workdir, callsDir, hex.EncodeToString(sum[:6]))
}

// Socket implements engine.Caller. It is empty where the path would be too long, which is logged once: the instance
// gets a port then.
func (e *Engine) Socket(s engine.Service, instance string) string {
	links, err := e.links(s, folder.Find)
	if err != nil {
		return "" // the start says why
	}
	if prog, err := findEntry(links, s.Image, e.opts.Program, false); err != nil || !prog.socket {
		return ""
	}
	path := filepath.Join(callsDirOf(e.opts.Workdir, s.Name, instance), "call.sock")
	if len(path) > maxSocket {
		e.long.Do(func() {
			const text = "the path %s has %d bytes, and those of unix sockets at most %d: functions listen on ports of " +
				"127.0.0.1 instead; install below a shorter path"
			e.opts.Log.Warnf(text, path, len(path), maxSocket)
		})
		return ""
	}
	return path
}

// starts tells whether the service may start instances of others, and so calls them.
func (s *sandbox) starts() bool { return app.Has(s.service.Rights(), app.RightStart) }

// makeCalls makes what the instance needs for calls of caller, the zero value of which is nobody, and what a service
// needs that starts instances itself.
func (s *sandbox) makeCalls(i *instance, prog program, caller engine.Member) error {
	all := filepath.Join(s.engine.opts.Workdir, callsDir)
	called := prog.socket && caller.Service != ""
	if called || s.starts() {
		if err := makeFolder(all, 0o711, -1, -1); err != nil {
			return err
		}
	}
	if s.starts() {
		i.sees = append(i.sees, all)
	}
	if !called {
		return nil
	}
	if err := folder.Remove(i.calls); err != nil {
		return err
	}
	uid, gid, mode := s.account.uid, s.account.gid, fs.FileMode(0o700)
	if uid >= 0 { // services have users of their own
		to, err := s.engine.userOf(engine.Service{Service: app.Service{Name: caller.Service, User: caller.User}})
		if err != nil {
			return err
		}
		gid, mode = to.gid, os.ModeSetgid|0o710
	}
	if err := makeFolder(i.calls, 0o700, uid, gid); err != nil {
		return err
	}
	if err := os.Chmod(i.calls, mode); err != nil { // after the owner, a change of which may take the bit away
		return err
	}
	i.called = true
	i.sees = append(i.sees, i.calls)
	return nil
}
