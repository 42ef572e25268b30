package bridge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/config"
	"github.com/baetyl/baetyl/baetyl-remote-mqtt/park"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/log"
)

// Lane are the numbers of one direction since the start.
type Lane struct {
	Received  uint64 // from the source, all that follows included
	Resent    uint64 // of them marked as duplicates: the source sent them before
	Forwarded uint64 // acknowledged by the target, or written to it (QoS 0)
	Parked    uint64
	Known     uint64 // retained messages that came again with a new connection and were not forwarded again
	Unwanted  uint64 // of subscriptions that the source's session still has and the configuration does not
	Dropped   uint64 // QoS 0: no room, or written to a connection that broke
	Queue     int    // under way in the bridge
}

// lane takes the messages of one side to the other. It is the handler of the source's client.
type lane struct {
	rule     int
	from, to string // names
	subs     []config.Subscription
	target   *mqtt.Dispatcher
	parker   Parker
	log      log.Logger
	retained *memory
	parking  sync.WaitGroup // goroutines that park

	ctx  context.Context // ends with stop: nothing more begins
	quit context.CancelFunc

	mu       sync.Mutex // guards what follows
	underway int
	idle     chan struct{} // closed when stop was called and nothing is under way; nil before

	received, resent, forwarded, parked, known, unwanted, dropped atomic.Uint64
}

func newLane(rule int, from, to string, subs []config.Subscription, target *mqtt.Dispatcher, p Parker, logger log.Logger) *lane {
	l := &lane{rule: rule, from: from, to: to, subs: subs, target: target, parker: p, log: logger.WithField("from", from).WithField("to", to),
		retained: newMemory()}
	l.ctx, l.quit = context.WithCancel(context.Background())
	return l
}

// OnError implements mqtt.Handler. The client has logged the error.
func (l *lane) OnError(error) {}

// OnMessage implements mqtt.Handler. It returns when the message is in the target's queue.
func (l *lane) OnMessage(d *mqtt.Delivery) {
	if !l.enter() {
		return // not acknowledged: it comes again
	}
	l.received.Add(1)
	if d.Dup {
		l.resent.Add(1)
	}
	topic, wanted := l.topic(d.Topic)
	switch {
	case !wanted:
		if l.unwanted.Add(1) == 1 {
			l.log.WithField(log.KeyTopic, d.Topic).Warnf("message of a subscription that is not in the configuration any more; such messages are dropped")
		}
	case d.Retain && !l.retained.add(d.Topic, d.Payload) && !d.Dup: // one that is sent again was not acknowledged
		l.known.Add(1)
	default:
		l.forward(d, mqtt.Message{Topic: topic, Payload: d.Payload, QOS: d.QOS, Retain: d.Retain})
		return
	}
	d.Ack()
	l.leave()
}

func (l *lane) topic(topic string) (string, bool) {
	for _, s := range l.subs {
		if target, ok := s.Target(topic); ok {
			return target, true
		}
	}
	return "", false
}

// forward hands m, which came as d, to the target, and ends it with the target's answer.
func (l *lane) forward(d *mqtt.Delivery, m mqtt.Message) {
	err := l.target.PublishAsync(l.ctx, m, func(err error) {
		switch {
		case err == nil:
			l.forwarded.Add(1)
			d.Ack()
		case errors.Is(err, mqtt.ErrPoison):
			l.parking.Go(func() { l.park(d, m, err) }) // not here: the caller is the target's reader
			return
		case errors.Is(err, mqtt.ErrLost):
			l.dropped.Add(1)
		}
		l.leave()
	})
	switch {
	case err == nil:
	case l.ctx.Err() != nil || errors.Is(err, mqtt.ErrClosed):
		l.leave() // not acknowledged
	default: // it can't be published anywhere
		l.park(d, m, err)
	}
}

// park keeps a message that the target does not take. A message that can't be kept is tried again, so that it is not lost; at QoS 0
// it is dropped.
func (l *lane) park(d *mqtt.Delivery, m mqtt.Message, cause error) {
	err := l.parker.Park(park.Entry{Time: time.Now(), Rule: l.rule, From: l.from, To: l.to, Topic: d.Topic, Target: m.Topic,
		QOS: d.QOS, Retain: d.Retain, Payload: d.Payload, Reason: cause.Error()})
	line := l.log.WithField(log.KeyTopic, d.Topic).WithField("bytes", len(d.Payload)).WithField(log.KeyReason, cause)
	switch {
	case err == nil:
		l.parked.Add(1)
		line.Warnf("message parked")
		d.Ack()
	case d.QOS == 0:
		l.dropped.Add(1)
		line.WithError(err).Errorf("message dropped")
	case errors.Is(cause, mqtt.ErrPoison):
		line.WithError(err).Errorf("message is tried again")
		l.forward(d, m)
		return
	default:
		line.WithError(err).Errorf("message stays where it is")
	}
	l.leave()
}

// enter notes that a message is under way; false after stop.
func (l *lane) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.idle != nil {
		return false
	}
	l.underway++
	return true
}

func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.underway--
	if l.underway == 0 && l.idle != nil {
		close(l.idle)
	}
}

// stop lets nothing more begin and waits for the answers to what is under way, until ctx ends or if the target is away.
func (l *lane) stop(ctx context.Context) {
	l.mu.Lock()
	l.idle = make(chan struct{})
	if l.underway == 0 {
		close(l.idle)
	}
	idle := l.idle
	l.mu.Unlock()
	l.quit()
	if !l.target.Stats().Connected {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

func (l *lane) stats(source mqtt.Stats) Lane {
	l.mu.Lock()
	queue := l.underway
	l.mu.Unlock()
	return Lane{Received: l.received.Load(), Resent: l.resent.Load(), Forwarded: l.forwarded.Load(), Parked: l.parked.Load(),
		Known: l.known.Load(), Unwanted: l.unwanted.Load(), Dropped: l.dropped.Load() + source.Dropped, Queue: queue + source.Waiting}
}
