package mqtt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/utils/log"
)

// Option changes how a Dispatcher works.
type Option func(*Dispatcher)

// WithLogger makes the Dispatcher write a line for each change of its state. Without it, OnError is the only sign.
func WithLogger(l log.Logger) Option { return func(d *Dispatcher) { d.log = l } }

// WithWill sets the message that the peer publishes when the connection ends without DISCONNECT.
func WithWill(m Message) Option { return func(d *Dispatcher) { d.will = &m } }

// WithContext makes a Publish that waits for room give up when ctx ends; one that finds room still works. So a module
// that publishes in its main loop can end while the hub is not reachable.
func WithContext(ctx context.Context) Option { return func(d *Dispatcher) { d.publishCtx = ctx } }

// WithPoisonLimit gives a message of QoS 1 or 2 up, with ErrPoison, when the peer has closed n connections while the
// message was the only one unanswered. Without this option a message that the peer never takes is tried for ever, and
// all messages behind it wait.
func WithPoisonLimit(n int) Option { return func(d *Dispatcher) { d.poison = n } }

// WithProbe makes sure that the message is the cause, and not the peer: a message that has reached the poison limit
// lets another one, the probe, go first. If the peer acknowledges the probe and closes on the message again, the
// message is given up; without an acknowledged probe it is given up at four times the limit. So a peer that closes on
// everything, because its disk is full for example, costs no messages for a long time.
func WithProbe() Option { return func(d *Dispatcher) { d.probe = true } }

// Dispatcher keeps a connection to the peer up and passes messages in both directions. All methods may be called from
// any goroutine.
type Dispatcher struct {
	cfg        ClientInfo
	log        log.Logger
	will       *Message
	publishCtx context.Context // see WithContext
	poison     int             // see WithPoisonLimit; 0: off
	probe      bool            // see WithProbe

	room    chan struct{} // one element for each message in the queue; full: Publish blocks
	wake    chan struct{} // the writer has work; holds one signal
	deliver chan struct{} // the same for the goroutine that calls the handler

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	network sync.WaitGroup // the goroutine of run
	handing sync.WaitGroup // the goroutine of hand

	mu      sync.Mutex // guards what follows; no callback is made under it
	started bool
	handler Handler
	out     *outbox
	in      *inbox
	client  *Client          // nil: offline
	acks    []packet.Generic // for client; at most one for each message that it delivered
	sending bool             // the writer has taken packets that are not yet written
	drained []chan struct{}  // closed when there is nothing to send
	since   time.Time        // of the current connection
	lost    uint64           // connections that ended
}

// NewDispatcher checks cfg and the files that it names. It connects to nothing; Start does.
func NewDispatcher(cfg ClientInfo, opts ...Option) (*Dispatcher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	d := &Dispatcher{
		cfg:        cfg,
		log:        log.Discard(),
		publishCtx: context.Background(),
		room:       make(chan struct{}, cfg.BufferSize),
		wake:       make(chan struct{}, 1),
		deliver:    make(chan struct{}, 1),
	}
	for _, o := range opts {
		o(d)
	}
	if d.will != nil {
		if err := d.will.check(); err != nil {
			return nil, fmt.Errorf("will: %w", err)
		}
	}
	d.log = d.log.WithField(log.KeyClient, cfg.ClientID).WithField(log.KeyAddress, cfg.Address)
	if w := cfg.warning(); w != "" {
		d.log.Warnf("%s", w)
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.out, d.in = newOutbox(cfg.MaxInflight, d.poison, d.probe), newInbox(cfg.CleanSession)
	return d, nil
}

// Start begins to connect and returns at once. h may be nil for a client that only publishes: it does not subscribe,
// and messages that the peer still has for its session are acknowledged and dropped.
func (d *Dispatcher) Start(h Handler) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.ctx.Err() != nil:
		return ErrClosed
	case d.started:
		return errors.New("start MQTT client: it was started before")
	}
	d.started = true
	if h == nil {
		d.cfg.Subscriptions = nil
	}
	d.handler = h
	d.network.Go(d.run)
	d.handing.Go(d.hand)
	return nil
}

// Run calls Start, waits until ctx ends, and calls Close.
func (d *Dispatcher) Run(ctx context.Context, h Handler) error {
	if err := d.Start(h); err != nil {
		return err
	}
	<-ctx.Done()
	return d.Close()
}

// Publish hands a message over; payload must not be changed afterwards. It returns once the message is in the queue,
// and blocks while that is full (buffersize), so a caller can't outrun the peer. At QoS 1 the message is kept in
// memory and resent until the peer acknowledges it; at QoS 0 it is written once. An error means that the message is
// not in the queue and will not be sent.
func (d *Dispatcher) Publish(t TopicInfo, payload []byte) error {
	return d.PublishAsync(context.Background(), Message{Topic: t.Topic, QOS: t.QOS, Payload: payload}, nil)
}

// PublishWait is Publish, but returns only when the peer has acknowledged the message, at QoS 0 when it is written.
// When ctx ends before that, the message may still arrive.
func (d *Dispatcher) PublishWait(ctx context.Context, m Message) error {
	result := make(chan error, 1)
	if err := d.PublishAsync(ctx, m, func(err error) { result <- err }); err != nil {
		return err
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// PublishAsync is Publish, but calls done once with what PublishWait would return: nil, ErrLost (QoS 0), ErrPoison or
// ErrClosed. done must not block, and may be nil. It is not called if PublishAsync returns an error.
func (d *Dispatcher) PublishAsync(ctx context.Context, m Message, done func(error)) error {
	if err := m.check(); err != nil {
		return err
	}
	select {
	case d.room <- struct{}{}:
	default:
		select {
		case d.room <- struct{}{}:
		case <-d.ctx.Done():
		case <-ctx.Done():
			return fmt.Errorf("publish to %q: queue is full: %w", m.Topic, ctx.Err())
		case <-d.publishCtx.Done():
			return fmt.Errorf("publish to %q: queue is full: %w", m.Topic, d.publishCtx.Err())
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return ErrClosed
	}
	d.out.add(&publication{msg: m, done: done})
	signal(d.wake)
	return nil
}

// Drain blocks until everything that was published is written and acknowledged, and every Ack is written, or ctx ends.
func (d *Dispatcher) Drain(ctx context.Context) error {
	d.mu.Lock()
	if d.idle() {
		d.mu.Unlock()
		return nil
	}
	c := make(chan struct{})
	d.drained = append(d.drained, c)
	d.mu.Unlock()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the connection with DISCONNECT, interrupts every wait, and fails what is unacknowledged with ErrClosed.
// It does not wait for a handler's call that runs, so a handler may call it; Wait does.
func (d *Dispatcher) Close() error {
	d.mu.Lock()
	d.cancel()
	d.mu.Unlock()
	d.network.Wait()
	d.mu.Lock()
	dropped := d.out.drop()
	d.settled()
	d.mu.Unlock()
	for _, p := range dropped {
		p.finish(ErrClosed)
	}
	return nil
}

// Wait blocks until the Dispatcher is closed and the handler's last call has returned.
func (d *Dispatcher) Wait() {
	<-d.ctx.Done()
	d.network.Wait()
	d.handing.Wait()
}

// Stats are numbers of a Dispatcher.
type Stats struct {
	Connected  bool
	Since      time.Time // of the connection; zero while there is none
	Queued     int       // messages that wait to be sent
	InFlight   int       // QoS 1 and 2 messages sent and not yet acknowledged
	Waiting    int       // messages received that wait for the handler
	Dropped    uint64    // QoS 0 messages received that found no room
	Reconnects uint64    // connections that ended
}

// Stats returns the numbers of this moment.
func (d *Dispatcher) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{Connected: d.client != nil, Since: d.since, Queued: len(d.out.queue), InFlight: len(d.out.flight),
		Waiting: len(d.in.entries) - d.in.events, Dropped: d.in.dropped, Reconnects: d.lost}
}
