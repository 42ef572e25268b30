//go:build unix

package docker

import (
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
	state, err := i.awaitEnd()
	i.exit = exitOf(state, err, i.began, time.Now())
	if state != nil && state.OOMKilled {
		i.oom = 1
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
	errGone    = errors.New("container was removed by another docker client")
	errGivenUp = errors.New("docker daemon does not answer; the container may still run")
)

// awaitEnd returns the state of the container when it runs no more. A daemon that does not answer is asked
// again until it does.
func (i *instance) awaitEnd() (*container.State, error) {
	api := i.engine.api
	for n := 0; ; n++ {
		answer, failure := api.ContainerWait(i.ctx, i.id, container.WaitConditionNotRunning)
		asked := time.Now()
		var err error
		select {
		case <-answer:
		case err = <-failure:
		}
		if i.ctx.Err() != nil {
			return nil, errGivenUp
		}
		ctx, cancel := context.WithTimeout(i.ctx, requestTimeout)
		c, inspectErr := api.ContainerInspect(ctx, i.id)
		cancel()
		switch {
		case errdefs.IsNotFound(inspectErr):
			return nil, errGone
		case inspectErr == nil && !c.State.Running:
			return c.State, nil
		}
		if time.Since(asked) > again.Max { // the daemon had answered in between: this is another outage
			n = 0
		}
		if n == 0 {
			i.log.WithField(log.KeyReason, fmt.Sprint(errors.Join(err, inspectErr))).
				Warnf("docker daemon does not answer; the container is assumed to run, and the daemon is asked again")
		}
		select {
		case <-i.ctx.Done():
			return nil, errGivenUp
		case <-time.After(again.Delay(n, 0)):
		}
	}
}

// killed is the exit code after SIGKILL.
const killed = 128 + 9

// exitOf tells how a container has ended. The daemon says OOMKilled also when the kernel has killed a child.
func exitOf(s *container.State, err error, began, now time.Time) engine.Exit {
	out := engine.Exit{Err: err, Ran: now.Sub(began)}
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
	case s.ExitCode != 0:
		out.Err = fmt.Errorf("container exit code: %d", s.ExitCode)
	}
	return out
}
