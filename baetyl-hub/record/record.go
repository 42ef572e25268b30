// Package record is what the hub stores, as bytes: messages with the sessions that need them, and changes of sessions,
// subscriptions, received ids and wills. It is a pure codec: it knows no file and no session.
//
//	core ──Publish, Acked, Put…──► Batch ──Data──► store ──Next, Decode…──► index and state
//
// A Batch holds records one after the other:
//
//	record       kind (1) · length of the body (4, big-endian) · body
//	Publish      flags · [receiver · id] · [will] · number of targets · targets · message
//	target       quality and retained flag (1) · session · position
//	message      quality and flags (1) · topic · [owner] · [properties] · payload, which ends the body
//	Acked        session · state
//	Used         session · 1: connected, 0: not any more
//
// Numbers are uvarints. Texts have their length before them. The store finds the target of a session without decoding
// the message, and passes a record without decoding anything.
package record

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// ErrDamaged is returned for bytes that no Batch wrote.
var ErrDamaged = errors.New("record is damaged")

// Message is a message as the hub stores and delivers it. It is never changed once it is made.
type Message struct {
	Topic      string
	Payload    []byte
	Properties []byte // of MQTT 5, encoded as in a PUBLISH of version 5; nil: none
	Owner      string // the user who published it, if it has Retain; "": not known
	QOS        packet.QOS
	Retain     bool // as published
}

// Target is a session that needs a message.
type Target struct {
	Session  uint64     // number of the session
	Position uint64     // of the message in the session's queue; rises
	QOS      packet.QOS // of its delivery, 1 or 2
	Retained bool       // to be delivered with the retain flag
}

// Entry is a stored message as a session needs it.
type Entry struct {
	Position uint64
	QOS      packet.QOS
	Retained bool
	Targets  int           // sessions that needed the message when it was stored
	Age      time.Duration // since it was stored
	Message  *Message
}

// Publication is what one PUBLISH changes in the store. All of it is stored, or nothing.
type Publication struct {
	Message  *Message
	Targets  []Target  // who needs it stored; may be empty
	Retain   bool      // it becomes the retained message of its topic; with an empty payload it removes that
	Receiver uint64    // of a QoS 2 message: number of the session that sent it, recorded with its ID; 0: none
	ID       packet.ID // see Receiver
	Will     string    // WillKey of the stored will that this is: removed with it; "": none
}

// Kind tells what a record is.
type Kind byte

// The kinds of records.
const (
	KindPublish        Kind = 'm'
	KindAcked          Kind = 'a'
	KindPutSession     Kind = 's'
	KindDeleteSession  Kind = 'S'
	KindUsed           Kind = 'u'
	KindPutFilter      Kind = 'f'
	KindDeleteFilter   Kind = 'F'
	KindDeleteReceived Kind = 'I'
	KindPutWill        Kind = 'w'
	KindDeleteWill     Kind = 'W'
)

// headSize is the bytes of a record before its body.
const headSize = 5

// Next returns the first record of data, and what is behind it. At the end of data body is nil and k is 0.
func Next(data []byte) (k Kind, body, rest []byte, err error) {
	if len(data) == 0 {
		return 0, nil, nil, nil
	}
	if len(data) < headSize {
		return 0, nil, nil, ErrDamaged
	}
	n := uint64(binary.BigEndian.Uint32(data[1:]))
	if n > uint64(len(data)-headSize) {
		return 0, nil, nil, ErrDamaged
	}
	end := headSize + int(n)
	return Kind(data[0]), data[headSize:end:end], data[end:], nil
}

// flags of a Publish record
const (
	flagRetain   = 1 << 0
	flagReceiver = 1 << 1
	flagWill     = 1 << 2
	flagsPublish = flagRetain | flagReceiver | flagWill
)

// flags of a message and of a target; the quality is above the first bit
const (
	flagRetained   = 1 << 0
	shiftQOS       = 1
	maskQOS        = 3 << shiftQOS
	flagProperties = 1 << 3
	flagOwner      = 1 << 4
	flagsMessage   = flagRetained | maskQOS | flagProperties | flagOwner
	flagsTarget    = flagRetained | maskQOS
)

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendMessage appends m in the encoding of DecodeMessage.
func AppendMessage(b []byte, m *Message) []byte {
	flags := byte(m.QOS) << shiftQOS
	if m.Retain {
		flags |= flagRetained
	}
	if m.Properties != nil {
		flags |= flagProperties
	}
	if m.Owner != "" {
		flags |= flagOwner
	}
	b = appendText(append(b, flags), m.Topic)
	if m.Owner != "" {
		b = appendText(b, m.Owner)
	}
	if m.Properties != nil {
		b = appendText(b, m.Properties)
	}
	return append(b, m.Payload...)
}

// DecodeMessage decodes what AppendMessage made. The message has memory of its own.
func DecodeMessage(b []byte) (*Message, error) {
	r := Reader{Rest: b}
	flags := r.Byte()
	topic := r.Text()
	var owner []byte
	if flags&flagOwner != 0 {
		owner = r.Text()
		r.Failed = r.Failed || len(owner) == 0
	}
	var properties []byte
	if flags&flagProperties != 0 {
		properties = r.Text()
	}
	if r.Failed || flags&^flagsMessage != 0 || flags&maskQOS == maskQOS {
		return nil, ErrDamaged
	}
	m := &Message{
		Topic: string(topic), Owner: string(owner),
		QOS: packet.QOS(flags & maskQOS >> shiftQOS), Retain: flags&flagRetained != 0,
	}
	if flags&flagProperties != 0 {
		m.Properties = append(make([]byte, 0, len(properties)), properties...)
	}
	if len(r.Rest) > 0 {
		m.Payload = append(make([]byte, 0, len(r.Rest)), r.Rest...)
	}
	return m, nil
}

// WillKey is the key of a client's will in the store. The user is part of it: what others leave under the same client
// id is another will.
func WillKey(client, user string) string { return client + "\x00" + user }

// SplitWillKey returns what a key is made of. A client id may begin with U+0000, where the hub has made it, and has
// none elsewhere. user is "" in a key of an older hub.
func SplitWillKey(key string) (client, user string) {
	if key == "" {
		return "", ""
	}
	client, user, _ = strings.Cut(key[1:], "\x00")
	return key[:1] + client, user
}
