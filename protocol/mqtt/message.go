package mqtt

import (
	"errors"
	"fmt"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// Message is an MQTT application message, to publish or received.
type Message struct {
	Topic   string
	Payload []byte // not changed by this package, and not to be changed once it was handed over
	QOS     uint32 // 0, 1 or 2
	Retain  bool   // published: the peer keeps it; received: it is one that the peer had kept
}

// maxRemaining is the largest remaining length of a packet [MQTT-2.2.3].
const maxRemaining = 268435455

// check tells why m can't be published. Without it, a packet that can't be encoded would be retried for ever.
func (m Message) check() error {
	if err := CheckTopic(m.Topic); err != nil {
		return fmt.Errorf("publish to %q: %w", m.Topic, err)
	}
	if m.QOS > 2 {
		return fmt.Errorf("publish to %q: qos %d is not 0, 1 or 2", m.Topic, m.QOS)
	}
	if m.size() > maxRemaining {
		return fmt.Errorf("publish to %q: %w", m.Topic, errors.New("message is larger than an MQTT packet may be"))
	}
	return nil
}

// size is the remaining length of the packet that carries m, at most.
func (m Message) size() int { return 4 + len(m.Topic) + len(m.Payload) }

// PacketSize is the length, in bytes, of the PUBLISH packet that carries m: what a peer's limit on packets is
// compared with.
func (m Message) PacketSize() int {
	p := packet.Publish{Message: m.packet()}
	return p.Len()
}

func (m Message) packet() packet.Message {
	return packet.Message{Topic: m.Topic, Payload: m.Payload, QOS: packet.QOS(m.QOS), Retain: m.Retain}
}

// Delivery is a message that came from the peer.
type Delivery struct {
	Message
	ID       uint16    // packet id, 0 at QoS 0
	Dup      bool      // the peer has sent it before
	Received time.Time // when it was read

	ack func() bool
}

// Ack acknowledges the message to the peer. It may be called from any goroutine, also after OnMessage has returned;
// only the first call counts, and at QoS 0 none does. It returns whether the acknowledgement counts: at QoS 1 not after
// the connection on which the message came has ended, since the peer then sends the message again; at QoS 2 not after
// the peer has forgotten the session.
func (d *Delivery) Ack() bool { return d.ack != nil && d.ack() }

// Handler gets what the peer sends. Its methods are called one at a time, in order, from a goroutine of their own: they
// may take minutes, and may call any method of the Dispatcher but Wait.
type Handler interface {
	// OnMessage gets a message. A message of QoS 1 or 2 that is not acknowledged (Delivery.Ack) counts against the number
	// of messages that the peer sends without an answer, and comes again after a reconnect.
	OnMessage(*Delivery)
	// OnError gets the reason of each failed attempt to connect and of the end of each connection, and the
	// subscriptions that the peer refused. The Dispatcher reconnects by itself.
	OnError(error)
}

// ConnectHandler is a Handler that is told of each new connection.
type ConnectHandler interface {
	// OnConnect is called when the peer has accepted the connection and answered the subscriptions. Messages may come
	// before. sessionPresent tells whether the peer knew the session.
	OnConnect(sessionPresent bool)
}

// Funcs is a Handler made of functions; those that are nil are not called. Without Message, messages stay
// unacknowledged.
type Funcs struct {
	Message func(*Delivery)
	Error   func(error)
	Connect func(sessionPresent bool)
}

// OnMessage calls f.Message.
func (f Funcs) OnMessage(d *Delivery) {
	if f.Message != nil {
		f.Message(d)
	}
}

// OnError calls f.Error.
func (f Funcs) OnError(err error) {
	if f.Error != nil {
		f.Error(err)
	}
}

// OnConnect calls f.Connect.
func (f Funcs) OnConnect(sessionPresent bool) {
	if f.Connect != nil {
		f.Connect(sessionPresent)
	}
}
