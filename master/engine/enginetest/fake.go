package enginetest

import (
	"context"
	"errors"
	"sort"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
)

// Fake is an engine without processes, for tests of code that uses an engine. Its methods may be called at any time.
type Fake struct {
	mu          sync.Mutex
	openErr     map[string]error // by service
	failing     map[string]error // by instance
	slow        time.Duration
	ignoresStop bool
	running     map[string]*fakeInstance // by instance
	open        map[string]bool          // by service
	starts      map[string]int           // by instance
	envs        map[string]map[string]string
	order       []string // names of services in the order of their sandboxes' ends
	reaped      []engine.Record
}

var _ engine.Engine = (*Fake)(nil)

// NewFake returns a Fake whose instances start at once and run until they are stopped.
func NewFake() *Fake {
	return &Fake{
		openErr: map[string]error{}, failing: map[string]error{}, running: map[string]*fakeInstance{},
		open: map[string]bool{}, starts: map[string]int{}, envs: map[string]map[string]string{},
	}
}

func (f *Fake) with(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// FailOpen makes Open of a service fail; nil ends that.
func (f *Fake) FailOpen(service string, err error) { f.with(func() { f.openErr[service] = err }) }

// FailStart makes the starts of an instance fail; nil ends that.
func (f *Fake) FailStart(instance string, err error) { f.with(func() { f.failing[instance] = err }) }

// SlowStart makes each start take so long.
func (f *Fake) SlowStart(d time.Duration) { f.with(func() { f.slow = d }) }

// IgnoreStop makes instances ignore that they are asked to end, so that they have to be killed.
func (f *Fake) IgnoreStop() { f.with(func() { f.ignoresStop = true }) }

// End makes a running instance end by itself.
func (f *Fake) End(instance string, err error) {
	f.mu.Lock()
	i := f.running[instance]
	f.mu.Unlock()
	if i != nil {
		i.end(err)
	}
}

// Running returns the running instances, sorted.
func (f *Fake) Running() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []string{}
	for name := range f.running {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// Starts returns how often an instance has been started.
func (f *Fake) Starts(instance string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts[instance]
}

// Env returns the environment of the last start of an instance.
func (f *Fake) Env(instance string) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.envs[instance]
}

// IsOpen tells whether a service's sandbox is open.
func (f *Fake) IsOpen(service string) bool { f.mu.Lock(); defer f.mu.Unlock(); return f.open[service] }

// Closed returns the services in the order in which their sandboxes were closed.
func (f *Fake) Closed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.order...)
}

// Reaped returns the records that Reap was called with.
func (f *Fake) Reaped() []engine.Record { f.mu.Lock(); defer f.mu.Unlock(); return f.reaped }

// Name is native, so that records of tests look like real ones.
func (f *Fake) Name() string { return masterapi.ModeNative }

// Address changes nothing.
func (f *Fake) Address(address string) string { return address }

// Close does nothing.
func (f *Fake) Close() error { return nil }

// Prepare fails where Open would.
func (f *Fake) Prepare(_ context.Context, s engine.Service) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.openErr[s.Name]
}

// Reap remembers the records.
func (f *Fake) Reap(_ context.Context, records []engine.Record) error {
	f.with(func() { f.reaped = records })
	return nil
}

// Open opens the sandbox of a service; two at a time are an error.
func (f *Fake) Open(_ context.Context, s engine.Service) (engine.Sandbox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.openErr[s.Name]; err != nil {
		return nil, err
	}
	if f.open[s.Name] {
		return nil, errors.New("sandbox of " + s.Name + " is open already")
	}
	f.open[s.Name] = true
	return &fakeSandbox{f, s}, nil
}

type fakeSandbox struct {
	f *Fake
	s engine.Service
}

func (b *fakeSandbox) Close() error {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	for _, i := range b.f.running {
		if i.record.Service == b.s.Name {
			return errors.New("instance " + i.record.Instance + " still runs")
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
	f.mu.Lock()
	defer f.mu.Unlock()
	f.starts[spec.Name]++
	f.envs[spec.Name] = spec.Env
	if err := f.failing[spec.Name]; err != nil {
		return nil, err
	}
	if f.running[spec.Name] != nil {
		return nil, errors.New("instance " + spec.Name + " runs already")
	}
	if !f.open[b.s.Name] {
		return nil, errors.New("sandbox of " + b.s.Name + " is closed")
	}
	i := &fakeInstance{
		f: f, began: time.Now(), done: make(chan struct{}),
		record: engine.Record{
			Engine: f.Name(), Service: b.s.Name, Instance: spec.Name,
			Process: &masterapi.Process{ID: 1<<30 + len(f.starts), Name: "fake"}, Started: "never", Boot: "never",
		},
	}
	f.running[spec.Name] = i
	return i, nil
}

type fakeInstance struct {
	f      *Fake
	record engine.Record
	began  time.Time
	once   sync.Once
	done   chan struct{}
	exit   engine.Exit
}

func (i *fakeInstance) end(err error) {
	i.once.Do(func() {
		i.f.with(func() { delete(i.f.running, i.record.Instance) })
		i.exit = engine.Exit{Err: err, Ran: time.Since(i.began)}
		close(i.done)
	})
}

func (i *fakeInstance) Record() engine.Record { return i.record }
func (i *fakeInstance) Done() <-chan struct{} { return i.done }
func (i *fakeInstance) Exit() engine.Exit     { return i.exit }
func (i *fakeInstance) Output() []string      { return nil }

func (i *fakeInstance) Stats(context.Context) (*host.CPU, *host.Mem) {
	return &host.CPU{UsedPercent: 1}, &host.Mem{Used: 1}
}

func (i *fakeInstance) Stop(ctx context.Context) {
	i.f.mu.Lock()
	ignoresStop := i.f.ignoresStop
	i.f.mu.Unlock()
	if ignoresStop {
		<-ctx.Done()
	}
	i.end(nil)
}
