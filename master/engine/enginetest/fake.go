package enginetest

import (
	"context"
	"errors"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Fake is an engine without processes, for tests of code that uses an engine. Its methods may be called at any time.
type Fake struct {
	*shared
	open   map[string]bool // by service; guarded by mu, as what follows
	order  []string        // names of services in the order of their sandboxes' ends
	reaped []engine.Record
	kept   []engine.Record
}

// shared is what the engines of one master after the other share: what runs, and the knobs.
type shared struct {
	mu          sync.Mutex
	openErr     map[string]error // by service
	failing     map[string]error // by instance
	adopting    map[string]error // by instance
	slow        time.Duration
	ignoresStop bool
	warnings    []string
	hook        func(op string) error
	held        map[string]*process // by handle; what runs, and what has ended and was not stopped
	starts      map[string]int      // by instance
	envs        map[string]map[string]string
	callers     map[string]engine.Member // by instance
	exec        func(ctx context.Context, instance string, e engine.Exec) (int, error)
	dial        func(ctx context.Context, instance string, e app.Endpoint) (net.Conn, error)
	runDir      string
}

var (
	_ engine.Engine  = (*Fake)(nil)
	_ engine.Caller  = (*Fake)(nil)
	_ engine.Folders = (*Fake)(nil)
)

// NewFake returns a Fake whose instances start at once and run until they are stopped.
func NewFake() *Fake {
	return &Fake{open: map[string]bool{}, shared: &shared{
		openErr: map[string]error{}, failing: map[string]error{}, adopting: map[string]error{},
		held: map[string]*process{}, starts: map[string]int{}, envs: map[string]map[string]string{},
		callers: map[string]engine.Member{},
		hook:    func(string) error { return nil },
		exec:    func(context.Context, string, engine.Exec) (int, error) { return 0, nil },
		dial: func(ctx context.Context, _ string, e app.Endpoint) (net.Conn, error) {
			return engine.DialPort(ctx, "127.0.0.1", e)
		},
	}}
}

// Next returns the engine of the next master: what the one before started runs on.
func (f *Fake) Next() *Fake { return &Fake{open: map[string]bool{}, shared: f.shared} }

func (h *shared) with(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// FailOpen makes Open of a service fail; nil ends that.
func (f *Fake) FailOpen(service string, err error) { f.with(func() { f.openErr[service] = err }) }

// FailStart makes the starts of an instance fail; nil ends that.
func (f *Fake) FailStart(instance string, err error) { f.with(func() { f.failing[instance] = err }) }

// FailAdopt makes the adoption of an instance fail; nil ends that.
func (f *Fake) FailAdopt(instance string, err error) { f.with(func() { f.adopting[instance] = err }) }

// SlowStart makes each start take so long.
func (f *Fake) SlowStart(d time.Duration) { f.with(func() { f.slow = d }) }

// IgnoreStop makes instances ignore that they are asked to end, so that they have to be killed.
func (f *Fake) IgnoreStop() { f.with(func() { f.ignoresStop = true }) }

// SetRunDir makes dir the folder that has the run folders of all instances, each by its name.
func (f *Fake) SetRunDir(dir string) { f.with(func() { f.runDir = dir }) }

// RunDir implements engine.Folders.
func (f *Fake) RunDir(_, instance string) (dir string) {
	f.with(func() { dir = filepath.Join(f.runDir, instance) })
	return dir
}

// Warn gives all instances warnings.
func (f *Fake) Warn(warnings ...string) { f.with(func() { f.warnings = warnings }) }

// OnExec makes exec what a command in any instance does; at first each succeeds, and reads and writes nothing.
func (f *Fake) OnExec(exec func(ctx context.Context, instance string, e engine.Exec) (int, error)) {
	f.with(func() { f.exec = exec })
}

// OnDial makes dial what connects to any instance; at first that is a port of 127.0.0.1.
func (f *Fake) OnDial(dial func(ctx context.Context, instance string, e app.Endpoint) (net.Conn, error)) {
	f.with(func() { f.dial = dial })
}

// Hook calls hook before and after each effect: "start", "started", "stop", "stopped", "reap", "reaped", "adopt",
// "discard", "discarded". An
// error before an effect is returned in place of it, as if the master had been killed.
func (f *Fake) Hook(hook func(op string) error) { f.with(func() { f.hook = hook }) }

func (h *shared) at(op string) error {
	h.mu.Lock()
	hook := h.hook
	h.mu.Unlock()
	return hook(op)
}

// End makes a running instance end by itself.
func (f *Fake) End(instance string, err error) {
	f.mu.Lock()
	p := f.running(instance)
	f.mu.Unlock()
	if p != nil {
		p.end(err)
	}
}

// Interrupt makes a running instance end with the engine's daemon.
func (f *Fake) Interrupt(instance string) {
	f.mu.Lock()
	p := f.running(instance)
	f.mu.Unlock()
	if p != nil {
		p.finish(engine.Exit{Err: errors.New("the daemon ended"), Interrupted: true})
	}
}

// running returns the process of an instance that runs. The caller holds mu.
func (h *shared) running(instance string) *process {
	for _, p := range h.held {
		if p.record.Instance == instance && p.runs() {
			return p
		}
	}
	return nil
}

// Running returns the running instances, sorted.
func (f *Fake) Running() []string {
	out := []string{}
	for _, r := range f.Records() {
		out = append(out, r.Instance)
	}
	slices.Sort(out)
	return out
}

// Records returns those of the running instances, by instance. Each start has its own.
func (f *Fake) Records() map[string]engine.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]engine.Record{}
	for _, p := range f.held {
		if p.runs() {
			out[p.record.Instance] = p.record
		}
	}
	return out
}

// Held returns how many instances the engine holds, running or ended.
func (f *Fake) Held() int { f.mu.Lock(); defer f.mu.Unlock(); return len(f.held) }

// Reboot ends all instances, and forgets them.
func (f *Fake) Reboot() {
	f.mu.Lock()
	held := maps.Clone(f.held)
	clear(f.held)
	f.mu.Unlock()
	for _, p := range held {
		p.end(errors.New("reboot"))
	}
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

// Caller returns who has asked for the last start of an instance.
func (f *Fake) Caller(instance string) engine.Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.callers[instance]
}

// Socket is a path for instances of services whose image is "socket".
func (f *Fake) Socket(s engine.Service, instance string) string {
	if s.Image != "socket" {
		return ""
	}
	return "/run/" + instance
}

// IsOpen tells whether a service's sandbox is open.
func (f *Fake) IsOpen(service string) bool { f.mu.Lock(); defer f.mu.Unlock(); return f.open[service] }

// Closed returns the services in the order in which their sandboxes were closed.
func (f *Fake) Closed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.order...)
}

// Reaped returns the records that Reap was called with last, and which of them were to be kept.
func (f *Fake) Reaped() (records, keep []engine.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reaped, f.kept
}

// Name is native, so that records of tests look like real ones.
func (f *Fake) Name() string { return masterapi.ModeNative }

// Address changes nothing.
func (f *Fake) Address(address string) string { return address }

// Run waits for the end of ctx.
func (f *Fake) Run(ctx context.Context) { <-ctx.Done() }

// Close does nothing.
func (f *Fake) Close() error { return nil }

// Check finds nothing.
func (f *Fake) Check(engine.Service) error { return nil }

// Prepare fails where Open would.
func (f *Fake) Prepare(_ context.Context, s engine.Service) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.openErr[s.Name]
}

// Reap ends all that is not in keep.
func (f *Fake) Reap(_ context.Context, records, keep []engine.Record) error {
	if err := f.at("reap"); err != nil {
		return err
	}
	f.mu.Lock()
	f.reaped, f.kept = records, keep
	var end []*process
	for handle, p := range f.held {
		if !slices.ContainsFunc(keep, func(r engine.Record) bool { return r.Handle == handle }) {
			end = append(end, p)
			delete(f.held, handle)
		}
	}
	f.mu.Unlock()
	for _, p := range end {
		p.end(errors.New("reaped"))
	}
	return f.at("reaped")
}

// Discard ends what was started with the handle of r.
func (f *Fake) Discard(_ context.Context, r engine.Record) error {
	if err := f.at("discard"); err != nil {
		return err
	}
	f.mu.Lock()
	p := f.held[r.Handle]
	delete(f.held, r.Handle)
	f.mu.Unlock()
	if p != nil {
		p.end(errors.New("discarded"))
	}
	return f.at("discarded")
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
