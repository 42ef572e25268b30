//go:build unix

package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/utils/log"
)

// reapGrace is the time between SIGTERM and SIGKILL for processes of an earlier master.
const reapGrace = 5 * time.Second

// instanceKey is the service and the name of an instance.
type instanceKey struct{ service, instance string }

func keyOf(r engine.Record) instanceKey { return instanceKey{r.Service, r.Instance} }

// Reap ends what is there of earlier masters and not in keep: what the keeper holds; what is in a cgroup of ours, or in
// a service's directory, since its keeper was killed; and what a master without a keeper left (legacy.go). Then it
// removes the directories that belong to nothing in keep.
func (e *Engine) Reap(ctx context.Context, records, keep []engine.Record) error {
	ctx, cancel := context.WithTimeout(ctx, reapGrace)
	defer cancel()
	kept := map[instanceKey]bool{}
	handles := map[string]bool{}
	for _, r := range keep {
		kept[keyOf(r)], handles[r.Handle] = true, true
	}
	e.endHeld(ctx, records, handles)
	err := errors.Join(e.endLeft(ctx, records, kept), e.endGroups(ctx, kept), e.removeFolders(keep))
	e.sockets.reaped(kept)
	return err
}

// endHeld ends what the keeper holds.
func (e *Engine) endHeld(ctx context.Context, records []engine.Record, keep map[string]bool) {
	byHandle := map[string]engine.Record{}
	for _, r := range records {
		byHandle[r.Handle] = r
	}
	e.mu.Lock()
	var unwanted []keeper.Process
	for handle, p := range e.held {
		if !keep[handle] {
			unwanted = append(unwanted, p)
			delete(e.held, handle)
		}
	}
	e.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range unwanted {
		wg.Go(func() { e.endProcess(ctx, p, byHandle[p.Handle]) })
	}
	wg.Wait()
}

// endProcess ends one that the keeper holds and nobody wants.
func (e *Engine) endProcess(ctx context.Context, p keeper.Process, r engine.Record) {
	i := e.unwanted(p, r)
	if p.End == nil {
		i.log.Warnf("process was left by an earlier master and is stopped")
	}
	go i.wait()
	i.Stop(ctx)
}

// Discard ends what the keeper holds of r, and what is left in its cgroup and its folder.
func (e *Engine) Discard(ctx context.Context, r engine.Record) error {
	ctx, cancel := context.WithTimeout(ctx, reapGrace)
	defer cancel()
	if p, ok := e.take(r.Handle); ok {
		e.endProcess(ctx, p, r)
	}
	var err error
	if e.opts.Cgroups != nil {
		if g, opened := e.opts.Cgroups.Open(r.Service, r.Instance); opened == nil { // else there is none
			err = e.endGroup(ctx, g)
		}
	}
	return errors.Join(err, folder.Remove(privateDir(e.opts.Workdir, r.Service, r.Instance)),
		folder.Remove(callsDirOf(e.opts.Workdir, r.Service, r.Instance)))
}

// unwanted is a process that nobody wants, as far as it is known. r may be empty.
func (e *Engine) unwanted(p keeper.Process, r engine.Record) *instance {
	i := &instance{
		keeper: e.opts.Keeper, held: p, record: r, signals: syscall.SIGTERM,
		lost: make(chan struct{}), done: make(chan struct{}),
		tree: &tree{all: e.opts.Cgroups, group: p.PID},
		log:  logOf(e.opts.Log, r).WithField(log.KeyPID, p.PID),
	}
	if r.Service != "" {
		i.private = privateDir(e.opts.Workdir, r.Service, r.Instance)
		i.calls = callsDirOf(e.opts.Workdir, r.Service, r.Instance)
		i.tree.open(r.Service, r.Instance)
		i.sockets = e.sockets
	}
	if p.End != nil {
		i.tree.sure = filepath.Join(i.private, "of nobody") // without a cgroup it cannot be told what is left of it
	}
	return i
}

func logOf(l log.Logger, r engine.Record) log.Logger {
	return l.WithField(log.KeyService, r.Service).WithField(log.KeyInstance, r.Instance)
}

// endGroups ends what is in cgroups of ours that belong to nothing in keep, and removes them.
func (e *Engine) endGroups(ctx context.Context, keep map[instanceKey]bool) error {
	if e.opts.Cgroups == nil {
		return nil
	}
	var errs []error
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, g := range e.opts.Cgroups.Left() {
		if keep[instanceKey{g.Service, g.Instance}] {
			continue
		}
		wg.Go(func() {
			err := e.endGroup(ctx, g)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (e *Engine) endGroup(ctx context.Context, g *cgroup.Group) error {
	if g.Populated() {
		logOf(e.opts.Log, engine.Record{Service: g.Service, Instance: g.Instance}).
			Warnf("processes were left by an instance of an earlier keeper and are stopped")
		_ = g.Signal(syscall.SIGTERM) // an error means that they have ended
		_ = g.Signal(syscall.SIGCONT)
	}
	tick := time.NewTicker(orphanInterval)
	defer tick.Stop()
	for ctx.Err() == nil && g.Populated() {
		<-tick.C
	}
	kctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	if err := g.Kill(kctx); err != nil {
		return fmt.Errorf("end processes of an earlier keeper: %w", err)
	}
	if err := g.Remove(); err != nil {
		return fmt.Errorf("remove cgroup of instance %s: %w", g.Instance, err)
	}
	return nil
}

// removeFolders removes the directories of services and instances that are not in keep, and not open.
func (e *Engine) removeFolders(keep []engine.Record) error {
	services, private, calls := map[string]bool{}, map[string]bool{}, map[string]bool{}
	e.mu.Lock()
	for s := range e.open {
		services[s] = true
	}
	e.mu.Unlock()
	for _, r := range keep {
		services[r.Service] = true
		private[privateDir(e.opts.Workdir, r.Service, r.Instance)] = true
		calls[callsDirOf(e.opts.Workdir, r.Service, r.Instance)] = true
	}
	err := removeOthers(filepath.Join(e.opts.Workdir, servicesDir), func(name string) bool { return services[name] })
	root := filepath.Join(e.opts.Workdir, instancesDir)
	err = errors.Join(err, removeOthers(root, func(name string) bool {
		return services[name] || private[filepath.Join(root, name)]
	}))
	all := filepath.Join(e.opts.Workdir, callsDir)
	err = errors.Join(err, removeOthers(all, func(name string) bool { return calls[filepath.Join(all, name)] }))
	for s := range services {
		dir := filepath.Join(root, s)
		err = errors.Join(err, removeOthers(dir, func(name string) bool { return private[filepath.Join(dir, name)] }))
	}
	if err != nil {
		return fmt.Errorf("remove directories of services: %w", err)
	}
	if len(services) == 0 {
		return e.removeAll()
	}
	return nil
}

// removeOthers removes what is in dir and not wanted.
func removeOthers(dir string, wanted func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, d := range entries {
		if !wanted(d.Name()) {
			err = errors.Join(err, folder.Remove(filepath.Join(dir, d.Name())))
		}
	}
	return err
}
