package enginetest

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
)

type fakeSandbox struct {
	f *Fake
	s engine.Service
}

func (b *fakeSandbox) Close() error {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	for _, p := range b.f.held {
		if p.record.Service == b.s.Name {
			return errors.New("instance " + p.record.Instance + " was not stopped")
		}
	}
	b.f.open[b.s.Name] = false
	b.f.order = append(b.f.order, b.s.Name)
	return nil
}

func (b *fakeSandbox) Start(ctx context.Context, spec engine.Spec) (engine.Instance, error) {
	f := b.f
	f.mu.Lock()
	slow := f.slow
	f.mu.Unlock()
	if slow > 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(slow):
		}
	}
	if err := f.at("start"); err != nil {
		return nil, err
	}
	p, err := b.launch(spec)
	if err == nil {
		err = f.at("started")
	}
	if err != nil {
		return nil, err
	}
	return &fakeInstance{f, p}, nil
}

func (b *fakeSandbox) launch(spec engine.Spec) (*process, error) {
	f := b.f
	f.mu.Lock()
	defer f.mu.Unlock()
	f.starts[spec.Name]++
	f.envs[spec.Name] = spec.Env
	f.callers[spec.Name] = spec.Caller
	if err := f.failing[spec.Name]; err != nil {
		return nil, err
	}
	if f.running(spec.Name) != nil {
		return nil, errors.New("instance " + spec.Name + " runs already")
	}
	if !f.open[b.s.Name] {
		return nil, errors.New("sandbox of " + b.s.Name + " is closed")
	}
	n := 0
	for _, starts := range f.starts {
		n += starts
	}
	p := &process{
		began: time.Now(), done: make(chan struct{}),
		record: engine.Record{
			Engine: f.Name(), Service: b.s.Name, Instance: spec.Name, Handle: spec.Handle,
			Process: &masterapi.Process{ID: 1<<30 + n, Name: "fake"}, Started: "never", Boot: "never",
		},
	}
	f.held[spec.Handle] = p
	return p, nil
}

// Adopt finds what was started with the handle of r.
func (b *fakeSandbox) Adopt(_ context.Context, _ engine.Spec, r engine.Record) (engine.Instance, error) {
	f := b.f
	if err := f.at("adopt"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.adopting[r.Instance]; err != nil {
		return nil, err
	}
	p := f.held[r.Handle]
	if p == nil || p.record.Service != r.Service || p.record.Instance != r.Instance {
		return nil, engine.ErrGone
	}
	return &fakeInstance{f, p}, nil
}

// process is what runs, whichever master has started it.
type process struct {
	record engine.Record
	began  time.Time
	once   sync.Once
	done   chan struct{}
	exit   engine.Exit // written before done is closed
}

func (p *process) runs() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) end(err error) { p.finish(engine.Exit{Err: err}) }

func (p *process) finish(exit engine.Exit) {
	p.once.Do(func() {
		exit.Ran = time.Since(p.began)
		p.exit = exit
		close(p.done)
	})
}

type fakeInstance struct {
	f *Fake
	p *process
}

func (i *fakeInstance) Record() engine.Record { return i.p.record }
func (i *fakeInstance) Done() <-chan struct{} { return i.p.done }
func (i *fakeInstance) Exit() engine.Exit     { return i.p.exit }
func (i *fakeInstance) Output() []string      { return nil }

// Exec calls what OnExec was given, and ends with the instance.
func (i *fakeInstance) Exec(ctx context.Context, e engine.Exec) (int, error) {
	i.f.mu.Lock()
	exec := i.f.exec
	i.f.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-i.p.done:
			cancel(engine.ErrEnded)
		case <-ctx.Done():
		}
	}()
	if !i.p.runs() {
		return 0, engine.ErrEnded
	}
	status, err := exec(ctx, i.p.record.Instance, e)
	if cause := context.Cause(ctx); cause != nil {
		return 0, cause
	}
	return status, err
}

// Dial calls what OnDial was given.
func (i *fakeInstance) Dial(ctx context.Context, e app.Endpoint) (net.Conn, error) {
	i.f.mu.Lock()
	dial := i.f.dial
	i.f.mu.Unlock()
	return dial(ctx, i.p.record.Instance, e)
}

func (i *fakeInstance) Freeze(context.Context) error { return i.f.at("freeze") }
func (i *fakeInstance) Thaw(context.Context) error   { return i.f.at("thaw") }

func (i *fakeInstance) Warnings() []string {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	return slices.Clone(i.f.warnings)
}

func (i *fakeInstance) Stats(context.Context) (*host.CPU, *host.Mem) {
	return &host.CPU{UsedPercent: 1}, &host.Mem{Used: 1}
}

func (i *fakeInstance) Stop(ctx context.Context) {
	if i.f.at("stop") != nil {
		return
	}
	i.f.mu.Lock()
	ignoresStop := i.f.ignoresStop
	i.f.mu.Unlock()
	if ignoresStop && i.p.runs() {
		<-ctx.Done()
	}
	i.p.end(nil)
	i.f.with(func() { delete(i.f.held, i.p.record.Handle) })
	_ = i.f.at("stopped")
}
