package mqtttest

import (
	"net"
	"sync"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/256dpi/gomqtt/transport"
)

// Fake is a broker that takes messages and passes none on. It can also close connections or stop answering, as a real
// broker does only when something is wrong.
type Fake struct {
	Address string // tcp://127.0.0.1:port

	listener net.Listener
	mu       sync.Mutex
	judge    func(*packet.Publish) Outcome
	got      []string // payloads that were acknowledged, and all of QoS 0
	conns    map[net.Conn]bool
	connects int
	running  sync.WaitGroup
}

// Outcome is what becomes of a message.
type Outcome int

// The outcomes of a message.
const (
	Take  Outcome = iota // and acknowledge it
	Close                // the connection
	Mute                 // neither acknowledge it nor answer anything again on this connection
)

// NewFake starts a broker that takes everything. It ends with the test.
func NewFake(t testing.TB) *Fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Fake{Address: "tcp://" + l.Addr().String(), listener: l, conns: map[net.Conn]bool{}}
	f.running.Go(f.accept)
	t.Cleanup(func() { l.Close(); f.Disconnect(); f.running.Wait() })
	return f
}

// Judge sets the function that decides on each message; nil takes everything.
func (f *Fake) Judge(judge func(*packet.Publish) Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.judge = judge
}

// Got returns the payloads that the broker took, in their order.
func (f *Fake) Got() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.got...)
}

// Connects returns how many connections there have been.
func (f *Fake) Connects() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.connects
}

// Disconnect ends all connections.
func (f *Fake) Disconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

func (f *Fake) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[c] = true
		f.connects++
		f.mu.Unlock()
		f.running.Go(func() {
			f.serve(transport.NewNetConn(c))
			c.Close()
			f.mu.Lock()
			delete(f.conns, c)
			f.mu.Unlock()
		})
	}
}

func (f *Fake) serve(c transport.Conn) {
	mute := false
	for {
		p, err := c.Receive()
		if err != nil {
			return
		}
		var answer packet.Generic
		switch p := p.(type) {
		case *packet.Connect:
			answer = &packet.Connack{SessionPresent: true}
		case *packet.Subscribe:
			answer = &packet.Suback{ID: p.ID, ReturnCodes: make([]packet.QOS, len(p.Subscriptions))}
		case *packet.Pingreq:
			answer = packet.NewPingresp()
		case *packet.Publish:
			switch f.take(p, mute) {
			case Close:
				return
			case Mute:
				mute = true
			case Take:
				if p.Message.QOS == 1 {
					answer = &packet.Puback{ID: p.ID}
				}
			}
		}
		if answer != nil && !mute {
			c.Send(answer, false)
		}
	}
}

func (f *Fake) take(p *packet.Publish, mute bool) Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := Take
	if f.judge != nil {
		v = f.judge(p)
	}
	if v == Take && !mute {
		f.got = append(f.got, string(p.Message.Payload))
	}
	return v
}
