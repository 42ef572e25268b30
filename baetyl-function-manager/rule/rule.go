package rule

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	"github.com/baetyl/baetyl/baetyl-function-manager/function"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/log"
)

const (
	// poisonLimit is how often the hub may close the connection because of one result.
	poisonLimit = 3
	// shutdownTimeout is how long Run waits for calls that run and results that are not acknowledged.
	shutdownTimeout = 3 * time.Second
	// window is how many results of QoS 1 the hub has at least, before it has acknowledged them. With fewer, the hub could
	// not store them together.
	window = 128
	// publishLimit is how many results may wait to be written: the budget is what limits them.
	publishLimit = math.MaxInt32
)

// Caller is a function. See function.Function for its promises.
type Caller interface {
	Begin(*function.Call)
	Cancel(*function.Call) bool
	Concurrency() int
	Depth() int
}

// Stats are the numbers of a rule since its start.
type Stats struct {
	Connected bool
	Received  uint64
	Results   uint64 // published
	Empty     uint64 // messages without a result
	Errors    uint64 // error messages published
	Retries   uint64
	Refused   uint64 // times that the hub took neither a result nor its error message
	Dropped   uint64 // QoS 0 messages that found no room
	Held      uint64 // messages held up since they go round
	InFlight  int    // messages that have come in and not ended
}

// Rule is one rule. Run is called once.
type Rule struct {
	cfg   config.Rule
	fn    Caller
	key   config.OrderKey
	one   bool // one line for all messages
	limit int  // largest packet that the hub takes
	hub   *mqtt.Dispatcher
	log   log.Logger

	share share
	drops seldom          // messages that found no room
	held  seldom          // messages that go round
	wait  context.Context // ends when Run is told to end: no more calls begin
	quit  context.CancelFunc
	work  context.Context // ends at most shutdownTimeout later: calls are given up
	kill  context.CancelFunc

	mu      sync.Mutex // guards what follows
	lines   *lines
	echo    *echo
	under   []*call // messages that are with the function
	closing bool
	ended   chan struct{} // closed when closing is set and under is empty

	received, results, empty, errors, retried, refused atomic.Uint64
	inFlight                                           atomic.Int64
}

// New returns a rule with its own connection to the hub, which Run opens. fc is the configuration of fn. hub is the
// section hub of the configuration, with the rule's client id. limit is the largest packet, in bytes, that the hub
// takes. budget is that of all rules.
func New(
	cfg config.Rule, fc config.Function, fn Caller, hub mqtt.ClientInfo, limit int, budget *Budget, logger log.Logger,
) (*Rule, error) {
	key, err := config.ParseOrder(fc.Order.Key)
	if err != nil {
		return nil, err
	}
	r := &Rule{
		cfg:   cfg,
		fn:    fn,
		key:   key,
		one:   fc.Instance.Max == 1,
		limit: limit,
		log:   logger.WithField("rule", cfg.Subscribe.Topic).WithField("function", fc.Name),
		share: share{budget: budget},
		lines: newLines(fn.Depth, fn.Concurrency),
		echo:  newEcho(),
		ended: make(chan struct{}),
	}
	hub.Subscriptions = []mqtt.TopicInfo{cfg.Subscribe}
	hub.BufferSize = publishLimit
	hub.MaxInflight = max(hub.MaxInflight, window)
	if r.hub, err = mqtt.NewDispatcher(hub, mqtt.WithLogger(r.log), mqtt.WithPoisonLimit(poisonLimit)); err != nil {
		return nil, err
	}
	r.wait, r.quit = context.WithCancel(context.Background())
	r.work, r.kill = context.WithCancel(context.Background())
	return r, nil
}

// Run handles messages until ctx ends. Then it gives calls that run at most 3 seconds to end. The hub sends QoS 1
// messages that are not acknowledged by then again, to the next manager.
func (r *Rule) Run(ctx context.Context) error {
	if err := r.hub.Start(r); err != nil {
		return err
	}
	<-ctx.Done()
	r.quit()
	r.share.close()
	r.close()
	limit := time.AfterFunc(shutdownTimeout, r.kill)
	defer limit.Stop()
	select {
	case <-r.ended:
		if r.hub.Stats().Connected {
			r.hub.Drain(r.work)
		}
	case <-r.work.Done():
	}
	r.kill()
	err := r.hub.Close()
	r.hub.Wait()
	return err
}

// close takes back the calls that wait for an instance or for their next attempt. No more begin.
func (r *Rule) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing = true
	for _, c := range slices.Clone(r.under) {
		if r.fn.Cancel(&c.Call) || c.timer != nil && c.timer.Stop() {
			r.end(c, nil, errClosing)
		}
	}
	r.check()
}

// check notes that nothing is with the function any more. Called under mu.
func (r *Rule) check() {
	if !r.closing || len(r.under) > 0 {
		return
	}
	select {
	case <-r.ended:
	default:
		close(r.ended)
	}
}

// Function is the name of the rule's function.
func (r *Rule) Function() string { return r.cfg.Function.Name }

// Config is what the configuration says of the rule.
func (r *Rule) Config() config.Rule { return r.cfg }

// Stats returns the numbers of this moment.
func (r *Rule) Stats() Stats {
	h := r.hub.Stats()
	return Stats{
		Connected: h.Connected,
		Received:  r.received.Load(),
		Results:   r.results.Load(),
		Empty:     r.empty.Load(),
		Errors:    r.errors.Load(),
		Retries:   r.retried.Load(),
		Refused:   r.refused.Load(),
		Dropped:   h.Dropped + r.drops.count.Load(),
		Held:      r.held.count.Load(),
		InFlight:  int(r.inFlight.Load()),
	}
}

// OnError implements mqtt.Handler. The client has logged the error.
func (r *Rule) OnError(error) {}
