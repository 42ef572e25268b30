//go:build unix

package native

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/master/engine/native/launch"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
)

// startTimeout bounds the start of a process by the keeper. A mount that hangs holds the shim up.
const startTimeout = time.Minute

// sandbox implements engine.Sandbox.
type sandbox struct {
	engine   *Engine
	service  engine.Service
	dir      string
	links    []link
	account  account
	warnings []string // what does not hold for any of its instances
	log      log.Logger
}

// Close removes the service's directory. The links in it are removed, not what they lead to.
func (s *sandbox) Close() error {
	s.engine.closed(s.service.Name)
	private := filepath.Join(s.engine.opts.Workdir, instancesDir, s.service.Name)
	return errors.Join(folder.Remove(s.dir), folder.Remove(private))
}

// Start starts the package's program.
func (s *sandbox) Start(ctx context.Context, spec engine.Spec) (engine.Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.engine.opts.Keeper == nil {
		return nil, errors.New("native mode needs a keeper to hold its processes: run `baetyl start`")
	}
	prog, err := findEntry(s.links, s.service.Image, s.engine.opts.Program, true)
	if err != nil {
		return nil, err
	}
	if spec.Handle == "" {
		spec.Handle = fmt.Sprintf("%s/%s/%s", s.service.Name, spec.Name, rand.Text())
	}
	i := s.instance(spec, prog.path)
	notify, err := s.makePrivate(i)
	if err != nil {
		return nil, fmt.Errorf("make folder of the instance: %w", err)
	}
	if err := s.makeCalls(i, prog, spec.Caller); err != nil {
		i.failed(notify)
		return nil, fmt.Errorf("make folder for calls of the instance: %w", err)
	}
	if err := i.tree.make(s.service, spec.Name, s.account.own(), &i.notes); err != nil {
		i.failed(notify)
		return nil, err
	}
	p := s.plan(spec, prog, i)
	if notify != nil {
		p.notify = notifyPath(i.private)
	}
	i.describe = p.launch
	p.sockets, p.kept = s.engine.sockets.begin(i.key())
	err = engine.CheckExec(nil, p.args, p.environ())
	var ks keeper.Spec
	if err == nil {
		ks, err = p.keeper()
	}
	if err == nil {
		i.held, err = s.run(ctx, ks)
	}
	if err != nil {
		i.failed(notify)
		return nil, explain(prog.path, variable("PATH", p.environ()), tooLow(s.service.Resources, err))
	}
	s.watch(i, notify)
	return i, nil
}

// run starts a process. When ctx ends meanwhile, nothing of it is left.
func (s *sandbox) run(ctx context.Context, ks keeper.Spec) (keeper.Process, error) {
	k := s.engine.opts.Keeper
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	p, err := k.Start(sctx, ks)
	for tries := 0; errors.Is(err, syscall.ETXTBSY) && tries < 20 && ctx.Err() == nil; tries++ {
		// "Text file busy": a process that was forked while the file was written still has it open for a moment.
		time.Sleep(10 * time.Millisecond)
		p, err = k.Start(sctx, ks)
	}
	if err == nil {
		err = ctx.Err()
	} else if sctx.Err() == nil {
		return p, err // the keeper holds nothing
	}
	if err == nil {
		return p, nil
	}
	_ = k.Signal(ks.Handle, syscall.SIGKILL) // fails when there is none
	select {
	case <-k.Ended(ks.Handle):
	case <-time.After(killTimeout):
	}
	_ = k.Release(ks.Handle) // what is left of it is ended by the next master
	return p, err
}

// Adopt finds the instance by its handle.
func (s *sandbox) Adopt(ctx context.Context, spec engine.Spec, r engine.Record) (engine.Instance, error) {
	if r.Boot != "" && r.Boot != measure.BootID() {
		return nil, engine.ErrGone
	}
	held, ok := s.engine.take(r.Handle)
	if !ok {
		return nil, engine.ErrGone
	}
	// The package may be gone: the process is not.
	prog, _ := findEntry(s.links, s.service.Image, s.engine.opts.Program, true)
	spec.Handle = r.Handle
	i := s.instance(spec, prog.path)
	i.held = held
	i.tree.open(s.service.Name, spec.Name)
	i.tree.endLeaves()
	i.describe = func() launch.Spec { return s.plan(spec, prog, i).launch() }
	if held.End != nil {
		i.tree.sure = i.private
	}
	if r.Process != nil {
		i.record.Process = r.Process
	}
	s.watch(i, s.engine.sockets.adopted(i.key()))
	_ = i.Thaw(ctx) // an earlier master may have ended while it was frozen; an error: nothing of it is there
	return i, nil
}

// failed forgets an instance that could not start.
func (i *instance) failed(notify *os.File) {
	if notify != nil {
		_ = notify.Close()
	}
	i.quiet()
	i.removeFiles()
}

// instance makes what Start and Adopt have in common.
func (s *sandbox) instance(spec engine.Spec, program string) *instance {
	e := s.engine
	i := &instance{
		keeper:  e.opts.Keeper,
		signals: s.service.Stop.Signal.Signal(),
		tree:    &tree{all: e.opts.Cgroups},
		private: privateDir(e.opts.Workdir, s.service.Name, spec.Name),
		calls:   callsDirOf(e.opts.Workdir, s.service.Name, spec.Name),
		notes:   slices.Clone(s.warnings),
		lost:    make(chan struct{}),
		done:    make(chan struct{}),
		sockets: e.sockets,
		uid:     s.account.uid,
		sole:    s.account.own() && s.service.User == "",
		log:     s.log.WithField(log.KeyInstance, spec.Name),
		record: engine.Record{
			Engine: masterapi.ModeNative, Service: s.service.Name, Instance: spec.Name, Handle: spec.Handle,
			Process: &masterapi.Process{Name: filepath.Base(program)}, Boot: measure.BootID(),
		},
	}
	if i.uid < 0 {
		i.uid = os.Geteuid()
	}
	if text := checkSocket(i.private); text != "" {
		i.notes = append(i.notes, text)
	}
	return i
}

// watch begins to wait for the end of a process that is held, and to listen to it.
func (s *sandbox) watch(i *instance, notify *os.File) {
	pid := i.held.PID
	i.record.Process = &masterapi.Process{ID: pid, Name: i.record.Process.Name}
	i.record.Started = startOf(pid)
	i.meter = &meter{leader: measure.ProcessMeter{PID: pid}, began: i.held.Started}
	i.tree.group = pid
	i.log = i.log.WithField(log.KeyPID, pid)
	i.openNotifier(notify)
	go i.wait()
}

// makePrivate makes the folder of an instance, and the socket in it that the instance is heard at; nil: there is none.
// What an earlier one left there is removed. The folder is given to the user last: until then nobody can put something
// in the place of the socket. Persons may enter it, not list it: a service such as the hub has a socket for them there.
func (s *sandbox) makePrivate(i *instance) (notify *os.File, err error) {
	if err := folder.Remove(i.private); err != nil {
		return nil, err
	}
	mode, group := fs.FileMode(0o700), s.account.gid
	if s.account.persons > 0 {
		mode, group = 0o710, s.account.persons
	}
	if err := makeFolder(i.private, mode, -1, -1); err != nil {
		return nil, err
	}
	if path := notifyPath(i.private); path != "" {
		if notify, err = openNotify(path, s.account.uid, s.account.gid); err != nil {
			return nil, err
		}
		if err := s.engine.sockets.keepNotify(i.key(), notify); err != nil {
			i.log.WithError(err).Warnf("the next master will not hear the instance: new ports of it do not survive it then")
		}
	}
	if err := os.Lchown(i.private, s.account.uid, group); err != nil {
		i.failed(notify)
		return nil, err
	}
	return notify, nil
}

// plan collects what the start of an instance depends on.
func (s *sandbox) plan(spec engine.Spec, prog program, i *instance) plan {
	e := s.engine
	can := e.abilities()
	p := plan{
		service: s.service, spec: spec, account: s.account,
		hideProc: can.HideProc == nil, ownIPC: can.PrivateIPC == nil,
		program: prog.path, args: slices.Concat(prog.args, s.service.Args), dir: s.dir, private: i.private,
		shim: selfExe(), parent: e.opts.Parent,
		cgroup: i.tree.v2(), cgroups: i.tree.v1(),
		output:  e.output(s.service.Name, spec.Name),
		inherit: os.Environ(),
	}
	if i.called && s.account.uid >= 0 {
		p.account.umask &^= 0o020 // its caller, which is the group of the socket, may write to it
	}
	if can.Namespaces == nil {
		v := see(e.site(s, prog, append(i.sees, i.private), variable("PATH", p.environ())))
		if can.ReadOnly != nil {
			v = v.withoutReadOnly()
		}
		p.view = &v
	}
	return p
}
