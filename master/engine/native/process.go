//go:build unix

package native

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/master/engine/native/launch"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/log"
)

const (
	orphanGrace    = 2 * time.Second       // for SIGTERM to end what a program has left of itself
	orphanInterval = 20 * time.Millisecond // between looks at what is left
	killTimeout    = 5 * time.Second       // for SIGKILL to work; a process that waits for a broken device ignores it
	// giveUp is how long after SIGKILL nobody waits for the leader any more. The keeper gives up what that left before.
	giveUp = killTimeout + 2*time.Second
)

// instance implements engine.Instance: a process that the keeper holds, with all that it has started.
//
//	running ──leader ends──► what it left is asked to end ─► killed if it does not ─► Done ──Stop──► forgotten
//
// What belongs to it is what is in its cgroup; without one, what is in its process group.
type instance struct {
	keeper  Keeper
	held    keeper.Process
	record  engine.Record
	signals syscall.Signal // asks it to end
	tree    *tree
	private string   // folder of the instance
	calls   string   // folder of its socket, which need not be there; empty: of an instance that is not known
	called  bool     // by the service that has started it, over that socket
	sees    []string // folders for calls, in its mount namespace
	notes   []string // warnings that hold from the start on
	meter   *meter
	log     log.Logger

	commands commands           // that run beside it
	describe func() launch.Spec // how it was started; nil: of an instance that is not known

	sockets  *sockets  // nil: of an instance that is not known
	notifier *notifier // nil: it has no notify socket
	uid      int       // of its processes
	sole     bool      // nobody else has that user
	refused  sync.Once // to log the first one of notified
	silent   sync.Once // of quiet

	mu       sync.Mutex // guards the two that follow
	stopping bool
	killed   time.Time // when it was killed first; zero: it was not

	forget sync.Once
	lost   chan struct{} // closed giveUp after it was killed first
	done   chan struct{} // closed by wait
	exit   engine.Exit   // written before done is closed
	oom    int           // processes that the kernel has killed, written before done is closed
	tail   []string      // last lines, written before done is closed: the keeper forgets them with Stop
}

func (i *instance) Record() engine.Record { return i.record }
func (i *instance) Done() <-chan struct{} { return i.done }
func (i *instance) Exit() engine.Exit     { return i.exit }

// Output asks the keeper while the instance runs; when that is gone, so is this master in a moment.
func (i *instance) Output() []string {
	select {
	case <-i.done:
		return i.tail
	default:
		return i.lines()
	}
}

func (i *instance) lines() []string {
	lines, err := i.keeper.Tail(i.held.Handle)
	if err != nil {
		return nil
	}
	return lines
}

// Stats measures the cgroup; what that does not count is measured of the leader alone.
func (i *instance) Stats(context.Context) (*host.CPU, *host.Mem) { return i.meter.get(i.tree.in) }

// Warnings adds what has happened since the start.
func (i *instance) Warnings() []string {
	out := append([]string(nil), i.notes...)
	n := 0
	select {
	case <-i.done:
		n = i.oom
		if n > 0 && i.exit.Err != nil {
			n = 0 // the error says it
		}
	default:
		n = i.tree.oom()
	}
	if n > 0 {
		out = append(out, fmt.Sprintf("a process of the instance was killed by the kernel: %s (%d times)", outOfMemory, n))
	}
	return out
}

const outOfMemory = "out of memory (OOM), see resources.memory.limit"

// Stop ends the instance, with its signal, and SIGKILL when ctx ends. Then nothing of it is held any more, but what the
// kernel does not end: a process that waits for a broken device. That is forgotten when it ends.
func (i *instance) Stop(ctx context.Context) {
	i.mu.Lock()
	i.stopping = true
	i.mu.Unlock()
	select {
	case <-i.done:
	default:
		i.end(ctx)
	}
	i.forget.Do(func() {
		ended := i.keeper.Ended(i.held.Handle)
		select {
		case <-ended:
			i.release()
		default:
			go func() { // ends with the process, or with the connection to the keeper
				<-ended
				i.clear()
				i.release()
			}()
		}
	})
}

// release makes the keeper forget the instance.
func (i *instance) release() {
	i.removeFiles()
	if err := i.keeper.Release(i.held.Handle); err != nil {
		i.log.WithError(err).Warnf("keeper does not forget the instance, which has ended")
	}
}

func (i *instance) end(ctx context.Context) {
	if !errors.Is(context.Cause(ctx), engine.ErrKill) {
		i.signal(i.signals)
		i.signal(syscall.SIGCONT) // one that was stopped takes the signal only then
		select {
		case <-i.done:
			return
		case <-ctx.Done():
		}
	}
	i.log.Warnf("instance has not ended by itself and is killed (SIGKILL)")
	i.kill()
	<-i.done
}

// signal sends sig to the process group as long as its leader has not ended.
func (i *instance) signal(sig syscall.Signal) {
	_ = i.keeper.Signal(i.held.Handle, sig) // an error means that it has ended, or that the keeper has
}

func (i *instance) kill() {
	i.noteKill()
	i.signal(syscall.SIGKILL)
	i.tree.kill()
}

func (i *instance) noteKill() {
	i.mu.Lock()
	first := i.killed.IsZero()
	if first {
		i.killed = time.Now()
	}
	i.mu.Unlock()
	if first {
		time.AfterFunc(giveUp, func() { close(i.lost) })
	}
}

// state tells whether the instance is being stopped, and when it was killed; zero: it was not.
func (i *instance) state() (stopping bool, killed time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stopping, i.killed
}

// wait waits for the end of the process. One goroutine runs it. One that was killed and does not end is given up.
func (i *instance) wait() {
	unknown := errors.New("process exit code: unknown to the keeper")
	select {
	case <-i.keeper.Ended(i.held.Handle):
		i.commands.end()
		i.clear()
	case <-i.lost:
		i.commands.end()
		unknown = errors.New("process cannot be killed and keeps running: it waits for a device")
		i.log.WithError(unknown).Errorf("instance is given up")
	}
	end, ok := i.keeper.End(i.held.Handle)
	i.oom, i.tail = i.tree.oom(), i.lines()
	if ok {
		i.exit = engine.Exit{Err: endError(end, i.oom), Ran: end.At.Sub(i.held.Started)}
	} else {
		i.exit = engine.Exit{Err: unknown, Ran: time.Since(i.held.Started)}
	}
	i.quiet()
	_ = i.removeFolders() // Stop says why it cannot
	close(i.done)
}

// endError is nil for status 0.
func endError(end keeper.End, oom int) error {
	var err error
	switch {
	case end.Signal == int(syscall.SIGKILL) && oom > 0:
		return fmt.Errorf("process exit code: killed by the kernel: %s", outOfMemory)
	case end.Signal != 0:
		err = fmt.Errorf("process exit code: signal: %s", syscall.Signal(end.Signal))
	case end.Code != 0:
		err = fmt.Errorf("process exit code: exit status %d", end.Code)
	}
	if err != nil && oom > 0 {
		err = fmt.Errorf("%w; the kernel has killed a process of it: %s", err, outOfMemory)
	}
	return err
}

// clear ends what the leader left. While the instance is being stopped, Stop kills it when its context ends; what had
// left the process group has not been asked by then, and is asked now.
func (i *instance) clear() {
	if !i.tree.populated() {
		return
	}
	i.tree.signal(syscall.SIGTERM)
	i.tree.signal(syscall.SIGCONT)
	deadline := time.Now().Add(orphanGrace)
	for i.tree.populated() {
		now := time.Now()
		stopping, killed := i.state()
		if !killed.IsZero() || !stopping && now.After(deadline) {
			i.noteKill()
			i.tree.kill() // again and again: what forks meanwhile is killed too
		}
		if !killed.IsZero() && now.Sub(killed) > killTimeout {
			i.log.Errorf("processes of the instance cannot be killed and keep running")
			return
		}
		time.Sleep(orphanInterval)
	}
}

// removeFolders removes those that belong to the instance alone.
func (i *instance) removeFolders() error {
	if i.private == "" {
		return nil
	}
	return errors.Join(folder.Remove(i.private), folder.Remove(i.calls))
}

func (i *instance) removeFiles() {
	err := errors.Join(i.removeFolders(), i.tree.remove())
	if err != nil {
		i.log.WithError(err).Warnf("cannot remove what belongs to the instance, which has ended")
	}
}
