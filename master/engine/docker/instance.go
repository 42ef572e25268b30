//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

const (
	outputGrace  = 2 * time.Second  // for the rest of the output after the end
	settling     = 15 * time.Second // for a program to have its handlers of signals, on a slow machine too
	killPatience = 15 * time.Second // for the end to show after SIGKILL; a daemon that is away longer keeps its container
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
//	   │  └─ the daemon is away: asked again until it is back
//	   └─ Stop: SIGTERM ─► SIGKILL ─► given up when the daemon stays away; the next master, or the next start, removes it
type instance struct {
	engine *Engine
	id     string
	began  time.Time
	out    *output.Output
	meter  meter
	log    log.Logger
	record engine.Record

	ctx    context.Context // ends when the container is given up
	giveUp context.CancelFunc
	ended  chan struct{} // closed by wait: the container runs no more
	done   chan struct{} // closed by wait
	exit   engine.Exit   // written before done is closed
}

// watch starts the goroutines of a running container: one waits, one follows the output and two split it into lines.
func (s *sandbox) watch(id, name string) *instance {
	i := &instance{
		engine: s.engine, id: id, began: time.Now(),
		out:   &output.Output{Instance: name, To: s.output},
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
func (i *instance) Output() []string      { return i.out.Last() }

// Stop ends the container: SIGTERM, and SIGKILL when ctx ends.
func (i *instance) Stop(ctx context.Context) {
	if i.terminate(ctx) {
		return
	}
	select {
	case <-i.ended: // its output is being read, it is being removed
	default:
		i.log.Warnf("did not end in time and is killed")
	}
	last, cancel := context.WithTimeout(context.Background(), killPatience)
	defer cancel()
	i.signal(last, "SIGKILL")
	select {
	case <-i.done:
	case <-last.Done():
		i.giveUp()
		<-i.done
	}
}

// terminate sends SIGTERM and tells whether the container has ended before ctx does. The kernel hides from the first
// process of a container a signal that it has no handler for yet: one that has just begun is asked again, at growing
// intervals.
func (i *instance) terminate(ctx context.Context) bool {
	i.signal(ctx, "SIGTERM")
	for wait := 500 * time.Millisecond; time.Since(i.began) < settling; wait *= 2 {
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

// signal sends a signal, as often as it takes to reach the daemon before ctx ends.
func (i *instance) signal(ctx context.Context, sig string) {
	for n := 0; ; n++ {
		err := i.engine.api.ContainerKill(ctx, i.id, sig)
		if err == nil || errdefs.IsNotFound(err) || errdefs.IsConflict(err) { // conflict: does not run
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

// wait is the one waiter of the container.
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
	case <-time.After(outputGrace):
	}
	stopReading()
	<-read
	ctx, cancel := context.WithTimeout(i.ctx, patience)
	if err := i.engine.remove(ctx, i.id); err != nil {
		i.log.WithError(err).Warnf("container stays until the next start of its name or of the master")
	}
	cancel()
	i.engine.forget(i.id)
	i.giveUp()
	close(i.done)
}

// Ends that the daemon does not tell.
var (
	errGone    = errors.New("container was removed by somebody else")
	errGivenUp = errors.New("docker daemon does not answer; the container may still run")
)

// awaitEnd returns the state of the container when it runs no more. A daemon that is away is asked again until it is
// back.
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
		ctx, cancel := context.WithTimeout(i.ctx, patience)
		c, inspectErr := api.ContainerInspect(ctx, i.id)
		cancel()
		switch {
		case errdefs.IsNotFound(inspectErr):
			return nil, errGone
		case inspectErr == nil && !c.State.Running:
			return c.State, nil
		}
		if time.Since(asked) > again.Max { // the request held: this is another outage
			n = 0
		}
		if n == 0 {
			i.log.WithField(
				log.KeyReason,
				fmt.Sprint(errors.Join(err, inspectErr)),
			).Warnf(
				"docker daemon is away or slow; its container is taken to run on",
			)
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
		out.Err = fmt.Errorf(
			"container exit code: %d, killed by the kernel: out of memory (OOM), see resources.memory.limit",
			s.ExitCode,
		)
	case s.ExitCode != 0 && s.Error != "":
		out.Err = fmt.Errorf("container exit code: %d: %s", s.ExitCode, s.Error)
	case s.ExitCode != 0:
		out.Err = fmt.Errorf("container exit code: %d", s.ExitCode)
	}
	return out
}

// read follows the output until the container has ended or ctx ends. After a daemon was away it goes on from then:
// what the daemon had read but not handed on in that moment is missing in the file, and is in `docker logs`.
func (i *instance) read(ctx context.Context) {
	var lines sync.WaitGroup
	defer lines.Wait()
	pipe := func() *io.PipeWriter {
		r, w := io.Pipe()
		lines.Go(func() { i.out.Copy(r) })
		return w
	}
	stdout, stderr := pipe(), pipe()
	defer stdout.Close()
	defer stderr.Close()
	since := ""
	for n := 0; ctx.Err() == nil; n++ {
		opened := time.Now()
		stream, err := i.engine.api.ContainerLogs(
			ctx,
			i.id,
			container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true, Since: since},
		)
		if errdefs.IsNotFound(err) {
			return
		}
		if err == nil {
			_, _ = stdcopy.StdCopy(stdout, stderr, stream) // however it ended, it is opened again while the container runs
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
