package function

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	"github.com/baetyl/baetyl/baetyl-function-manager/pool"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

// shutdownTimeout is how long Run waits for the instances to stop.
const shutdownTimeout = 8 * time.Second

// starts are the delays after a failed start. They are short: a message that waits gets its error after some of them.
var starts = backoff.Policy{Min: 500 * time.Millisecond, Max: 3 * time.Second, Jitter: 0.2}

// Stats are the numbers of a function since its start.
type Stats struct {
	Waiting    int               // calls that wait for an instance
	Instances  map[string]int    // by state
	ColdStarts uint64            // instances that were started
	Failed     uint64            // starts that failed
	Calls      map[string]uint64 // by outcome
	Busy       time.Duration     // that calls took, in all
}

// Function is one function with its instances. Call may be used from any goroutine while Run runs.
type Function struct {
	cfg      config.Function
	launcher *Launcher
	log      log.Logger
	alive    context.Context // ends with Run
	kill     context.CancelFunc
	work     sync.WaitGroup // starts, stops, and watches of instances

	started, failed atomic.Uint64
	room            atomic.Int64            // calls at once of the instance that was started last
	calls           [outcomes]atomic.Uint64 // by Outcome
	busy            atomic.Int64

	mu        sync.Mutex
	pool      *pool.Pool[*waiter]
	instances map[int]*instance
	wake      *time.Timer // of pool.Wake
}

type waiter struct{ got chan grant } // holds one

type grant struct {
	id       int
	instance *instance
	err      error
}

type instance struct {
	client *rpc.Client
	drop   context.CancelFunc // ends its watch
}

// New returns a function without instances. Run starts them.
func New(cfg config.Function, l *Launcher, logger log.Logger) *Function {
	f := &Function{cfg: cfg, launcher: l, log: logger.WithField("function", cfg.Name), instances: map[int]*instance{}}
	f.alive, f.kill = context.WithCancel(context.Background())
	in := cfg.Instance
	f.pool = pool.New[*waiter](pool.Config{Min: in.Min, Max: in.Max, Idle: in.IdleTime, Backoff: starts})
	return f
}

// Config returns the configuration of the function.
func (f *Function) Config() config.Function { return f.cfg }

// Run starts and stops instances until ctx ends. Then it stops them all, and waits at most 8 seconds for that. It never
// returns an error. It is called once.
func (f *Function) Run(ctx context.Context) error {
	t := time.NewTicker(f.cfg.Instance.EvictTime)
	defer t.Stop()
	for running := true; running; {
		f.apply(f.pool.Tick)
		select {
		case <-t.C:
		case <-ctx.Done():
			running = false
		}
	}
	f.kill() // cancels starts that have not succeeded yet
	f.apply(f.pool.Close)
	ended := make(chan struct{})
	go func() { f.work.Wait(); close(ended) }()
	limit := time.NewTimer(shutdownTimeout)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		f.log.Warnf("some instances have not stopped within %s; the next start of the manager stops them", shutdownTimeout)
	}
	return nil
}

// Concurrency is how many calls at once one instance gets: what the configuration says, else what the runtime has
// announced, else 1.
func (f *Function) Concurrency() int {
	return cmp.Or(f.cfg.Instance.Concurrency, int(f.room.Load()), 1)
}

// Call handles one message with one instance. It waits for an instance until wait ends; the call itself ends with work
// or after the function's timeout. alone keeps other calls away from the instance meanwhile, so that a message that
// ends its instance does not fail the same others with each attempt. An error has a gRPC status, which OutcomeOf reads.
func (f *Function) Call(wait, work context.Context, m *rpc.Message, alone bool) (*rpc.Message, error) {
	w := &waiter{got: make(chan grant, 1)}
	f.apply(func(now time.Time) []pool.Action[*waiter] { return f.pool.Acquire(w, alone, now) })
	var g grant
	select {
	case g = <-w.got:
	case <-wait.Done():
		f.mu.Lock()
		canceled := f.pool.Cancel(w)
		f.mu.Unlock()
		if !canceled {
			if g = <-w.got; g.err == nil {
				f.end(g, f.pool.Release)
			}
		}
		return nil, status.FromContextError(wait.Err()).Err()
	}
	if g.err != nil {
		return nil, status.Error(codes.Unavailable, g.err.Error())
	}
	began := time.Now()
	out, err := g.instance.client.Call(work, m)
	outcome := OutcomeOf(err)
	f.calls[outcome].Add(1)
	f.busy.Add(int64(time.Since(began)))
	if outcome == Broken {
		f.log.WithField(log.KeyInstance, Name(f.cfg, g.id)).WithError(err).Warnf("call failed, the instance is replaced")
		f.end(g, f.pool.Broken)
	} else {
		f.end(g, f.pool.Release)
	}
	return out, err
}

// end tells the pool how a call ended, unless another instance has the id by now.
func (f *Function) end(g grant, tell func(id int, now time.Time) []pool.Action[*waiter]) {
	f.apply(func(now time.Time) []pool.Action[*waiter] {
		if f.instances[g.id] != g.instance {
			return nil
		}
		return tell(g.id, now)
	})
}

// Stats returns the numbers of this moment.
func (f *Function) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{
		Waiting:    f.pool.Waiting(),
		Instances:  map[string]int{},
		ColdStarts: f.started.Load(),
		Failed:     f.failed.Load(),
		Calls:      map[string]uint64{},
		Busy:       time.Duration(f.busy.Load()),
	}
	for _, state := range []pool.State{pool.Starting, pool.Idle, pool.Busy, pool.Stopping} {
		s.Instances[state.String()] = f.pool.Count(state)
	}
	for o := range outcomes {
		s.Calls[o.String()] = f.calls[o].Load()
	}
	return s
}

// apply asks the pool and does what it says.
func (f *Function) apply(ask func(now time.Time) []pool.Action[*waiter]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range ask(time.Now()) {
		switch a.Kind {
		case pool.Start:
			f.work.Go(func() { f.start(a.ID) })
		case pool.Stop:
			i := f.instances[a.ID]
			delete(f.instances, a.ID)
			f.work.Go(func() { f.stop(a.ID, i) })
		case pool.Grant:
			a.Waiter.got <- grant{id: a.ID, instance: f.instances[a.ID]}
		case pool.Fail:
			a.Waiter.got <- grant{err: a.Err}
		}
	}
	if at, ok := f.pool.Wake(); ok {
		if f.wake != nil {
			f.wake.Stop()
		}
		f.wake = time.AfterFunc(max(time.Until(at), time.Millisecond), func() { f.apply(f.pool.Tick) })
	}
}

func (f *Function) start(id int) {
	name := Name(f.cfg, id)
	began := time.Now()
	client, err := f.launcher.Start(f.alive, f.cfg, id)
	if err != nil {
		f.failed.Add(1)
		if f.alive.Err() == nil {
			f.log.WithField(log.KeyInstance, name).WithError(err).
				Errorf("instance is not started; it is tried again while messages wait or instance.min is not reached")
		}
		f.apply(func(now time.Time) []pool.Action[*waiter] {
			return f.pool.StartFailed(id, fmt.Errorf("start instance of function %s: %w", f.cfg.Name, err), rand.Float64(), now)
		})
		return
	}
	f.started.Add(1)
	f.room.Store(int64(client.Concurrent()))
	took := time.Since(began).Round(time.Millisecond)
	f.log.WithField(log.KeyInstance, name).WithField("took", took).Infof("instance started")
	watch, drop := context.WithCancel(f.alive)
	i := &instance{client: client, drop: drop}
	f.mu.Lock()
	f.instances[id] = i
	f.mu.Unlock()
	f.work.Go(func() { f.watch(watch, id, i) })
	f.apply(func(now time.Time) []pool.Action[*waiter] { return f.pool.Started(id, f.Concurrency(), now) })
}

// watch replaces an instance whose connection ends, also while it has no call.
func (f *Function) watch(ctx context.Context, id int, i *instance) {
	if !i.client.Lost(ctx) {
		return
	}
	f.end(grant{id: id, instance: i}, func(id int, now time.Time) []pool.Action[*waiter] {
		f.log.WithField(log.KeyInstance, Name(f.cfg, id)).Warnf("instance has ended and is replaced when needed")
		return f.pool.Broken(id, now)
	})
}

func (f *Function) stop(id int, i *instance) {
	i.drop()
	f.launcher.Stop(f.cfg, id)
	i.client.Close()
	f.log.WithField(log.KeyInstance, Name(f.cfg, id)).Infof("instance stopped")
	f.apply(func(now time.Time) []pool.Action[*waiter] { return f.pool.Stopped(id, now) })
}
