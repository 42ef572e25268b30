//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/logfile"
)

const (
	outputTimeout = 2 * time.Second  // for the rest of the output after the end
	settleTimeout = 15 * time.Second // for a program to install its signal handlers, on a slow machine too
	killTimeout   = 15 * time.Second // for the end after SIGKILL; without an answer the container stays
)

// again is how long to wait before the daemon is asked again.
var again = backoff.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second, Factor: 2}

func (e *Engine) forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.live, id)
}

// instance implements engine.Instance: one container.
//
//	running ──daemon says it has ended──► rest of the output ─► removed ─► Done
//	   │  └─ the daemon does not answer: asked again until it does
//	   └─ Stop: SIGTERM ─► SIGKILL ─► given up if there is no answer; the next master, or the next start, removes it
type instance struct {
	engine *Engine
	id     string
	began  time.Time
	out    *logfile.Lines
	file   *logfile.File // of the service
	meter  meter
	log    log.Logger
	record engine.Record

	ctx    context.Context // ends when the container is given up
	giveUp context.CancelFunc
	ended  chan struct{} // closed by wait: the container runs no more
	done   chan struct{} // closed by wait
	exit   engine.Exit   // written before done is closed
}

// watch starts the goroutines of a running container: one waits, one follows the output.
func (s *sandbox) watch(id, name string) *instance {
	i := &instance{
		engine: s.engine, id: id, began: time.Now(),
		out: logfile.NewLines(s.output, name), file: s.output,
		log:   s.log.WithField(log.KeyInstance, name).WithField("container", short(id)),
		ended: make(chan struct{}), done: make(chan struct{}),
		record: engine.Record{
			Engine: masterapi.ModeDocker, Service: s.service.Name, Instance: name,
			Container: &masterapi.Container{ID: id, Name: name},
		},
	}
	i.meter.began = i.began
	i.ctx, i.giveUp = context.WithCancel(context.Background())
	go i.wait()
	return i
}

func (i *instance) Record() engine.Record { return i.record }
func (i *instance) Done() <-chan struct{} { return i.done }
func (i *instance) Exit() engine.Exit     { return i.exit }
func (i *instance) Warnings() []string    { return nil }
func (i *instance) Output() []string      { return i.out.Tail() }

// Stop ends the container: SIGTERM, and SIGKILL when ctx ends.
func (i *instance) Stop(ctx context.Context) {
	if i.terminate(ctx) {
		return
	}
	select {
	case <-i.ended: // it has ended, and is being removed
	default:
		i.log.Warnf("instance did not end within the grace time and is killed (SIGKILL)")
	}
	last, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	i.signal(last, "SIGKILL")
	select {
	case <-i.done:
	case <-last.Done():
		i.giveUp()
		<-i.done
	}
}

// terminate sends SIGTERM and tells whether the container has ended before ctx does. The kernel drops a
// SIGTERM to the first process of a container that has no handler for it yet. So a container that has just started gets
// it again, at growing intervals.
func (i *instance) terminate(ctx context.Context) bool {
	i.signal(ctx, "SIGTERM")
	for wait := 500 * time.Millisecond; time.Since(i.began) < settleTimeout; wait *= 2 {
		select {
		case <-i.done:
			return true
		case <-ctx.Done():
			return false
		case <-time.After(wait):
			i.signal(ctx, "SIGTERM")
		}
	}
	select {
	case <-i.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// signal sends a signal, and tries again until the daemon answers or ctx ends.
func (i *instance) signal(ctx context.Context, sig string) {
	for n := 0; ; n++ {
		err := i.engine.api.ContainerKill(ctx, i.id, sig)
		if err == nil || errdefs.IsNotFound(err) || errdefs.IsConflict(err) { // conflict: it does not run
			return
		}
		select {
		case <-i.done:
			return
		case <-ctx.Done():
			return
		case <-time.After(again.Delay(n, 0)):
		}
	}
}

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
	close(i.ended)
	select {
	case <-read:
	case <-time.After(outputTimeout):
	}
	stopReading()
	<-read
	output.Settle(i.file)
	ctx, cancel := context.WithTimeout(i.ctx, requestTimeout)
	if err := i.engine.remove(ctx, i.id); err != nil {
		i.log.WithError(err).Warnf("cannot remove the container; the next start of this instance or of the master does")
	}
	cancel()
	i.engine.forget(i.id)
	i.giveUp()
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

// exitOf tells how a container has ended.
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
	case s.OOMKilled:
		const text = "container exit code: %d, killed by the kernel: out of memory (OOM), see resources.memory.limit"
		out.Err = fmt.Errorf(text, s.ExitCode)
	case s.ExitCode != 0 && s.Error != "":
		out.Err = fmt.Errorf("container exit code: %d: %s", s.ExitCode, s.Error)
	case s.ExitCode != 0:
		out.Err = fmt.Errorf("container exit code: %d", s.ExitCode)
	}
	return out
}

// read follows the output until the container has ended or ctx ends. After an outage of the daemon
// it goes on from there: what the daemon had read but not sent by then is missing in the file, and is in `docker logs`.
func (i *instance) read(ctx context.Context) {
	stdout, stderr := i.out.Stream(logfile.Stdout), i.out.Stream(logfile.Stderr)
	defer stdout.Close()
	defer stderr.Close()
	since := ""
	for n := 0; ctx.Err() == nil; n++ {
		opened := time.Now()
		what := container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true, Since: since}
		stream, err := i.engine.api.ContainerLogs(ctx, i.id, what)
		if errdefs.IsNotFound(err) {
			return
		}
		if err == nil {
			_, _ = stdcopy.StdCopy(stdout, stderr, stream) // it is opened again while the container runs
			_ = stream.Close()
			since = time.Now().Format(time.RFC3339Nano)
		}
		if time.Since(opened) > again.Max {
			n = 0
		}
		select {
		case <-ctx.Done():
		case <-i.ended:
			return
		case <-time.After(again.Delay(n, 0)):
		}
	}
}
