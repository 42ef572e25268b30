package mqtttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

const (
	peerWindow  = 20               // of a Peer that says none
	peerDelay   = time.Millisecond // how long acknowledgements wait for others, so that they go along in one write
	peerLeave   = time.Second      // how long a peer waits for a broker that does not read, when it leaves
	peerTimeout = 30 * time.Second // of a dial, and of CONNACK
)

// Peer is a client whose session outlives its connections, as the standard has it: what was not acknowledged it sends
// again, in order, and a QoS 2 message comes to OnMessage once. Fields are set before the first Run or Visit. The
// functions are called by the goroutine that reads, one after the other; nil: nothing is called.
type Peer struct {
	ID, Address        string // Address is host:port
	Username, Password string
	Clean              bool                  // the session ends with the connection
	Will               *packet.Message       // a peer with a will says no DISCONNECT: each connection ends with it
	Filters            []packet.Subscription // subscribed to at each connection
	Window             int                   // publications in flight; 0: 20

	OnReady   func(present bool)    // SUBACK came, or CONNACK without Filters. present: the broker knew the session
	OnAck     func(*packet.Message) // PUBACK or PUBREC came
	OnMessage func(*packet.Message)

	once  sync.Once
	slots chan struct{} // one for each publication in flight; a full one blocks Publish

	mu       sync.Mutex // of what follows, and of writing publications in their order
	stream   *peerStream
	nextID   packet.ID
	inFlight []*publication // in the order of Publish
	receipts map[packet.ID]bool
}

// publication is a message that the broker has not acknowledged to the end.
type publication struct {
	id       packet.ID
	message  packet.Message
	sent     bool
	released bool // PUBREC came
}

// peerStream is written to by who publishes, and by who reads.
type peerStream struct {
	*packet.Stream
	mu sync.Mutex
}

// Write sends a packet, or lets it wait for others.
func (s *peerStream) Write(x packet.Generic, wait bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Stream.Write(x, wait)
}

func (p *Peer) init() {
	p.once.Do(func() {
		if p.Window == 0 {
			p.Window = peerWindow
		}
		p.slots, p.receipts = make(chan struct{}, p.Window), map[packet.ID]bool{}
	})
}

// Publish takes a message, of QoS 1 or 2, which is sent now or with the next connection. It waits while the window is
// full, and returns an error only if ctx ends meanwhile.
func (p *Peer) Publish(ctx context.Context, m packet.Message) error {
	p.init()
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	x := &publication{id: p.freeID(), message: m}
	p.inFlight = append(p.inFlight, x)
	if p.stream != nil {
		_ = p.send(x) // a broken connection ends its Visit, and the next one sends it
	}
	return nil
}

func (p *Peer) freeID() packet.ID {
	for {
		p.nextID = p.nextID%60000 + 1
		if p.find(p.nextID) < 0 {
			return p.nextID
		}
	}
}

func (p *Peer) find(id packet.ID) int {
	return slices.IndexFunc(p.inFlight, func(x *publication) bool { return x.id == id })
}

func (p *Peer) send(x *publication) error {
	if x.released {
		return p.stream.Write(&packet.Pubrel{ID: x.id}, false)
	}
	dup := x.sent
	x.sent = true
	return p.stream.Write(&packet.Publish{ID: x.id, Dup: dup, Message: x.message}, false)
}

// InFlight is how many publications are not acknowledged to the end.
func (p *Peer) InFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.inFlight)
}

// Run keeps the peer connected until ctx ends.
func (p *Peer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if p.Visit(ctx) != nil {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// Visit connects once and stays until ctx ends, which is no error.
func (p *Peer) Visit(ctx context.Context) error {
	p.init()
	conn, err := (&net.Dialer{Timeout: peerTimeout}).DialContext(ctx, "tcp", p.Address)
	if err != nil {
		// A dial sees the deadline of ctx a moment before ctx does.
		if end, ok := ctx.Deadline(); ctx.Err() != nil || ok && !time.Now().Before(end) {
			return nil
		}
		return fmt.Errorf("%s: %w", p.ID, err)
	}
	s := &peerStream{Stream: packet.NewStream(conn, conn)}
	s.SetMaxWriteDelay(peerDelay)
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetWriteDeadline(time.Now().Add(peerLeave))
		if p.Will == nil {
			_ = s.Write(&packet.Disconnect{}, false)
		}
		conn.Close()
	})
	defer stop()
	defer conn.Close()
	defer func() {
		p.mu.Lock()
		p.stream = nil
		p.mu.Unlock()
	}()
	if err = p.session(conn, s); ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s: %w", p.ID, err)
}

// session is one connection. It returns why it has ended.
func (p *Peer) session(conn net.Conn, s *peerStream) error {
	_ = conn.SetReadDeadline(time.Now().Add(peerTimeout))
	c := packet.NewConnect()
	c.ClientID, c.Username, c.Password, c.CleanSession, c.Will = p.ID, p.Username, p.Password, p.Clean, p.Will
	c.KeepAlive = 0
	if err := s.Write(c, false); err != nil {
		return err
	}
	first, err := s.Read()
	if err != nil {
		return err
	}
	ack, ok := first.(*packet.Connack)
	if !ok || ack.ReturnCode != packet.ConnectionAccepted {
		return fmt.Errorf("CONNECT is refused: %v", first)
	}
	_ = conn.SetReadDeadline(time.Time{})
	if err := p.begin(s, ack.SessionPresent); err != nil {
		return err
	}
	if len(p.Filters) == 0 && p.OnReady != nil {
		p.OnReady(ack.SessionPresent)
	}
	for {
		x, err := s.Read()
		if err != nil {
			return err
		}
		if err := p.receive(s, x, ack.SessionPresent); err != nil {
			return err
		}
	}
}

// begin subscribes, and sends what is in flight.
func (p *Peer) begin(s *peerStream, present bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !present {
		clear(p.receipts)
	}
	if len(p.Filters) > 0 {
		if err := s.Write(&packet.Subscribe{ID: 65535, Subscriptions: p.Filters}, false); err != nil {
			return err
		}
	}
	p.stream = s
	for _, x := range p.inFlight {
		if err := p.send(x); err != nil {
			return err
		}
	}
	return nil
}

func (p *Peer) receive(s *peerStream, x packet.Generic, present bool) error {
	switch x := x.(type) {
	case *packet.Suback:
		if slices.Contains(x.ReturnCodes, packet.QOSFailure) {
			return errors.New("a subscription is refused")
		}
		if p.OnReady != nil {
			p.OnReady(present)
		}
	case *packet.Puback:
		p.acknowledged(x.ID, true)
	case *packet.Pubrec:
		p.acknowledged(x.ID, false)
		return s.Write(&packet.Pubrel{ID: x.ID}, true)
	case *packet.Pubcomp:
		p.acknowledged(x.ID, true)
	case *packet.Publish:
		return p.message(s, x)
	case *packet.Pubrel:
		delete(p.receipts, x.ID)
		return s.Write(&packet.Pubcomp{ID: x.ID}, true)
	}
	return nil
}

// acknowledged tells of a publication once. last: it was the last packet of the exchange.
func (p *Peer) acknowledged(id packet.ID, last bool) {
	p.mu.Lock()
	i := p.find(id)
	if i < 0 {
		p.mu.Unlock()
		return
	}
	x := p.inFlight[i]
	known := x.released
	x.released = true
	if last {
		p.inFlight = slices.Delete(p.inFlight, i, i+1)
		<-p.slots
	}
	p.mu.Unlock()
	if !known && p.OnAck != nil {
		p.OnAck(&x.message)
	}
}

func (p *Peer) message(s *peerStream, x *packet.Publish) error {
	isNew := x.Message.QOS < packet.QOSExactlyOnce || !p.receipts[x.ID]
	if isNew && p.OnMessage != nil {
		p.OnMessage(&x.Message)
	}
	switch x.Message.QOS {
	case packet.QOSAtLeastOnce:
		return s.Write(&packet.Puback{ID: x.ID}, true)
	case packet.QOSExactlyOnce:
		p.receipts[x.ID] = true
		return s.Write(&packet.Pubrec{ID: x.ID}, true)
	}
	return nil
}
