//go:build unix

// Package native runs services as processes of the host (documents: "Native Engine"). The image of a service names
// a package: a folder with a program, in one of its volumes.
//
//	Open   var/run/baetyl/services/<service>/        working directory of every instance
//	         etc/baetyl      ─link─► <workdir>/var/db/baetyl/…   a mount; the link cannot leave the master's folders
//	         var/run/baetyl.sock ─link─► socket of the API
//	Start  lib/baetyl/<image>/package.yml ─► entry ─► process in a group of its own
//	         as root on Linux: in a mount namespace, where the sources of read-only mounts are read-only (Shim)
//	         stdout, stderr ─► var/log/baetyl/services/<service>.log
//	Stop   SIGTERM to the group ─► grace ─► SIGKILL to the group
//
// It promises that a process and everything in its process group is gone when Done is closed, and that a later master
// finds by pid, start time and boot what this one left. It isolates nothing else: processes share network, users and
// files of the host, and one that runs as root can make a read-only mount writable again. A child in a session of its
// own (setsid) is not stopped.
package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
)

// Folders below the working directory of the master.
const (
	servicesDir = "var/run/baetyl/services"
	socketPath  = "var/run/baetyl.sock"
)

// Options are what the engine needs to know of the master.
type Options struct {
	Workdir string     // absolute
	Socket  string     // absolute path of the API's socket; empty when the API listens on tcp
	Output  log.Config // limits of the files that catch stdout and stderr; Path is not used
	// Shim says that this program calls Shim when its first argument is ShimArg. Then the engine makes read-only mounts
	// read-only, where the system allows it (canProtect).
	Shim bool
	Log  log.Logger
}

// Engine implements engine.Engine.
type Engine struct {
	opts     Options
	probe    sync.Once
	protects bool // read-only mounts can be made read-only; written under probe
}

var _ engine.Engine = (*Engine)(nil)

// New returns the engine. It opens nothing.
func New(opts Options) *Engine { return &Engine{opts: opts} }

// Name is native.
func (e *Engine) Name() string { return masterapi.ModeNative }

// Address gives the path of the linked socket, which is the same in every service; other addresses are those of the
// host.
func (e *Engine) Address(address string) string {
	if a, err := addr.Listen(address, addr.Server...); err == nil && a.Scheme == "unix" {
		return "unix://" + socketPath
	}
	return address
}

// Close removes the folder of the services' directories, which is empty by now.
func (e *Engine) Close() error {
	err := os.Remove(filepath.Join(e.opts.Workdir, servicesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Prepare checks the mounts of the service. Its package is checked when it starts.
func (e *Engine) Prepare(_ context.Context, s engine.Service) error {
	_, err := e.links(s)
	return err
}

// Open makes the service's directory anew.
func (e *Engine) Open(_ context.Context, s engine.Service) (engine.Sandbox, error) {
	links, err := e.links(s)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(e.opts.Workdir, servicesDir, s.Name)
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("clear directory of service: %w", err)
	}
	if err := build(dir, links); err != nil {
		_ = os.RemoveAll(dir) // the error of build is returned
		return nil, err
	}
	l := e.opts.Log.WithField(log.KeyService, s.Name)
	protect := protected(links)
	if len(protect) > 0 && !e.canProtect() {
		protect = nil
	}
	l.WithField("file", output.File(s.Name)).Infof("output of the service is written to a file")
	return &sandbox{
		service:  s,
		dir:      dir,
		readonly: protect,
		log:      l,
		output:   output.Open(e.opts.Workdir, s.Name, e.opts.Output, l),
	}, nil
}

// canProtect tells whether read-only mounts can be made read-only. It tries once, and logs why they cannot.
func (e *Engine) canProtect() bool {
	e.probe.Do(func() {
		if !e.opts.Shim {
			return
		}
		err := tryShim(e.opts.Workdir)
		if err != nil {
			e.opts.Log.WithField(log.KeyReason, err.Error()).
				Warnf("read-only mounts are links only: nothing keeps services from writing to them")
		}
		e.protects = err == nil
	})
	return e.protects
}
