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
	// messageLimit is how many messages of a rule are in flight at once: they are handled, or wait for the hub's
	// acknowledgement of their result. It is more than the hub sends without an acknowledgement (100), so at QoS 1 the
	// hub's limit is the one that is reached.
	messageLimit = 128
	// poisonLimit is how often the hub may close the connection because of one result.
	poisonLimit = 3
	// shutdownTimeout is how long Run waits for calls that run and results that are not acknowledged.
	shutdownTimeout = 3 * time.Second
)

// retries are the delays between two attempts of a call.
var retries = backoff.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.2}

// refusals are the delays before a result is published again after the hub has refused it and its error message.
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
	Dropped   uint64 // QoS 0 messages that came while thousands waited
	InFlight  int    // messages that have come in and not ended
}

// Rule is one rule. Run is called once.
type Rule struct {
	cfg   config.Rule
	fn    Caller
	key   config.OrderKey
	one   bool // one queue for all messages
	limit int  // largest packet that the hub takes
	hub   *mqtt.Dispatcher
	log   log.Logger

	room  chan struct{} // one element for each message in flight; full: OnMessage blocks
	queue *keyedQueue
	wait  context.Context // ends when Run is told to end: no more calls begin
	quit  context.CancelFunc
	work  context.Context // ends at most shutdownTimeout later: calls are given up
	kill  context.CancelFunc
	late  chan func() // what follows a refusal; at most one for each message in flight, so never full

	received, results, empty, errors, retried, refused atomic.Uint64
}

// New returns a rule with its own connection to the hub, which Run opens. fc is the configuration of fn. hub is the
// section hub of the configuration, with the rule's client id. limit is the largest packet, in bytes, that the hub
// takes.
func New(cfg config.Rule, fc config.Function, fn Caller, hub mqtt.ClientInfo, limit int, logger log.Logger) (
	*Rule, error,
) {
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
		room:  make(chan struct{}, messageLimit),
		queue: newKeyedQueue(fn.Concurrency),
		late:  make(chan func(), messageLimit),
	}
	hub.Subscriptions = []mqtt.TopicInfo{cfg.Subscribe}
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
	var later sync.WaitGroup
	later.Go(r.afterwards)
	defer later.Wait()
	<-ctx.Done()
	r.quit()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.queue.wait()
		if r.hub.Stats().Connected {
			r.hub.Drain(r.work)
		}
	}()
	t := time.NewTimer(shutdownTimeout)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
	r.kill()
	err := r.hub.Close()
	<-ended
	r.hub.Wait()
	r.queue.wait() // for a message that came in at the last moment
	return err
}

// afterwards publishes the error messages of refused results: the MQTT client that reports the refusal must not block.
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
		InFlight:  len(r.room),
	}
}

// OnError implements mqtt.Handler. The client has logged the error.
func (r *Rule) OnError(error) {}

// OnMessage implements mqtt.Handler. It blocks while messageLimit messages are in flight.
func (r *Rule) OnMessage(d *mqtt.Delivery) {
	select {
	case r.room <- struct{}{}:
	case <-r.wait.Done():
		return
	}
	r.received.Add(1)
	m := &rpc.Message{
		ID:               uint64(d.ID),
		QOS:              d.QOS,
		Topic:            d.Topic,
		Payload:          d.Payload,
		Timestamp:        d.Received.Unix(),
		FunctionName:     r.cfg.Function.Name,
		FunctionInvokeID: newID(),
	}
	key := ""
	if r.key != nil && !r.one {
		key = r.key(d.Topic, d.Payload)
	}
	r.queue.add(key, r.one || r.key != nil, func() func() { return r.handle(d, m) })
}

// handle calls the function. What it returns publishes the result; the keyed queue runs that in the order of the
// messages.
func (r *Rule) handle(d *mqtt.Delivery, m *rpc.Message) func() {
	out, err := r.call(m)
	return func() { r.finish(&call{d: d, m: m, out: out, err: err}) }
}

// call is a call of the function that has ended: a message and what came of it.
type call struct {
	d       *mqtt.Delivery
	m, out  *rpc.Message
	err     error
	refused int // times that the hub took neither the result nor the error message
}

// finish brings one message to its end, but for the hub's acknowledgement of the result.
func (r *Rule) finish(c *call) {
	d, out, err := c.d, c.out, c.err
	switch {
	case r.wait.Err() != nil && (err != nil || r.work.Err() != nil):
		r.leave() // not acknowledged: the hub sends it again
	case err != nil:
		r.fail(c, err)
	case len(out.GetPayload()) == 0:
		r.empty.Add(1)
		d.Ack()
		r.leave()
	default:
		result := mqtt.Message{Topic: r.cfg.Publish.Topic, QOS: min(d.QOS, r.cfg.Publish.QOS), Payload: out.Payload}
		if size := result.PacketSize(); size > r.limit {
			const text = "result of %d bytes makes a packet of %d bytes, more than message.length.max (%d), " +
				"which the hub would refuse"
			r.fail(c, fmt.Errorf(text, len(out.Payload), size, r.limit))
			return
		}
		r.publish(result, func(err error) {
			switch {
			case errors.Is(err, mqtt.ErrPoison):
				r.late <- func() {
					r.fail(c, fmt.Errorf("the hub refuses the result of %d bytes on topic %s", len(out.Payload), result.Topic))
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
		if function.OutcomeOf(err) == function.Refused {
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

// refusal is an error that the function itself reports. As documented, it goes where results go.
type refusal struct{ error }

// fail publishes the error message of a call.
func (r *Rule) fail(c *call, cause error) {
	targets := []mqtt.TopicInfo{r.cfg.Publish}
	if dead := r.cfg.DeadLetter; dead.Topic != "" {
		targets = append(targets, mqtt.TopicInfo{Topic: dead.Topic, QOS: dead.QOS})
		if !errors.As(cause, new(refusal)) {
			targets[0], targets[1] = targets[1], targets[0]
		}
	}
	r.report(c, cause, targets)
}

func (r *Rule) report(c *call, cause error, targets []mqtt.TopicInfo) {
	if len(targets) == 0 {
		r.again(c, cause)
		return
	}
	t := targets[0]
	r.publish(report(c.m, cause, t.Topic, min(c.d.QOS, t.QOS), r.limit), func(err error) {
		switch {
		case errors.Is(err, mqtt.ErrPoison):
			r.late <- func() { r.report(c, cause, targets[1:]) }
			return
		case err == nil:
			r.errors.Add(1)
			c.d.Ack()
		}
		r.leave()
	})
}

// again publishes the result once more, later. A hub that refuses even a small message may have a full disk, or may not
// permit the topics of this rule. An operator can change both, so no message is given up.
func (r *Rule) again(c *call, cause error) {
	delay := refusals.Delay(c.refused, mathrand.Float64())
	c.refused++
	r.refused.Add(1)
	r.log.WithError(cause).WithField("invokeid", c.m.FunctionInvokeID).Errorf(
		"the hub takes neither result nor error message; the result is published again in %s", delay.Round(time.Second))
	time.AfterFunc(delay, func() { r.late <- func() { r.finish(c) } })
}

// publish hands a message to the MQTT client. done is called once, with the error or nil, and must not block.
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
