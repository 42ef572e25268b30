package mqtt

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

// firstDelay is the delay before the first attempt after one that failed. The documents say 500 microseconds, which is
// a misprint: 2000 attempts per second would overload the peer.
const firstDelay = 500 * time.Millisecond

// batch is how many packets are written at once.
const batch = 128

// run connects again and again until Close.
func (d *Dispatcher) run() {
	delays := backoff.Policy{Min: min(firstDelay, d.cfg.Interval), Max: d.cfg.Interval, Jitter: 0.2}
	told, delay := "", time.Duration(0)
	for failures := 0; d.ctx.Err() == nil; {
		lived, gaveUp, err := d.connection(&told)
		if d.ctx.Err() != nil {
			return
		}
		if gaveUp || lived >= max(delay, time.Second) {
			failures = 0 // the message that the peer refused is gone, or the connection outlived the delay before it
		}
		delay = min(delays.Delay(failures, rand.Float64()), d.cfg.Interval)
		failures++
		if text := err.Error(); text != told {
			d.log.WithError(err).Warnf("not connected; retrying, at least once every %s", d.cfg.Interval)
			told = text
		}
		d.event(func(h Handler) { h.OnError(err) })
		t := time.NewTimer(delay)
		select {
		case <-t.C:
		case <-d.ctx.Done():
			t.Stop()
		}
	}
}

// connection opens one connection and serves it to its end. It returns how long the connection lived, whether a
// publication was given up with its end, and why it ended.
func (d *Dispatcher) connection(told *string) (lived time.Duration, gaveUp bool, err error) {
	c, err := Connect(d.ctx, d.cfg, d.will)
	if err != nil {
		return 0, false, fmt.Errorf("connect: %w", err)
	}
	began := time.Now()
	d.mu.Lock()
	d.client, d.since = c, began
	d.acks = nil
	d.in.connected(c.SessionPresent())
	d.out.connected(c.SessionPresent())
	epoch := d.in.epoch
	d.mu.Unlock()
	*told = ""
	if len(c.cfg.Subscriptions) == 0 {
		d.connected(c)
	}
	signal(d.wake)

	stop := context.AfterFunc(d.ctx, func() { c.Close() })
	defer stop()
	var writer sync.WaitGroup
	writer.Go(func() { d.write(c) })
	err = c.Serve(func(p packet.Generic) error { return d.receive(c, epoch, p) })
	writer.Wait()

	d.mu.Lock()
	d.client, d.acks, d.sending, d.since = nil, nil, false, time.Time{}
	d.in.online = false
	d.lost++
	poison := d.out.lost(byPeer(err))
	d.settled()
	d.mu.Unlock()
	if poison != nil {
		l := d.log.WithField(log.KeyTopic, poison.msg.Topic)
		l.Warnf("message of %d bytes given up: %s", poison.msg.PacketSize(), ErrPoison)
		poison.finish(ErrPoison)
	}
	return time.Since(began), poison != nil, err
}

// connected tells the handler and the log of a connection that is ready: subscribed, if there is something to
// subscribe to.
func (d *Dispatcher) connected(c *Client) {
	d.log.Infof("connected")
	d.event(func(h Handler) {
		if ch, ok := h.(ConnectHandler); ok {
			ch.OnConnect(c.SessionPresent())
		}
	})
}

// write sends what there is until the connection ends.
func (d *Dispatcher) write(c *Client) {
	for {
		d.mu.Lock()
		pkts, taken, qos0 := d.out.next(batch)
		pkts = append(d.acks, pkts...)
		d.acks = nil
		d.sending = len(pkts) > 0
		d.settled()
		d.mu.Unlock()
		for range taken {
			<-d.room
		}
		if len(pkts) == 0 {
			select {
			case <-d.wake:
				runtime.Gosched() // lets goroutines that are about to publish join this write
				continue
			case <-c.Done():
				return
			}
		}
		err := c.Send(pkts...)
		for _, p := range qos0 {
			if err != nil {
				p.finish(ErrLost)
			} else {
				p.finish(nil)
			}
		}
		if err != nil {
			return
		}
	}
}

// idle tells whether there is nothing to send and nothing unanswered. Called under mu.
func (d *Dispatcher) idle() bool { return d.out.empty() && len(d.acks) == 0 && !d.sending }

// settled ends the waits in Drain if all is sent. Called under mu.
func (d *Dispatcher) settled() {
	if !d.idle() {
		return
	}
	for _, c := range d.drained {
		close(c)
	}
	d.drained = nil
}

// receive takes a packet of the connection c of epoch. It never blocks.
func (d *Dispatcher) receive(c *Client, epoch int, pkt packet.Generic) error {
	if ack, ok := pkt.(*packet.Suback); ok {
		d.subscribed(c, ack)
		return nil
	}
	var ended *publication
	d.mu.Lock()
	switch p := pkt.(type) {
	case *packet.Publish:
		if err := d.arrived(epoch, p); err != nil {
			d.mu.Unlock()
			return err
		}
	case *packet.Puback:
		ended = d.out.acked(p.ID, 1)
	case *packet.Pubrec:
		d.out.received(p.ID)
		d.answer(&packet.Pubrel{ID: p.ID}) // also to an id that is not known: the peer waits for it
	case *packet.Pubcomp:
		ended = d.out.acked(p.ID, 2)
	case *packet.Pubrel:
		delete(d.in.second, p.ID)
		d.answer(&packet.Pubcomp{ID: p.ID}) // [MQTT-4.3.3-2]
	}
	d.settled()
	d.mu.Unlock()
	if ended != nil {
		ended.finish(nil)
		signal(d.wake) // the window has room
	}
	return nil
}

// subscribed notes what the peer granted.
func (d *Dispatcher) subscribed(c *Client, ack *packet.Suback) {
	if refused := c.refused(ack); len(refused) > 0 {
		err := fmt.Errorf("%w: %q", ErrRefused, refused)
		d.log.Warnf("%s; no messages will come for these filters", err)
		d.event(func(h Handler) { h.OnError(err) })
	}
	d.connected(c)
}

// arrived takes a PUBLISH. Called under mu.
func (d *Dispatcher) arrived(epoch int, p *packet.Publish) error {
	if d.handler == nil {
		d.discard(p)
		return nil
	}
	m := &Delivery{
		Message: Message{
			Topic:   p.Message.Topic,
			Payload: p.Message.Payload,
			QOS:     uint32(p.Message.QOS),
			Retain:  p.Message.Retain,
		},
		ID:       uint16(p.ID),
		Dup:      p.Dup,
		Received: time.Now(),
	}
	switch m.QOS {
	case 1:
		if p.Dup && d.in.first[p.ID] {
			return nil // the peer resends within a connection; the handler has the message, or will get it
		}
		d.in.first[p.ID] = true
		m.ack = d.acknowledge(func() bool {
			if d.client == nil || d.in.epoch != epoch {
				return false
			}
			delete(d.in.first, p.ID)
			d.answer(&packet.Puback{ID: p.ID})
			return true
		})
	case 2:
		if acked, known := d.in.second[p.ID]; known {
			if acked {
				d.answer(&packet.Pubrec{ID: p.ID})
			}
			return nil // the handler has the message, or will get it [MQTT-4.3.3-2]
		}
		d.in.second[p.ID] = false
		session := d.in.session
		m.ack = d.acknowledge(func() bool {
			if d.in.session != session {
				return false
			}
			d.in.second[p.ID] = true
			if d.client != nil {
				d.answer(&packet.Pubrec{ID: p.ID})
			}
			return true
		})
	}
	if !d.in.add(m) {
		return fmt.Errorf("more than %d bytes of unacknowledged messages wait for the handler", receiveBytes)
	}
	signal(d.deliver)
	return nil
}

// discard acknowledges a message and drops it, since there is no handler. Called under mu.
func (d *Dispatcher) discard(p *packet.Publish) {
	switch p.Message.QOS {
	case 1:
		d.answer(&packet.Puback{ID: p.ID})
	case 2:
		d.answer(&packet.Pubrec{ID: p.ID})
	}
}

// acknowledge returns a function for Delivery.ack: it calls send under mu, the first time only.
func (d *Dispatcher) acknowledge(send func() bool) func() bool {
	used := false
	return func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		if used {
			return false
		}
		used = true
		return send()
	}
}

// answer queues a packet for the current connection. Called under mu.
func (d *Dispatcher) answer(p packet.Generic) {
	d.acks = append(d.acks, p)
	signal(d.wake)
}

// event queues a call of the handler.
func (d *Dispatcher) event(f func(Handler)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.handler == nil {
		return
	}
	h := d.handler
	d.in.addEvent(func() { f(h) })
	signal(d.deliver)
}

// hand calls the handler until Close.
func (d *Dispatcher) hand() {
	for {
		d.mu.Lock()
		e, ok := d.in.next()
		d.mu.Unlock()
		switch {
		case d.ctx.Err() != nil:
			return
		case !ok:
			select {
			case <-d.deliver:
			case <-d.ctx.Done():
			}
		case e.event != nil:
			e.event()
		default:
			d.handler.OnMessage(e.msg)
		}
	}
}

// signal wakes the receiver of c. c holds one signal; a second one while it waits is not needed.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
