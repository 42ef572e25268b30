package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/events"
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
// What the engine or its daemon is to blame for (engine.ErrUnavailable, engine.Exit.Interrupted) leads to starting
// again whatever the policy: no restart is counted.
//
// stop at any point ends it; leave at any point ends the supervision alone. Each step is in the records before it has
// an effect that another master could miss, so that this one may be killed at any point:
//
//	record (starting, handle) ─► the run before is forgotten ─► start ─► record (running) ─► ends ─► record (how)
type instance struct {
	parts   parts
	name    string
	dynamic bool
	env     map[string]string
	log     log.Logger

	ctx    context.Context // ends when the instance is to stop
	cancel context.CancelFunc
	first  chan struct{} // closed after the first start, or the adoption
	done   chan struct{} // closed when supervise has returned

	firstErr error // how that went; written before first is closed

	mu       sync.Mutex        // guards what follows
	reaped   <-chan struct{}   // of an instance that is to be adopted: closed when that can be tried. Then nil
	rec      Record            // written by supervise
	current  engine.Instance   // runs, or has ended and is held by the engine; nil: nothing of it is there
	health   *masterapi.Health // of what runs; nil: nobody checks, or nothing is known
	waiting  string            // what for, before its start; empty: it does not
	reported map[string]json.RawMessage
}

// parts are what an instance needs of its service. The funcs may be called from any goroutine.
type parts struct {
	restart app.Restart
	sandbox func(context.Context) (engine.Sandbox, error) // where its instances start
	discard func(context.Context, engine.Record) error    // engine.Engine.Discard
	member  func(service string) engine.Member            // of a service, by its name
	failed  func(reason string)                           // told why an instance has ended
	records *Records
	service string // its name
	boot    string // Options.Boot
	events  *events.Ring
	log     log.Logger // of the service

	probes   map[app.Kind]app.Probe // of the master; none: the daemon may have one
	grace    func() time.Duration   // of the service
	waitsFor func() string          // why a start has to wait for other services; empty: it does not
	freezes  *atomic.Uint64         // of the manager
	changes  *changes               // told of all that waitsFor looks at
	settle   func()                 // of the service, told of the same
}

// newInstance returns an instance with that record.
func newInstance(p parts, rec Record, env map[string]string) *instance {
	i := &instance{
		parts: p, name: rec.Instance, dynamic: rec.Dynamic, env: env, rec: rec,
		log: p.log.WithField(log.KeyInstance, rec.Instance), first: make(chan struct{}), done: make(chan struct{}),
	}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	return i
}

// stop ends the instance; it is killed when until ends. It returns when nothing of it runs. One caller at a time. After
// the records were frozen it leaves the instance alone.
func (i *instance) stop(until context.Context) {
	i.leave()
	<-i.done
	if i.parts.records.isFrozen() {
		return
	}
	i.mu.Lock()
	current, unknown := i.current, i.reaped != nil
	i.mu.Unlock()
	if i.dynamic && (current != nil || unknown) {
		_ = i.change(func(r *Record) { r.Stopping = true })
	}
	switch {
	case current != nil:
		current.Stop(until)
	case unknown:
		i.abandon(until)
	}
	if err := i.parts.records.remove(i.record()); err != nil && !errors.Is(err, errLeft) {
		i.log.WithError(err).Warnf("cannot remove the record of the instance, which has ended")
	}
}

// leave ends the supervision; done says when it has.
func (i *instance) leave() { i.cancel() }

// supervise runs the instance until it is stopped or given up.
func (i *instance) supervise() {
	defer close(i.done)
	defer i.cancel()
	defer func() { i.tell(fmt.Errorf("instance (%s) %w", i.name, ErrStopped)) }() // when nothing has begun
	d := decision{restart: true, anew: true}
	if i.reaped != nil { // nobody else writes it before supervise does
		d = i.takeOver()
	}
	if d.anew && !i.dynamic && !i.queue() {
		return
	}
	for d.restart && i.pause(d.after) {
		d = i.run()
	}
}

// pause waits; it returns false when the instance is to stop.
func (i *instance) pause(d time.Duration) bool { return sleep(i.ctx, d) }

// tell says how the first start went; later ones are not told. supervise alone calls it.
func (i *instance) tell(err error) {
	if !isClosed(i.first) {
		i.firstErr = err
		close(i.first)
	}
}

// run runs the instance once, and returns what becomes of it; the zero value when it is to stop.
func (i *instance) run() decision {
	running, err := i.start()
	if err == nil {
		i.log.Infof("instance started")
		i.tells(masterapi.EventInstanceStarted, "instance started", nil)
		return i.await(running)
	}
	if i.ctx.Err() != nil {
		i.tell(err)
		return decision{}
	}
	d := i.settle(engine.Exit{Err: fmt.Errorf("start: %w", err)}, false)
	i.tell(err) // after settle: who is told may inspect, or stop the instance
	return d
}

// settle applies the restart policy to the end of a run.
func (i *instance) settle(exit engine.Exit, started bool) decision {
	failures := i.record().Failures
	d := decide(i.parts.restart, exit, started, failures, rand.Float64())
	if i.dynamic && !started && !isClosed(i.first) { // the caller gets the error, and tries again with another port
		d = decision{status: masterapi.StatusFailed, reason: exit.Err.Error()}
	}
	i.note(d)
	return d
}

func (i *instance) start() (engine.Instance, error) {
	box, err := i.parts.sandbox(i.ctx)
	if err != nil {
		return nil, err
	}
	err = i.change(func(r *Record) {
		if r.Status != masterapi.StatusStarting {
			r.Restarts++
		}
		r.Record = engine.Record{
			Engine: r.Engine, Service: r.Service, Instance: r.Instance, Handle: newToken(), Boot: i.parts.boot,
		}
		r.Status, r.Next, r.Health, r.Doomed = masterapi.StatusStarting, nil, nil, ""
	})
	if errors.Is(err, errLeft) { // nobody would find what is started now
		return nil, err
	}
	i.forget()
	running, err := box.Start(i.ctx, i.spec(i.record().Handle))
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	i.runs(running, &now)
	return running, nil
}

func (i *instance) spec(handle string) engine.Spec {
	return engine.Spec{
		Name: i.name, Handle: handle, Token: i.env[masterapi.EnvServiceToken], Env: i.env,
		Caller: i.parts.member(i.record().Caller),
	}
}

// forget lets the engine forget the run before, which has ended.
func (i *instance) forget() {
	i.mu.Lock()
	ended := i.current
	i.current = nil
	i.mu.Unlock()
	if ended != nil {
		ended.Stop(i.ctx)
	}
}

// runs notes what runs.
func (i *instance) runs(running engine.Instance, began *time.Time) {
	i.mu.Lock()
	i.current = running
	i.mu.Unlock()
	_ = i.change(func(r *Record) {
		r.Record, r.Status, r.Next = running.Record(), masterapi.StatusRunning, nil
		if r.Began = began; began == nil {
			now := time.Now().UTC()
			r.Began = &now
		}
	})
	i.changed()
}

// note keeps the decision in the records, and shows it in inspect and in the log.
func (i *instance) note(d decision) {
	reason := d.reason
	i.mu.Lock()
	current := i.current
	i.health = nil
	i.mu.Unlock()
	if current != nil && reason != "" {
		if out := current.Output(); len(out) > 0 {
			reason += ": " + out[len(out)-1]
		}
	}
	_ = i.change(func(r *Record) {
		r.Status, r.Error, r.Failures, r.Next, r.Doomed, r.Health = d.status, reason, d.failures, nil, "", nil
		if d.restart {
			next := time.Now().Add(d.after).UTC()
			r.Next = &next
		}
	})
	i.changed()
	l := i.log
	if reason != "" {
		i.parts.failed(fmt.Sprintf("instance %s: %s", i.name, reason))
		l = l.WithField(log.KeyReason, reason)
	}
	fields := map[string]string{masterapi.FieldStatus: d.status}
	if reason != "" {
		fields[masterapi.FieldReason] = reason
	}
	switch {
	case d.restart:
		text := fmt.Sprintf("instance %s, next start in %s", d.status, d.after.Round(time.Millisecond))
		fields[masterapi.FieldNext] = time.Now().Add(d.after).UTC().Format(time.RFC3339)
		l.Warnf("%s", text)
		i.tells(masterapi.EventInstanceEnded, text, fields)
	case d.status == masterapi.StatusFailed:
		l.Errorf("instance failed and is not started again")
		i.tells(masterapi.EventInstanceEnded, "instance failed and is not started again", fields)
	default:
		l.Infof("instance exited")
		i.tells(masterapi.EventInstanceEnded, "instance exited", fields)
	}
}

// changed tells whoever looks at the status or the health of the instance that it is another one. i.mu is not held.
func (i *instance) changed() {
	i.parts.settle()
	i.parts.changes.tell()
}

// tells adds an event of the instance.
func (i *instance) tells(kind, text string, fields map[string]string) {
	i.parts.events.Add(kind, i.parts.service, i.name, text, fields)
}

// change changes the record here and in the file. errLeft: the file belongs to the next master already; another error
// has been logged.
func (i *instance) change(do func(*Record)) error {
	i.mu.Lock()
	do(&i.rec)
	rec := i.rec
	i.mu.Unlock()
	err := i.parts.records.put(rec)
	if err != nil && !errors.Is(err, errLeft) {
		i.log.WithError(err).Warnf("cannot record the instance; if the master is killed now, the next one may not find it")
	}
	return err
}

func (i *instance) record() Record {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rec
}
