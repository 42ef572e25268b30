package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// instance supervises one instance of a service, from its start until it is stopped or given up.
//
//	    ┌──────────────────── after the backoff ◄───────────────────┐
//	    ▼                                                           │
//	starting ──cannot──► failed ──────────────────┐                 │
//	    │                                         ├─ decide: again ─┘
//	    ▼                                         │
//	 running ──ends──► restarting, exited, failed ┘─ decide: no more ─► stays visible until it is stopped
//
// stop at any point ends it.
type instance struct {
	parts   parts
	name    string
	dynamic bool
	env     map[string]string
	log     log.Logger

	ctx    context.Context // ends when the instance is to stop
	cancel context.CancelFunc
	first  chan error    // buffered: the outcome of the first start
	done   chan struct{} // closed when supervise has returned

	mu       sync.Mutex // guards what follows
	state    masterapi.Instance
	running  engine.Instance // nil while nothing runs
	reported map[string]json.RawMessage
	until    context.Context // set before cancel: bounds the grace of the stop
}

// parts are what an instance needs of its service. The funcs may be called from any goroutine.
type parts struct {
	restart app.Restart
	sandbox func(context.Context) (engine.Sandbox, error) // where its instances start
	failed  func(reason string)                           // told why an instance has ended
	records *Records
	log     log.Logger // of the service
}

func newInstance(p parts, name string, dynamic bool, env map[string]string) *instance {
	i := &instance{
		parts: p, name: name, dynamic: dynamic, env: env, log: p.log.WithField(log.KeyInstance, name),
		first: make(chan error, 1), done: make(chan struct{}),
		state: masterapi.Instance{Name: name, Status: masterapi.StatusStarting},
	}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	return i
}

// stop ends the instance; it is killed when until ends. It returns when nothing of it runs. One caller at a time.
func (i *instance) stop(until context.Context) {
	i.mu.Lock()
	i.until = until
	i.mu.Unlock()
	i.cancel()
	<-i.done
}

// supervise runs the instance until it is stopped or given up.
func (i *instance) supervise() {
	defer close(i.done)
	defer i.cancel()
	failures := 0
	for {
		exit, started, stopped := i.once()
		if stopped {
			i.tell(errors.Unwrap(exit.Err))
			return
		}
		d := decide(i.parts.restart, exit, started, failures, rand.Float64())
		if i.dynamic && !started && failures == 0 { // the caller gets the error, and tries again with another port
			d = decision{status: masterapi.StatusFailed, reason: exit.Err.Error()}
		}
		failures = d.failures
		i.note(d)
		if !started {
			i.tell(errors.Unwrap(exit.Err)) // after note: who is told may inspect, or stop the instance
		}
		if !d.restart {
			return
		}
		timer := time.NewTimer(d.after)
		select {
		case <-i.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		i.mu.Lock()
		i.state.Restarts++
		i.state.Status = masterapi.StatusStarting
		i.mu.Unlock()
	}
}

// tell says how the first start went. Only the first start is waited for.
func (i *instance) tell(err error) {
	select {
	case i.first <- err:
	default:
	}
}

// once runs the instance once. stopped tells that it was asked to stop.
func (i *instance) once() (exit engine.Exit, started, stopped bool) {
	running, err := i.start()
	if err != nil {
		return engine.Exit{Err: fmt.Errorf("start: %w", err)}, false, i.ctx.Err() != nil
	}
	i.tell(nil)
	defer i.ended(running)
	select {
	case <-running.Done():
		return running.Exit(), true, false
	case <-i.ctx.Done():
		i.mu.Lock()
		until := i.until
		i.mu.Unlock()
		running.Stop(until)
		return engine.Exit{}, true, true
	}
}

func (i *instance) start() (engine.Instance, error) {
	box, err := i.parts.sandbox(i.ctx)
	if err != nil {
		return nil, err
	}
	running, err := box.Start(i.ctx, engine.Spec{Name: i.name, Env: i.env})
	if err != nil {
		return nil, err
	}
	record := running.Record()
	if err := i.parts.records.put(record); err != nil {
		i.log.WithError(err).Warnf("cannot record the instance; if the master is killed now, the next one may not find it")
	}
	now := time.Now().UTC()
	i.mu.Lock()
	i.running = running
	i.state.Status, i.state.StartTime, i.state.Output = masterapi.StatusRunning, &now, nil
	i.state.Process, i.state.Container = record.Process, record.Container
	i.mu.Unlock()
	i.log.Infof("instance started")
	return running, nil
}

func (i *instance) ended(running engine.Instance) {
	if err := i.parts.records.remove(running.Record()); err != nil {
		i.log.WithError(err).Warnf("cannot remove the record of the instance, which has ended; the next master ignores it")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.running = nil
	i.state.Process, i.state.Container, i.state.CPU, i.state.Mem = nil, nil, nil, nil
	i.state.Output = running.Output()
}

// note shows the decision in inspect and in the log.
func (i *instance) note(d decision) {
	i.mu.Lock()
	reason := d.reason
	if n := len(i.state.Output); n > 0 && reason != "" {
		reason += ": " + i.state.Output[n-1]
	}
	i.state.Status, i.state.Error = d.status, reason
	i.mu.Unlock()
	if reason != "" {
		i.parts.failed(fmt.Sprintf("instance %s: %s", i.name, reason))
	}
	l := i.log
	if reason != "" {
		l = l.WithField(log.KeyReason, reason)
	}
	switch {
	case d.restart:
		l.Warnf("instance %s, next start in %s", d.status, d.after.Round(time.Millisecond))
	case d.status == masterapi.StatusFailed:
		l.Errorf("instance failed and is not started again")
	default:
		l.Infof("instance exited")
	}
}

// view returns what inspect shows.
func (i *instance) view() masterapi.Instance {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := i.state
	out.Reported = maps.Clone(i.reported)
	return out
}

// Limits of what instances may report. Bytes are those of inspect, whose readers take 16 MiB (protocol/http), in all.
const (
	maxReportKeys   = 100     // of one instance
	maxReportBytes  = 1 << 20 // of one instance
	maxReportsBytes = 8 << 20 // of all instances of a master
)

// report merges the first layer of report into what was reported before. others is the size of what the other
// instances have reported, in bytes.
func (i *instance) report(report map[string]json.RawMessage, others int) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	merged := maps.Clone(i.reported)
	if merged == nil {
		merged = map[string]json.RawMessage{}
	}
	for k, v := range report {
		if masterapi.Reserved(k) {
			return fmt.Errorf("%w: key %q is the master's; use another name", ErrInvalid, k)
		}
		merged[k] = v
	}
	size := sizeOf(merged)
	if len(merged) > maxReportKeys || size > maxReportBytes {
		const text = "%w: an instance may report %d keys and %d bytes altogether"
		return fmt.Errorf(text, ErrLimit, maxReportKeys, maxReportBytes)
	}
	if others+size > maxReportsBytes {
		return fmt.Errorf("%w: all instances together may report %d bytes", ErrLimit, maxReportsBytes)
	}
	i.reported = merged
	return nil
}

// reportedBytes is the size of what the instance has reported, as inspect shows it.
func (i *instance) reportedBytes() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return sizeOf(i.reported)
}

// sizeOf counts keys as JSON writes them: one that holds markup or control characters takes six bytes for each.
func sizeOf(report map[string]json.RawMessage) (size int) {
	for k, v := range report {
		key, _ := json.Marshal(k) // a string has no error
		size += len(key) + len(v) + len(":,")
	}
	return size
}
