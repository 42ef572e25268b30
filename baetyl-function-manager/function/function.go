package function

import (
	"cmp"
	"context"
	"strings"
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
	LastError  string            // of a call or a start, its beginning; empty: none has failed
}

// Call is one message for a function.
type Call struct {
	Message *rpc.Message
	// Alone keeps other calls away from the instance meanwhile, so that a message that ends its instance does not fail the
	// same others with each attempt.
	Alone bool
	// Done gets the answer, or an error with a gRPC status, which OutcomeOf reads. It is called once, never from within
	// Begin, and must not block: other answers wait for it.
	Done func(out *rpc.Message, err error)
}

// Starter starts and stops instances. Launcher is one.
type Starter interface {
	Start(ctx context.Context, f config.Function, id int) (*rpc.Client, error)
	Stop(f config.Function, id int, kill bool)
}

// Function is one function with its instances. Begin and Call may be used from any goroutine while Run runs.
type Function struct {
	cfg     config.Function
	starter Starter
	log     log.Logger
	alive   context.Context // ends with Run
	kill    context.CancelFunc
	work    sync.WaitGroup // starts, stops, and watches of instances
	told    sync.Once      // says that the channel to instances is not protected

	started, failed atomic.Uint64
	room, queue     atomic.Int64            // of the instance that was started last
	calls           [outcomes]atomic.Uint64 // by Outcome
	busy            atomic.Int64
	lastError       atomic.Pointer[string]

	mu        sync.Mutex
	pool      *pool.Pool[*Call]
	instances map[int]*instance
	wake      *time.Timer // of pool.Wake
	cannot    string      // why the last start has failed; empty: it has not
}

type instance struct {
	client *rpc.Client
	drop   context.CancelFunc // ends its watch
}

// New returns a function without instances. Run starts them.
func New(cfg config.Function, l Starter, logger log.Logger) *Function {
	f := &Function{cfg: cfg, starter: l, log: logger.WithField("function", cfg.Name), instances: map[int]*instance{}}
	f.alive, f.kill = context.WithCancel(context.Background())
	in := cfg.Instance
	f.pool = pool.New[*Call](pool.Config{Min: in.Min, Max: in.Max, Idle: in.IdleTime, Backoff: starts})
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

// Concurrency is how many calls at once one instance handles: what the configuration says, else what the runtime has
// announced, else 1.
func (f *Function) Concurrency() int {
	return cmp.Or(f.cfg.Instance.Concurrency, int(f.room.Load()), 1)
}

// Depth is how many calls one instance gets: those that it handles at once, and those that wait in it.
func (f *Function) Depth() int { return f.Concurrency() + int(f.queue.Load()) }

// Begin hands a message to an instance as soon as there is a place. An instance gets its calls in the order of Begin.
func (f *Function) Begin(c *Call) {
	f.apply(func(now time.Time) []pool.Action[*Call] { return f.pool.Acquire(c, c.Alone, now) })
}

// Cancel takes a call back that waits for an instance; its Done is not called then. It returns false if the call has an
// instance, or has ended.
func (f *Function) Cancel(c *Call) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pool.Cancel(c)
}

// Call is Begin, and waits for the answer until ctx ends. A call that has an instance by then goes on to its end: if it
// were canceled, it would count as broken, and the instance would be replaced.
func (f *Function) Call(ctx context.Context, m *rpc.Message) (*rpc.Message, error) {
	type answer struct {
		out *rpc.Message
		err error
	}
	for {
		got := make(chan answer, 1)
		c := &Call{Message: m, Done: func(out *rpc.Message, err error) { got <- answer{out, err} }}
		f.Begin(c)
		select {
		case a := <-got:
			if OutcomeOf(a.err) != Unbegun {
				return a.out, a.err
			}
		case <-ctx.Done():
			f.Cancel(c)
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// answered takes the end of a call at an instance.
func (f *Function) answered(c *Call, id int, i *instance, a rpc.Answer) {
	outcome := OutcomeOf(a.Err)
	f.calls[outcome].Add(1)
	f.busy.Add(int64(a.Took))
	f.remember(a.Err)
	if outcome == Broken || outcome == TimedOut || outcome == Unbegun {
		f.end(id, i, func(id int, now time.Time) []pool.Action[*Call] {
			f.log.WithField(log.KeyInstance, Name(f.cfg, id)).WithError(a.Err).
				Warnf("call failed, the instance is replaced")
			return f.pool.Broken(id, now)
		})
	} else {
		f.end(id, i, f.pool.Release)
	}
	c.Done(a.Message, a.Err)
}

// remember keeps the beginning of the last error.
func (f *Function) remember(err error) {
	if err == nil {
		return
	}
	const most = 300
	text := status.Convert(err).Message()
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	f.lastError.Store(&text)
}

// end tells the pool how a call ended, unless another instance has the id by now.
func (f *Function) end(id int, i *instance, tell func(id int, now time.Time) []pool.Action[*Call]) {
	f.apply(func(now time.Time) []pool.Action[*Call] {
		if f.instances[id] != i {
			return nil
		}
		return tell(id, now)
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
	if text := f.lastError.Load(); text != nil {
		s.LastError = *text
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
func (f *Function) apply(ask func(now time.Time) []pool.Action[*Call]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed []pool.Action[*Call]
	for _, a := range ask(time.Now()) {
		switch a.Kind {
		case pool.Start:
			f.work.Go(func() { f.start(a.ID) })
		case pool.Stop:
			i := f.instances[a.ID]
			delete(f.instances, a.ID)
			f.work.Go(func() { f.stop(a.ID, i, a.Kill) })
		case pool.Grant:
			i := f.instances[a.ID]
			i.client.Begin(a.Waiter.Message, func(answer rpc.Answer) { f.answered(a.Waiter, a.ID, i, answer) })
		case pool.Fail:
			failed = append(failed, a)
		}
	}
	if len(failed) > 0 {
		go func() {
			for _, a := range failed {
				a.Waiter.Done(nil, status.Error(codes.Unavailable, a.Err.Error()))
			}
		}()
	}
	if at, ok := f.pool.Wake(); ok {
		if f.wake != nil {
			f.wake.Stop()
		}
		f.wake = time.AfterFunc(max(time.Until(at), time.Millisecond), func() { f.apply(f.pool.Tick) })
	}
}
