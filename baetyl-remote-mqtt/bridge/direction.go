package bridge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/config"
	"github.com/baetyl/baetyl/baetyl-remote-mqtt/deadletter"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/log"
)

// DeadLetters keeps messages that can't be passed on. Keep may be called from any goroutine; without an error the
// message is on disk.
type DeadLetters interface {
	Keep(deadletter.Entry) error
}

// Direction are the numbers of one direction since the start.
type Direction struct {
	Received    uint64 // from the source, all that follows included
	Resent      uint64 // of them marked as duplicates: the source sent them before
	Forwarded   uint64 // acknowledged by the target, or written to it (QoS 0)
	DeadLetters uint64
	Known       uint64 // retained messages that came again with a new connection and were not forwarded again
	Unwanted    uint64 // of subscriptions that the source's session still has and the configuration does not
	Dropped     uint64 // QoS 0: no room, or written to a connection that broke
	Queue       int    // under way in the bridge
}

// direction takes the messages of one side to the other. It is the handler of the source's client.
type direction struct {
	rule     int
	from, to string // names
	subs     []config.Subscription
	target   *mqtt.Dispatcher
	letters  DeadLetters
	log      log.Logger
	retained *memory
	keeping  sync.WaitGroup // goroutines that keep a dead letter

	ctx  context.Context // ends with stop: nothing more begins
	quit context.CancelFunc

	mu       sync.Mutex // guards what follows
	inFlight int
	idle     chan struct{} // closed when stop was called and nothing is under way; nil before

	received, resent, forwarded, dead, known, unwanted, dropped atomic.Uint64
}

func newDirection(
	rule int,
	from, to string,
	subs []config.Subscription,
	target *mqtt.Dispatcher,
	letters DeadLetters,
	logger log.Logger,
) *direction {
	dir := &direction{
		rule:     rule,
		from:     from,
		to:       to,
		subs:     subs,
		target:   target,
		letters:  letters,
		log:      logger.WithField("from", from).WithField("to", to),
		retained: newMemory(),
	}
	dir.ctx, dir.quit = context.WithCancel(context.Background())
	return dir
}

// OnError implements mqtt.Handler. The client has logged the error.
func (dir *direction) OnError(error) {}

// OnMessage implements mqtt.Handler. It returns when the message is in the target's queue.
func (dir *direction) OnMessage(d *mqtt.Delivery) {
	if !dir.enter() {
		return // not acknowledged: it comes again
	}
	dir.received.Add(1)
	if d.Dup {
		dir.resent.Add(1)
	}
	topic, wanted := dir.topic(d.Topic)
	switch {
	case !wanted:
		if dir.unwanted.Add(1) == 1 {
			dir.log.WithField(
				log.KeyTopic,
				d.Topic,
			).Warnf(
				"message of a subscription that is not in the configuration any more; such messages are dropped",
			)
		}
	case d.Retain && !dir.retained.add(d.Topic, d.Payload) && !d.Dup: // one that is sent again was not acknowledged
		dir.known.Add(1)
	default:
		dir.forward(d, mqtt.Message{Topic: topic, Payload: d.Payload, QOS: d.QOS, Retain: d.Retain})
		return
	}
	d.Ack()
	dir.leave()
}

func (dir *direction) topic(topic string) (string, bool) {
	for _, s := range dir.subs {
		if target, ok := s.Target(topic); ok {
			return target, true
		}
	}
	return "", false
}

// forward hands m, which came as d, to the target, and ends it with the target's answer.
func (dir *direction) forward(d *mqtt.Delivery, m mqtt.Message) {
	err := dir.target.PublishAsync(dir.ctx, m, func(err error) {
		switch {
		case err == nil:
			dir.forwarded.Add(1)
			d.Ack()
		case errors.Is(err, mqtt.ErrPoison):
			dir.keeping.Go(func() { dir.keep(d, m, err) }) // not here: the caller is the target's reader
			return
		case errors.Is(err, mqtt.ErrLost):
			dir.dropped.Add(1)
		}
		dir.leave()
	})
	switch {
	case err == nil:
	case dir.ctx.Err() != nil || errors.Is(err, mqtt.ErrClosed):
		dir.leave() // not acknowledged
	default: // it can't be published anywhere
		dir.keep(d, m, err)
	}
}

// keep makes a message that the target does not take a dead letter. One that can't be kept is tried again, so that it
// is not lost; at QoS 0 it is dropped.
func (dir *direction) keep(d *mqtt.Delivery, m mqtt.Message, cause error) {
	err := dir.letters.Keep(
		deadletter.Entry{Time: time.Now(), Rule: dir.rule, From: dir.from, To: dir.to, Topic: d.Topic, Target: m.Topic,
			QOS: d.QOS, Retain: d.Retain, Payload: d.Payload, Reason: cause.Error()},
	)
	line := dir.log.WithField(log.KeyTopic, d.Topic).WithField("bytes", len(d.Payload)).WithField(log.KeyReason, cause)
	switch {
	case err == nil:
		dir.dead.Add(1)
		line.Warnf("message is kept as a dead letter")
		d.Ack()
	case d.QOS == 0:
		dir.dropped.Add(1)
		line.WithError(err).Errorf("message dropped")
	case errors.Is(cause, mqtt.ErrPoison):
		line.WithError(err).Errorf("message is tried again")
		dir.forward(d, m)
		return
	default:
		line.WithError(err).Errorf("message stays where it is")
	}
	dir.leave()
}

// enter notes that a message is under way; false after stop.
func (dir *direction) enter() bool {
	dir.mu.Lock()
	defer dir.mu.Unlock()
	if dir.idle != nil {
		return false
	}
	dir.inFlight++
	return true
}

func (dir *direction) leave() {
	dir.mu.Lock()
	defer dir.mu.Unlock()
	dir.inFlight--
	if dir.inFlight == 0 && dir.idle != nil {
		close(dir.idle)
	}
}

// stop lets nothing more begin and waits for the answers to what is under way, until ctx ends or if the target is away.
func (dir *direction) stop(ctx context.Context) {
	dir.mu.Lock()
	dir.idle = make(chan struct{})
	if dir.inFlight == 0 {
		close(dir.idle)
	}
	idle := dir.idle
	dir.mu.Unlock()
	dir.quit()
	if !dir.target.Stats().Connected {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

func (dir *direction) stats(source mqtt.Stats) Direction {
	dir.mu.Lock()
	queue := dir.inFlight
	dir.mu.Unlock()
	return Direction{
		Received:    dir.received.Load(),
		Resent:      dir.resent.Load(),
		Forwarded:   dir.forwarded.Load(),
		DeadLetters: dir.dead.Load(),
		Known:       dir.known.Load(),
		Unwanted:    dir.unwanted.Load(),
		Dropped:     dir.dropped.Load() + source.Dropped,
		Queue:       queue + source.Waiting,
	}
}
