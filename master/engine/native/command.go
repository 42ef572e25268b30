//go:build unix

package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/master/engine/native/launch"
)

// commands are those that run in an instance.
type commands struct {
	mu    sync.Mutex // guards what follows
	ended bool       // the instance has: no more begin
	stop  map[*context.CancelCauseFunc]bool
	run   sync.WaitGroup
}

// begin registers a command: ctx ends with the instance too.
func (c *commands) begin(ctx context.Context) (context.Context, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil, nil, engine.ErrEnded
	}
	ctx, cancel := context.WithCancelCause(ctx)
	if c.stop == nil {
		c.stop = map[*context.CancelCauseFunc]bool{}
	}
	c.stop[&cancel] = true
	c.run.Add(1)
	return ctx, func() {
		c.mu.Lock()
		delete(c.stop, &cancel)
		c.mu.Unlock()
		cancel(nil)
		c.run.Done()
	}, nil
}

// end kills all commands, and waits for it.
func (c *commands) end() {
	c.mu.Lock()
	c.ended = true
	for cancel := range c.stop {
		(*cancel)(engine.ErrEnded)
	}
	c.mu.Unlock()
	c.run.Wait()
}

// Exec runs a command in the namespaces of the process, below its cgroup, as its user. It is a child of a warden, which
// ends it with all that it has started when the command, the instance or this master ends (launch.Order). What the
// command writes is read to the end after that.
func (i *instance) Exec(ctx context.Context, e engine.Exec) (int, error) {
	if i.describe == nil || len(e.Args) == 0 {
		return 0, errors.New("run a command: there is none, or its instance is not known")
	}
	ctx, done, err := i.commands.begin(ctx)
	if err != nil {
		return 0, err
	}
	released := sync.OnceFunc(done)
	defer released()
	status, err := i.ward(ctx, e, released)
	if err != nil {
		return 0, fmt.Errorf("run %s in %s: %w", e.Args[0], i.record.Instance, err)
	}
	return status, nil
}

var commandNumber atomic.Int64 // of the leaves of this process

// ward runs a command to its end, and calls gone when nothing of it is left: its output may still wait for a reader,
// for whom the instance does not wait.
func (i *instance) ward(ctx context.Context, e engine.Exec, gone func()) (status int, err error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	order := launch.Order{Spec: i.commandSpec(e)}
	joined, err := namespaces(i.held.PID, i.record.Started)
	if err != nil {
		return 0, err
	}
	defer closeFiles(joined)
	order.Spec.Join = len(joined)
	if i.tree.in != nil {
		name := strconv.Itoa(os.Getpid()) + "." + strconv.FormatInt(commandNumber.Add(1), 10)
		leaf, err := i.tree.all.Leaf(i.tree.in, name)
		if err != nil {
			return 0, err
		}
		left := gone
		gone = sync.OnceFunc(func() { i.endCommand(leaf); left() })
		defer gone()
		order.Cgroups, order.Spec.Cgroups = leaf.Paths(), leaf.Paths()
	}
	data, err := order.Encode()
	if err != nil {
		return 0, err
	}
	return i.warden(ctx, e, data, joined, gone)
}

// endCommand ends what a warden that was killed itself has left.
func (i *instance) endCommand(leaf *cgroup.Group) {
	if err := endLeaf(leaf); err != nil {
		i.log.WithError(err).Warnf("a command has left something, which ends with the instance")
	}
}

// commandSpec is what the shim of a command does: the same as that of the instance, but that it joins what that has
// made.
func (i *instance) commandSpec(e engine.Exec) launch.Spec {
	s := i.describe()
	env := map[string]string{}
	for _, kv := range s.Env {
		if k, v, ok := strings.Cut(kv, "="); ok && k != envNotify { // a command is not the instance
			env[k] = v
		}
	}
	if e.Dir != "" {
		s.Dir = e.Dir
		env["PWD"] = e.Dir
	}
	for k, v := range e.Env {
		env[k] = v
	}
	s.Program, s.Args, s.Find, s.Terminal = e.Args[0], e.Args, true, e.Terminal != nil
	s.Env = nil
	for k, v := range env {
		s.Env = append(s.Env, k+"="+v)
	}
	slices.Sort(s.Env)
	s.Hidden, s.Binds, s.ReadOnly, s.ReadOnlyRoot = nil, nil, nil, false
	s.PrivateTmp, s.PrivateIPC, s.HideProc, s.Listen = false, false, false, nil
	return s
}

// namespaces opens those of a process that are not those of the master, in the order in which they are entered. started
// tells it from another one with its number.
func namespaces(pid int, started string) (files []*os.File, err error) {
	for _, kind := range []string{"ipc", "net", "uts", "mnt"} {
		at := "/proc/" + strconv.Itoa(pid) + "/ns/" + kind
		theirs, err := os.Readlink(at)
		ours, ownErr := os.Readlink("/proc/self/ns/" + kind)
		if errors.Is(err, os.ErrNotExist) && ownErr != nil || err == nil && theirs == ours {
			continue // a kernel without it, or the same one
		}
		var f *os.File
		if err == nil {
			f, err = os.Open(at)
		}
		if err != nil {
			closeFiles(files)
			return nil, fmt.Errorf("open the namespaces of the instance: %w", err)
		}
		files = append(files, f)
	}
	if startOf(pid) != started || started == "" {
		closeFiles(files)
		return nil, engine.ErrEnded
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
