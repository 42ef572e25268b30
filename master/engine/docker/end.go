//go:build unix

package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/utils/log"
)

// wait waits for the end of the container. One goroutine runs it.
func (i *instance) wait() {
	reading, stopReading := context.WithCancel(i.ctx)
	read := make(chan struct{})
	go func() {
		defer close(read)
		i.read(reading)
	}()
	e := i.awaitEnd()
	i.exit = exitOf(e, i.began, time.Now())
	if e.interrupted {
		i.exit.Interrupted, i.exit.Err = true, fmt.Errorf("the docker daemon ended, and the container with it: %w",
			cmp.Or(i.exit.Err, errNoFailure))
	}
	if e.state != nil && e.state.OOMKilled {
		i.oom = 1
		if i.exit.Err == nil {
			i.log.Warnf("container ended with success, but the kernel has killed a process of it: %s", outOfMemory)
		}
	}
	close(i.ended)
	i.awaitRest(read)
	stopReading()
	<-read
	output.Settle(i.file)
	i.giveUp()
	if i.exit.Err != nil && errors.Is(i.exit.Err, errGivenUp) {
		i.engine.forget(i.id)
	}
	close(i.done)
}

// Ends that the daemon does not report.
var (
	errGone      = errors.New("container was removed by another docker client")
	errGivenUp   = errors.New("docker daemon does not answer; the container may still run")
	errNoFailure = errors.New("exit code: 0")
)

// end is how a container has ended.
type end struct {
	state       *container.State // nil: there is none
	err         error            // why not
	interrupted bool             // engine.Exit.Interrupted
	stopped     bool             // by somebody, who may start it again
	unasked     bool             // its daemon saw it, and nobody has asked that daemon for it
}

// awaitEnd returns when the container runs no more. A daemon that does not answer is asked again until it does.
func (i *instance) awaitEnd() end {
	var left time.Time // when the daemon did not answer last
	for n := 0; ; n++ {
		asked := time.Now()
		err := i.engine.api.ContainerWait(i.ctx, i.id)
		if i.ctx.Err() != nil {
			return end{err: errGivenUp}
		}
		if time.Since(asked) > engine.Again.Max { // the daemon had answered in between: this is another outage
			n = 0
		}
		if errors.Is(err, engine.ErrUnavailable) {
			left = time.Now()
		}
		e, inspectErr := i.inspect(left, n)
		if inspectErr == nil && (e.err != nil || !e.state.Running) && (!e.stopped || !i.startsAgain()) {
			return e
		}
		if errors.Is(inspectErr, engine.ErrUnavailable) {
			left = time.Now()
		}
		if err := errors.Join(err, inspectErr); err != nil && n == 0 { // without an error somebody has restarted it
			i.log.WithField(log.KeyReason, err.Error()).
				Warnf("docker daemon does not answer; it is asked again what became of the container")
		}
		select {
		case <-i.ctx.Done():
			return end{err: errGivenUp}
		case <-time.After(engine.Again.Delay(n, 0)):
		}
	}
}

// inspect asks for the state of the container, and when it runs no more, who ended it: for the nth time. An error says
// nothing about it.
func (i *instance) inspect(left time.Time, n int) (end, error) {
	ctx, cancel := context.WithTimeout(i.ctx, requestTimeout)
	defer cancel()
	c, err := i.engine.api.ContainerInspect(ctx, i.id)
	e := end{}
	switch {
	case errdefs.IsNotFound(err):
		e.err = errGone
	case err != nil:
		return end{}, err
	case c.State.Running:
		return end{state: c.State}, nil
	default:
		e.state = c.State
	}
	if !i.engine.watcher.watches(i.id) { // this engine has ended it
		return e, nil
	}
	if e.state != nil && e.state.ExitCode == killed && !e.state.OOMKilled {
		e.state = i.settled(ctx, e.state)
	}
	l, err := i.engine.lifeOf(ctx, i.id, i.began)
	if err != nil {
		err = i.engine.judge(i.ctx, err)
		slow := errors.Is(err, context.DeadlineExceeded) && n < lifeTries
		if errors.Is(err, engine.ErrUnavailable) || slow {
			return end{}, err
		}
		i.log.WithError(err).Warnf("cannot tell whether the docker daemon ended the container; its end counts as its own")
		return e, nil
	}
	e.interrupted, e.stopped = l.interrupted(e.state, left), l.stopped
	e.unasked = l.died && !l.stopped
	return e, nil
}

// oomLimit is how long after the end of a container its daemon may learn that the kernel killed it for its memory: that
// is another event of containerd, and no order is promised. With cgroup v1 the event is lost when the container's
// cgroup is removed first.
const oomLimit = 500 * time.Millisecond

// settled is the state s of a container that was killed when its daemon has learned why, or after oomLimit.
func (i *instance) settled(ctx context.Context, s *container.State) *container.State {
	found := i.inspectUntil(ctx, oomLimit, oomLimit/10, func(s *container.State) bool { return s.Running || s.OOMKilled })
	if found == nil || found.Running {
		return s
	}
	return found
}

// startsAgain tells whether somebody else who has stopped the container starts it again at once, as `docker restart`
// does. Then it is the same instance.
func (i *instance) startsAgain() bool {
	if !i.engine.watcher.watches(i.id) { // this engine has stopped it
		return false
	}
	running := func(s *container.State) bool { return s.Running }
	return i.inspectUntil(i.ctx, restartLimit, engine.Again.Min, running) != nil
}

// inspectUntil asks for the state of the container at an interval until it is the wanted one; nil: it is not within
// limit, or the daemon has answered with an error.
func (i *instance) inspectUntil(
	ctx context.Context, limit, interval time.Duration, wanted func(*container.State) bool,
) *container.State {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		c, err := i.engine.api.ContainerInspect(ctx, i.id)
		switch {
		case err != nil:
			return nil
		case wanted(c.State):
			return c.State
		}
	}
}

// killed is the exit code after SIGKILL.
const killed = 128 + 9

// exitOf tells how a container has ended. The daemon says OOMKilled also when the kernel has killed a child, and not
// always when it should (oomLimit).
func exitOf(e end, began, now time.Time) engine.Exit {
	out, s := engine.Exit{Err: e.err, Ran: now.Sub(began)}, e.state
	if s == nil {
		return out
	}
	from, err1 := time.Parse(time.RFC3339Nano, s.StartedAt)
	to, err2 := time.Parse(time.RFC3339Nano, s.FinishedAt)
	if err1 == nil && err2 == nil && to.After(from) {
		out.Ran = to.Sub(from)
	}
	switch {
	case s.OOMKilled && s.ExitCode == killed:
		out.Err = fmt.Errorf("container exit code: %d, killed by the kernel: %s", s.ExitCode, outOfMemory)
	case s.OOMKilled && s.ExitCode != 0:
		const text = "container exit code: %d; the kernel has killed a process of it: %s"
		out.Err = fmt.Errorf(text, s.ExitCode, outOfMemory)
	case s.ExitCode != 0 && s.Error != "":
		out.Err = fmt.Errorf("container exit code: %d: %s", s.ExitCode, s.Error)
	case s.ExitCode == killed && e.unasked && !e.interrupted:
		const text = "container exit code: %d, killed, perhaps by the kernel: %s"
		out.Err = fmt.Errorf(text, s.ExitCode, outOfMemory)
	case s.ExitCode != 0:
		out.Err = fmt.Errorf("container exit code: %d", s.ExitCode)
	}
	return out
}
