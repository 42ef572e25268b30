package rule

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"github.com/baetyl/baetyl/baetyl-function-manager/function"
	"github.com/baetyl/baetyl/protocol/mqtt"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

// retries are the delays between two attempts of a call.
var retries = backoff.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.2}

// call is one message and what comes of it.
//
//	waiting ──begin──► with the function ──answered──► ended ──finish──► published ──► left
//	   ▲                 │          ▲
//	   └──── again ──────┤          │
//	  (was not begun)    └──retry───┘ (its instance has ended: later, with an instance for itself)
type call struct {
	function.Call
	d      *mqtt.Delivery
	size   int // bytes of the budget
	rounds int // that it has made, see round
	holds  int

	line           *line // these are of lines
	epoch          int
	running, ended bool
	retrying, held bool

	place    int         // in Rule.under, while it is with the function
	attempts int         // that have failed
	timer    *time.Timer // of the next one
	out      *rpc.Message
	err      error
	refused  int // times that the hub took neither the result nor the error message
}

// OnMessage implements mqtt.Handler. At QoS 1 it blocks while the budget is used up.
func (r *Rule) OnMessage(d *mqtt.Delivery) {
	size := mqtt.Overhead + len(d.Topic) + len(d.Payload)
	if !r.share.take(size, d.QOS > 0) {
		if d.QOS == 0 {
			r.drops.add(r.log, "%d QoS 0 messages are dropped, as message.waiting.max is used up: they come faster than the "+
				"function handles them (%d since the start)")
		}
		return
	}
	r.received.Add(1)
	r.inFlight.Add(1)
	c := &call{d: d, size: size}
	key := ""
	if r.key != nil && !r.one {
		key = r.key(d.Topic, d.Payload)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if h, first := r.echo.arrived(c, d.Received); h != nil {
		c.held = true
		r.held.add(r.log.WithField(log.KeyTopic, d.Topic), "%d messages have come back to this rule again and again, as it "+
			"publishes them on %s, and are held up, this one for %s: a bridge or another program sends them to %s; end the "+
			"ring there (%d since the start)", r.cfg.Publish.Topic, h.delay, r.cfg.Subscribe.Topic)
		if first {
			time.AfterFunc(h.delay, func() { r.release(h) })
		}
	}
	r.lines.add(key, r.one || r.key != nil, c)
	r.begin()
}

// release lets messages begin that have gone round.
func (r *Rule) release(h *hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.echo.release(h, time.Now()) {
		r.lines.release(c)
	}
	r.begin()
}

// begin gives the function the messages that may begin. Called under mu, so that it gets them in their order.
func (r *Rule) begin() {
	if r.closing {
		return
	}
	for c := r.lines.next(); c != nil; c = r.lines.next() {
		if c.Message == nil {
			r.message(c)
		}
		c.place = len(r.under)
		r.under = append(r.under, c)
		r.fn.Begin(&c.Call)
	}
}

// message makes what the function gets. It is made late, since many messages may wait.
func (r *Rule) message(c *call) {
	d := c.d
	c.Message = &rpc.Message{
		ID:               uint64(d.ID),
		QOS:              d.QOS,
		Topic:            d.Topic,
		Payload:          d.Payload,
		Timestamp:        d.Received.Unix(),
		FunctionName:     r.cfg.Function.Name,
		FunctionInvokeID: NewID(),
	}
	c.Done = func(out *rpc.Message, err error) { r.answered(c, out, err) }
}

// answered takes the end of a call, and decides what follows: the next attempt, or the end of the message.
func (r *Rule) answered(c *call, out *rpc.Message, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	outcome := function.OutcomeOf(err)
	switch {
	case r.closing && err != nil:
		// not acknowledged: the hub sends it again
	case outcome == function.Unbegun && c.Alone:
		r.fn.Begin(&c.Call)
		return
	case outcome == function.Unbegun, outcome == function.Broken && r.lines.behindRetries(c):
		r.takeBack(c)
		r.remove(c)
		r.lines.again(c)
		r.begin()
		return
	case outcome == function.Refused:
		err = refusal{err}
	case outcome == function.TimedOut && (c.Alone || r.fn.Concurrency() == 1):
		// it was the only one that ran, and would take as long again
	case err != nil:
		if c.attempts++; c.attempts < r.cfg.Retry.Max {
			r.retried.Add(1)
			r.takeBack(c)
			r.lines.retry(c)
			c.timer = time.AfterFunc(retries.Delay(c.attempts-1, mathrand.Float64()), func() { r.retry(c) })
			return
		}
	}
	r.end(c, out, err)
}

// takeBack puts those behind c back that have no instance yet: they must not get the next one before it. Called under
// mu.
func (r *Rule) takeBack(c *call) {
	for _, other := range r.lines.behind(c) {
		if r.fn.Cancel(&other.Call) {
			r.remove(other)
			r.lines.again(other)
		}
	}
}

// retry begins the next attempt of a call, with an instance for itself.
func (r *Rule) retry(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		r.end(c, nil, errClosing)
		return
	}
	c.Alone = true
	r.fn.Begin(&c.Call)
}

// errClosing is the error of calls that begin no more.
var errClosing = errors.New("the function manager is stopping")

// end ends a call, and finishes the messages whose turn it is. Called under mu.
func (r *Rule) end(c *call, out *rpc.Message, err error) {
	c.out, c.err = out, err
	if out != nil {
		c.size += len(out.Payload)
		r.share.add(len(out.Payload))
	}
	r.remove(c)
	for _, f := range r.lines.end(c) {
		r.finish(f)
	}
	r.begin()
	r.check()
}

// remove takes a call out of those that are with the function. Called under mu.
func (r *Rule) remove(c *call) {
	last := len(r.under) - 1
	r.under[c.place] = r.under[last]
	r.under[c.place].place = c.place
	r.under[last] = nil
	r.under = r.under[:last]
}

// NewID returns an id for the call of a function: a random UUID (version 4).
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[:], b[:4])
	hex.Encode(text[9:], b[4:6])
	hex.Encode(text[14:], b[6:8])
	hex.Encode(text[19:], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
