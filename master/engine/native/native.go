//go:build unix

// Package native runs services as processes of the host (documents: "Native Engine"). The image of a service names
// a package: a folder with a program, in one of its volumes. The engine starts no process itself: the keeper does, so
// that processes outlive the master.
//
//	Open   var/run/baetyl/services/<service>/        working directory of every instance, its own user's
//	         etc/baetyl      ─link─► <workdir>/var/db/baetyl/…   a mount; the link cannot leave the master's folders
//	         var/run/baetyl.sock ─link─► socket of the API
//	Start  lib/baetyl/<image>/package.yml ─► entry     plan: service, user, what the host allows ─► what the shim does
//	         ─► keeper ─fork─► launch (user, mounts, capabilities, limits) ─exec─► program, same pid
//	Adopt  handle in the record ─► the keeper holds it, running or ended ─► the same as after Start
//	Stop   signal to the process group ─► grace ─► SIGKILL to all that the instance has started: its cgroup
//
// It promises that nothing of an instance is left when Done is closed, as far as the host has cgroups for it, and its
// process group otherwise; that a later master finds what this one left by the handle of the keeper, and ends what is
// not wanted; and that it signals no process that is not certain to be one of ours.
package native

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/master/engine/native/launch"
	"github.com/baetyl/baetyl/master/engine/native/user"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
)

// Keeper starts processes and holds them. *keeper.Client implements it; its documentation is the contract.
type Keeper interface {
	Start(ctx context.Context, s keeper.Spec) (keeper.Process, error)
	Signal(handle string, sig syscall.Signal) error
	Ended(handle string) <-chan struct{}
	End(handle string) (keeper.End, bool)
	Tail(handle string) ([]string, error)
	Release(handle string) error
	Keep(name string, f *os.File) error
}

// Options are what the engine needs to know of the master.
type Options struct {
	Workdir string              // absolute
	Program string              // path of the program of this installation, for ownProgram; empty: not known
	Socket  string              // absolute path of the API's socket; empty when the API listens on tcp
	Output  log.Config          // limits of the files that catch stdout and stderr; Path is not used
	Keeper  Keeper              //
	Held    []keeper.Process    // what the keeper held when this master came
	Kept    map[string]*os.File // what the keeper has kept; those of the engine are taken over
	Parent  int                 // process that holds the instances: they end with it; 0: nobody looks
	Cgroups *cgroup.Tree        // nil: limits do not hold, and a process that leaves its process group is not followed
	// Users opens the users of services. It is called when a service needs one, until it succeeds. nil: services run as
	// the user of the master.
	Users func() (*user.Registry, error)
	// CheckUser says why the `user` of a service is none of this host, without Users. nil: it is not checked
	CheckUser func(text string) error
	// NoUsers and NoCgroups say why Users or Cgroups is nil, for people.
	NoUsers, NoCgroups string
	Log                log.Logger
}

// Engine implements engine.Engine.
type Engine struct {
	opts   Options
	limits atomic.Pointer[log.Config] // Options.Output, and what Set has made of it
	probe  sync.Once
	said   sync.Once        // of lacks
	long   sync.Once        // of Socket
	can    launch.Abilities // written under probe

	sockets *sockets

	mu   sync.Mutex                // guards what follows
	held map[string]keeper.Process // of earlier masters, by handle, until adopted or ended
	open map[string]bool           // services with a sandbox

	usersMu sync.Mutex // guards users
	users   *user.Registry
}

var (
	_ engine.Engine = (*Engine)(nil)
	_ engine.Holder = (*Engine)(nil)
	_ engine.Caller = (*Engine)(nil)
)

// New returns the engine. It opens nothing.
func New(opts Options) *Engine {
	e := &Engine{opts: opts, held: map[string]keeper.Process{}, open: map[string]bool{}}
	e.sockets = newSockets(opts.Keeper, opts.Kept, opts.Log)
	for _, p := range opts.Held {
		e.held[p.Handle] = p
	}
	e.Set(opts.Output)
	return e
}

// Set changes Options.Output for the instances that start from now on.
func (e *Engine) Set(output log.Config) { e.limits.Store(&output) }

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

// Run waits for the end of ctx: nobody but root can change what a process was started with.
func (e *Engine) Run(ctx context.Context) { <-ctx.Done() }

// Close removes the folders of the services' directories and of their cgroups: also of services that could not be
// opened and so were never adopted, when the keeper holds nothing of them. A master that leaves its instances to the
// next one leaves them too.
func (e *Engine) Close() error {
	e.mu.Lock()
	used := len(e.open)+len(e.held) > 0
	e.mu.Unlock()
	if used {
		e.sockets.leave()
		return nil
	}
	e.sockets.drop(func(instanceKey) bool { return false })
	err := e.removeAll()
	if e.opts.Cgroups != nil {
		err = errors.Join(err, e.opts.Cgroups.Close())
	}
	return err
}

func (e *Engine) removeAll() error {
	var errs []error
	for _, dir := range []string{servicesDir, instancesDir, callsDir} {
		if err := folder.Remove(filepath.Join(e.opts.Workdir, dir)); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Prepare checks the service as Check does, and finds its user.
func (e *Engine) Prepare(_ context.Context, s engine.Service) error {
	if err := e.Check(s); err != nil {
		return err
	}
	links, err := e.links(s, folder.Source)
	if err != nil {
		return err
	}
	_, err = e.accountOf(s, links)
	return err
}

// Check checks the mounts of the service, its user, its package, and what its program is given.
func (e *Engine) Check(s engine.Service) error {
	links, err := e.links(s, folder.Find)
	if err != nil {
		return err
	}
	if e.ownUser(s) {
		if _, err := e.holdsAll(s, links); err != nil {
			return err
		}
	}
	if s.User != "" && e.opts.CheckUser != nil && e.abilities().Users == nil {
		if err := e.opts.CheckUser(s.User); err != nil {
			return err
		}
	}
	if err := e.checkGive(s, links); err != nil {
		return err
	}
	prog, err := findEntry(links, s.Image, e.opts.Program, false)
	if err != nil {
		return err
	}
	p := plan{
		service: s, spec: engine.Spec{Name: s.Name, Env: s.Env}, account: asMaster, inherit: os.Environ(),
		program: prog.path, args: slices.Concat(prog.args, s.Args), dir: filepath.Join(e.opts.Workdir, servicesDir, s.Name),
		private: privateDir(e.opts.Workdir, s.Name, s.Name),
	}
	if err := engine.CheckExec(nil, p.args, p.environ()); err != nil {
		return err
	}
	if _, err := p.launch().Encode(); err != nil {
		return err
	}
	return checkProgram(prog.path, variable("PATH", p.environ()))
}

// Open makes the service's directory, or brings it up to date.
func (e *Engine) Open(_ context.Context, s engine.Service) (engine.Sandbox, error) {
	links, err := e.links(s, folder.Source)
	if err != nil {
		return nil, err
	}
	a, err := e.accountOf(s, links)
	if err != nil {
		return nil, err
	}
	box := &sandbox{
		engine: e, service: s, links: links, account: a,
		dir: filepath.Join(e.opts.Workdir, servicesDir, s.Name),
		log: e.opts.Log.WithField(log.KeyService, s.Name),
	}
	if box.warnings, err = e.give(s, links, &box.account); err != nil {
		return nil, err
	}
	groups, warnings := devices(s.Devices)
	if box.account.own() {
		for _, g := range groups {
			box.account.add(g)
		}
		box.warnings = append(box.warnings, warnings...)
	}
	if e.opts.Cgroups == nil { // else each instance says it
		box.warnings = append(box.warnings, e.limitsLost(s.Resources)...)
	}
	if err := build(box.dir, links, e.roots(), box.account.uid, box.account.gid); err != nil {
		return nil, err
	}
	for _, w := range box.warnings {
		box.log.Warnf("%s", w)
	}
	box.warnings = append(box.warnings, e.sayLacks()...)
	box.log.WithField("file", output.File(s.Name)).Infof("output of the service is written to a file")
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open[s.Name] = true
	return box, nil
}

// sayLacks returns what no service has on this host, and logs it once.
func (e *Engine) sayLacks() []string {
	lacks := e.lacks(e.abilities())
	e.said.Do(func() {
		if len(lacks) > 0 {
			e.opts.Log.Warnf("this host does not give services all that keeps them apart: %s", strings.Join(lacks, "; "))
		}
	})
	return lacks
}

// Drop lets go the listening sockets of instances that are not wanted.
func (e *Engine) Drop(wanted func(service, instance string) bool) {
	e.sockets.drop(func(k instanceKey) bool { return wanted(k.service, k.instance) })
}

func (e *Engine) closed(service string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.open, service)
}

// take hands over a process of an earlier master. It is handed over once.
func (e *Engine) take(handle string) (keeper.Process, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, ok := e.held[handle]
	delete(e.held, handle)
	return p, ok
}
