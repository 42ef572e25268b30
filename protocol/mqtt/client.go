package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/256dpi/gomqtt/transport"

	"github.com/baetyl/baetyl/utils/stall"
)

// subscribeID is the packet id of the one SUBSCRIBE of a connection; messages get others.
const subscribeID packet.ID = 1

// Client is one connection: it sends CONNECT and SUBSCRIBE first, pings while the connection lasts, DISCONNECT at last.
// Connect opens it, Serve runs it; Send, Close and Abort may be called from any goroutine.
type Client struct {
	cfg     ClientInfo
	conn    transport.Conn
	raw     carrier
	line    *stall.Conn // under raw: its writes end when the peer takes no byte for cfg.Timeout
	present bool

	writing chan struct{} // held by who writes; a channel, so that Close can give up waiting for it
	start   time.Time
	sent    atomic.Int64  // when the last packet was written, since start
	heard   atomic.Int64  // when the last byte came in, since start
	bulk    atomic.Int64  // when more than the answer to a ping came in at once, since start
	subBy   atomic.Int64  // deadline of SUBACK if nothing comes meanwhile, since start; 0: none is due
	done    chan struct{} // closed by fail
	once    sync.Once
	cause   error // set before done is closed
}

// Connect dials, sends CONNECT, waits for CONNACK and sends SUBSCRIBE if there is something to subscribe to. will may
// be nil. Each wait lasts cfg.Timeout at most; the end of ctx interrupts all of them.
func Connect(ctx context.Context, cfg ClientInfo, will *Message) (*Client, error) {
	c := newClient(cfg)
	dctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var err error
	c.conn, c.raw, err = dial(dctx, c.cfg, c.watch)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", c.cfg.Address, err)
	}
	if err := c.open(ctx, will); err != nil {
		return nil, err
	}
	return c, nil
}

func newClient(cfg ClientInfo) *Client {
	return &Client{cfg: cfg.withDefaults(), writing: make(chan struct{}, 1), done: make(chan struct{}), start: time.Now()}
}

// open begins MQTT on a connection that was dialed.
func (c *Client) open(ctx context.Context, will *Message) error {
	c.line.SetWriteTimeout(c.cfg.Timeout)
	c.conn.SetReadLimit(int64(c.cfg.Message.Length.Max))
	c.conn.SetMaxWriteDelay(time.Second) // Send flushes; the delay only lets it write several packets at once
	err := c.handshake(ctx, will)
	if err != nil {
		c.fail(err)
	}
	return err
}

// watch puts what measures progress on the connection that was dialed.
func (c *Client) watch(n net.Conn) net.Conn {
	stall.LimitUnsent(n) // else the answer to a ping would wait behind all that the system holds
	c.line = stall.New(activity{n, &c.heard, &c.bulk, c.clock})
	return c.line
}

func (c *Client) handshake(ctx context.Context, will *Message) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	defer stop()
	hello := &packet.Connect{ClientID: c.cfg.ClientID, CleanSession: c.cfg.CleanSession, Username: c.cfg.Username,
		Password: string(c.cfg.Password), KeepAlive: seconds(c.cfg.KeepAlive), Version: packet.Version311}
	if will != nil {
		m := will.packet()
		hello.Will = &m
	}
	if err := c.Send(hello); err != nil {
		return fmt.Errorf("send CONNECT: %w", err)
	}
	pkt, err := c.conn.Receive()
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("wait for CONNACK: %w", readable(err))
	}
	ack, ok := pkt.(*packet.Connack)
	switch {
	case !ok:
		return fmt.Errorf("%w: expected CONNACK, received %s", ErrProtocol, pkt.Type())
	case ack.ReturnCode != packet.ConnectionAccepted:
		return &ConnackError{ack.ReturnCode}
	}
	c.present = ack.SessionPresent
	if len(c.cfg.Subscriptions) == 0 {
		return nil
	}
	sub := &packet.Subscribe{ID: subscribeID}
	for _, s := range c.cfg.Subscriptions {
		sub.Subscriptions = append(sub.Subscriptions, packet.Subscription{Topic: s.Topic, QOS: packet.QOS(s.QOS)})
	}
	c.subBy.Store(int64(c.clock() + c.cfg.Timeout))
	if err := c.Send(sub); err != nil {
		return fmt.Errorf("send SUBSCRIBE: %w", err)
	}
	return nil
}

// SessionPresent tells whether the peer knew the client's session.
func (c *Client) SessionPresent() bool { return c.present }

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Send writes packets and flushes them. A packet that can't be encoded ends the connection, as a write error does.
func (c *Client) Send(pkts ...packet.Generic) error {
	select {
	case c.writing <- struct{}{}:
	case <-c.done:
		return c.cause
	}
	defer func() { <-c.writing }()
	return c.send(pkts...)
}

func (c *Client) send(pkts ...packet.Generic) error {
	for i, p := range pkts {
		if err := c.conn.Send(p, i < len(pkts)-1); err != nil {
			c.fail(c.reason(fmt.Errorf("write %s: %w", p.Type(), err)))
			return c.cause
		}
	}
	c.sent.Store(int64(c.clock()))
	return nil
}

// Serve reads until the connection ends and returns why. It handles PINGRESP itself; every other packet goes to recv,
// which must not block, since nothing is read meanwhile. An error of recv ends the connection. Serve is called once.
func (c *Client) Serve(recv func(packet.Generic) error) error {
	var keeper sync.WaitGroup
	keeper.Go(c.keepAlive)
	defer keeper.Wait()
	for {
		pkt, err := c.conn.Receive()
		if err == nil {
			err = c.received(pkt, recv)
		} else {
			err = readable(c.reason(err))
			if errors.Is(err, packet.ErrReadLimitExceeded) {
				limit := c.cfg.Message.Length.Max
				err = fmt.Errorf("the peer sent a packet larger than message.length.max (%d bytes): %w", limit, err)
			}
		}
		if err != nil {
			c.fail(err)
			return c.cause
		}
	}
}

func (c *Client) received(pkt packet.Generic, recv func(packet.Generic) error) error {
	switch p := pkt.(type) {
	case *packet.Pingresp: // any byte counts as a sign of life, see activity
		return nil
	case *packet.Suback:
		if c.subBy.Swap(0) == 0 {
			return nil // a second one says nothing new
		}
		if refused := c.refused(p); len(refused) > 0 && c.cfg.ValidateSubs {
			return fmt.Errorf("%w: %q", ErrRefused, refused)
		}
	case *packet.Publish, *packet.Puback, *packet.Pubrec, *packet.Pubrel, *packet.Pubcomp:
	default:
		return fmt.Errorf("%w: it sent %s", ErrProtocol, pkt.Type())
	}
	return recv(pkt)
}

// refused lists the filters that a SUBACK does not grant.
func (c *Client) refused(ack *packet.Suback) (filters []string) {
	for i, s := range c.cfg.Subscriptions {
		if i >= len(ack.ReturnCodes) || ack.ReturnCodes[i] == packet.QOSFailure {
			filters = append(filters, s.Topic)
		}
	}
	return filters
}

// Close sends DISCONNECT and ends the connection; it waits a second at most for a write that hangs.
func (c *Client) Close() error {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case c.writing <- struct{}{}:
		select {
		case <-c.done:
		default:
			c.line.EndBy(time.Time{}, time.Now().Add(time.Second))
			c.send(packet.NewDisconnect()) // the connection ends in any case
		}
		<-c.writing
	case <-c.done:
	case <-t.C:
	}
	c.fail(ErrClosed)
	return nil
}

// Abort ends the connection without DISCONNECT, because of cause.
func (c *Client) Abort(cause error) { c.fail(cause) }

func (c *Client) fail(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.done)
		c.raw.Close()
	})
}

// reason is err, unless err only says that this side has closed the connection. A Send or Receive that fails closes the
// connection before it reports the cause to fail, so reason waits up to a second for that cause.
func (c *Client) reason(err error) error {
	if !errors.Is(err, net.ErrClosed) {
		return err
	}
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-c.done:
		return c.cause
	case <-t.C:
		return err
	}
}

// clock is the time since the connection's start, never zero.
func (c *Client) clock() time.Duration { return time.Since(c.start) + 1 }

// seconds is the form of a keep-alive in CONNECT: rounded up, so that the peer's limit is never shorter than ours.
func seconds(d time.Duration) uint16 {
	return uint16(min((d+time.Second-1)/time.Second, 65535))
}
