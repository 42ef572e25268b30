package rule

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	"github.com/baetyl/baetyl/baetyl-function-manager/function"
	"github.com/baetyl/baetyl/protocol/mqtt"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

const (
	// underway is how many messages of a rule are handled or wait for the hub's acknowledgement of their result. It is
	// more than the hub sends without an answer (100), so that the hub's window is what bounds QoS 1.
	underway = 128
	// poison is how often the hub may close the connection because of one result.
	poison = 3
	// parting is how long a rule that ends waits for calls that run and results that are under way.
	parting = 3 * time.Second
)

// retries are the delays between attempts.
var retries = backoff.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.2}

// refusals are the delays after which a result is published again that the hub refuses, in whatever form.
var refusals = backoff.Policy{Min: time.Second, Max: time.Minute, Jitter: 0.2}

// Caller is a function. See function.Function for its promises.
type Caller interface {
	Call(wait, work context.Context, m *rpc.Message, alone bool) (*rpc.Message, error)
	Concurrency() int
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
	Underway  int
}

// Rule is one rule. Run is called once.
type Rule struct {
	cfg   config.Rule
	fn    Caller
	key   config.OrderKey
	one   bool // one lane for all
	limit int  // largest packet that the hub takes
	hub   *mqtt.Dispatcher
	log   log.Logger

	room  chan struct{} // one element for each message under way; full: OnMessage blocks
	lanes *lanes
	wait  context.Context // ends with Run: no more calls begin
	quit  context.CancelFunc
	work  context.Context // ends some time later: calls are given up
	kill  context.CancelFunc
	late  chan func() // what follows a refusal; one for each message under way at most, so never full

	received, results, empty, errors, retried, refused atomic.Uint64
}

// New returns a rule that runs over a connection of its own. hub is the `hub` section with the rule's client id.
// limit is the largest packet that the hub takes. It connects to nothing.
func New(
	cfg config.Rule,
	fc config.Function,
	fn Caller,
	hub mqtt.ClientInfo,
	limit int,
	logger log.Logger,
) (*Rule, error) {
	key, err := config.ParseOrder(fc.Order.Key)
	if err != nil {
		return nil, err
	}
	r := &Rule{cfg: cfg, fn: fn, key: key, one: fc.Instance.Max == 1, limit: limit, lanes: newLanes(fn.Concurrency),
		room: make(chan struct{}, underway), late: make(chan func(), underway),
		log: logger.WithField("rule", cfg.Subscribe.Topic).WithField("function", fc.Name)}
	hub.Subscriptions = []mqtt.TopicInfo{cfg.Subscribe}
	if r.hub, err = mqtt.NewDispatcher(hub, mqtt.WithLogger(r.log), mqtt.WithPoisonLimit(poison)); err != nil {
		return nil, err
	}
	r.wait, r.quit = context.WithCancel(context.Background())
	r.work, r.kill = context.WithCancel(context.Background())
	return r, nil
}

// Run handles messages until ctx ends. Then it gives calls that run some time to end; what is not acknowledged by
// then stays with the hub.
func (r *Rule) Run(ctx context.Context) error {
	if err := r.hub.Start(r); err != nil {
		return err
	}
	var later sync.WaitGroup
	later.Go(r.afterwards)
	defer later.Wait()
	<-ctx.Done()
	r.quit()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.lanes.wait()
		if r.hub.Stats().Connected {
			r.hub.Drain(r.work)
		}
	}()
	t := time.NewTimer(parting)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
	r.kill()
	err := r.hub.Close()
	<-ended
	r.hub.Wait()
	r.lanes.wait() // one that came in at the last moment
	return err
}

// afterwards publishes the error messages of refused results: the client that reports the refusal must not be held up.
func (r *Rule) afterwards() {
	for {
		select {
		case f := <-r.late:
			f()
		case <-r.work.Done():
			return // what is left is not acknowledged
		}
	}
}

// Function is the name of the rule's function.
func (r *Rule) Function() string { return r.cfg.Function.Name }

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
		Dropped:   h.Dropped,
		Underway:  len(r.room),
	}
}

// OnError implements mqtt.Handler. The client has logged the error.
func (r *Rule) OnError(error) {}

// OnMessage implements mqtt.Handler. It returns when the message is under way.
func (r *Rule) OnMessage(d *mqtt.Delivery) {
	select {
	case r.room <- struct{}{}:
	case <-r.wait.Done():
		return
	}
	r.received.Add(1)
	m := &rpc.Message{ID: uint64(d.ID), QOS: d.QOS, Topic: d.Topic, Payload: d.Payload, Timestamp: d.Received.Unix(),
		FunctionName: r.cfg.Function.Name, FunctionInvokeID: newID()}
	key := ""
	if r.key != nil && !r.one {
		key = r.key(d.Topic, d.Payload)
	}
	r.lanes.add(key, r.one || r.key != nil, func() func() { return r.handle(d, m) })
}

// handle calls the function; what it returns is to be run when the messages before it in its lane have got that far.
func (r *Rule) handle(d *mqtt.Delivery, m *rpc.Message) func() {
	out, err := r.call(m)
	return func() { r.finish(&outcome{d: d, m: m, out: out, err: err}) }
}

// outcome is what has become of a message.
type outcome struct {
	d       *mqtt.Delivery
	m, out  *rpc.Message
	err     error
	refused int // times that the hub took neither the result nor the error message
}

// finish brings one message to its end, but for the hub's acknowledgement of the result.
func (r *Rule) finish(o *outcome) {
	d, out, err := o.d, o.out, o.err
	switch {
	case r.wait.Err() != nil && (err != nil || r.work.Err() != nil):
		r.leave() // not acknowledged: the hub sends it again
	case err != nil:
		r.fail(o, err)
	case len(out.GetPayload()) == 0:
		r.empty.Add(1)
		d.Ack()
		r.leave()
	default:
		result := mqtt.Message{Topic: r.cfg.Publish.Topic, QOS: min(d.QOS, r.cfg.Publish.QOS), Payload: out.Payload}
		if size := result.PacketSize(); size > r.limit {
			r.fail(
				o,
				fmt.Errorf(
					"result of %d bytes makes a packet of %d bytes, more than message.length.max (%d), which the hub would refuse",
					len(out.Payload),
					size,
					r.limit,
				),
			)
			return
		}
		r.publish(result, func(err error) {
			switch {
			case errors.Is(err, mqtt.ErrPoison):
				r.late <- func() {
					r.fail(o, fmt.Errorf("the hub refuses the result of %d bytes on topic %s", len(out.Payload), result.Topic))
				}
				return
			case err == nil:
				r.results.Add(1)
				d.Ack()
			}
			r.leave()
		})
	}
}

// call calls the function, up to retry.max times if the instance breaks or does not start; from the second time on
// with an instance for itself.
func (r *Rule) call(m *rpc.Message) (*rpc.Message, error) {
	for attempt := 1; ; attempt++ {
		out, err := r.fn.Call(r.wait, r.work, m, attempt > 1)
		if err == nil {
			return out, nil
		}
		if function.Judge(err) == function.Refused {
			return nil, refusal{err}
		}
		if attempt >= r.cfg.Retry.Max || r.wait.Err() != nil {
			return nil, err
		}
		r.retried.Add(1)
		t := time.NewTimer(retries.Delay(attempt-1, mathrand.Float64()))
		select {
		case <-t.C:
		case <-r.wait.Done():
			t.Stop()
		}
	}
}

// refusal is the function's own answer that it failed: the documents want it where results go.
type refusal struct{ error }

// fail publishes the error message of o.
func (r *Rule) fail(o *outcome, cause error) {
	targets := []mqtt.TopicInfo{r.cfg.Publish}
	if dead := r.cfg.DeadLetter; dead.Topic != "" {
		targets = append(targets, mqtt.TopicInfo{Topic: dead.Topic, QOS: dead.QOS})
		if !errors.As(cause, new(refusal)) {
			targets[0], targets[1] = targets[1], targets[0]
		}
	}
	r.report(o, cause, targets)
}

func (r *Rule) report(o *outcome, cause error, targets []mqtt.TopicInfo) {
	if len(targets) == 0 {
		r.again(o, cause)
		return
	}
	t := targets[0]
	r.publish(report(o.m, cause, t.Topic, min(o.d.QOS, t.QOS), r.limit), func(err error) {
		switch {
		case errors.Is(err, mqtt.ErrPoison):
			r.late <- func() { r.report(o, cause, targets[1:]) }
			return
		case err == nil:
			r.errors.Add(1)
			o.d.Ack()
		}
		r.leave()
	})
}

// again publishes the result once more, later: a hub that takes not even a small message is ill, its disk full
// perhaps, or does not permit the topics of this rule, which is true for all of its messages. None is given up for
// that.
func (r *Rule) again(o *outcome, cause error) {
	delay := refusals.Delay(o.refused, mathrand.Float64())
	o.refused++
	r.refused.Add(1)
	r.log.WithError(
		cause,
	).Errorf(
		"the hub takes neither result nor error message of %s; again in %s",
		o.m.FunctionInvokeID,
		delay.Round(time.Second),
	)
	time.AfterFunc(delay, func() { r.late <- func() { r.finish(o) } })
}

// publish hands a message to the hub's client; done is called once, and must not block.
func (r *Rule) publish(m mqtt.Message, done func(error)) {
	if err := r.hub.PublishAsync(r.work, m, done); err != nil {
		done(err)
	}
}

// leave ends a message: there is room for another.
func (r *Rule) leave() { <-r.room }

// newID returns a random UUID (version 4).
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
