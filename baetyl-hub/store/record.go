package store

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// Keys: one letter for the kind, then big-endian numbers, so that an iterator returns each kind in order.
//
//	m seq            message: running time when stored, QoS, topic, payload, targets
//	r topic          retained message
//	s session        client id and user name
//	f session filter QoS of the subscription
//	a session        which messages of the session's queue are acknowledged
//	i session id     id of a received QoS 2 message that is not released yet
//	w client         will
//	clock            running time of the hub (the key is "cclock")
const (
	kindMessage  = 'm'
	kindRetained = 'r'
	kindSession  = 's'
	kindFilter   = 'f'
	kindAcked    = 'a'
	kindReceived = 'i'
	kindWill     = 'w'
)

var keyClock = []byte("cclock")

func key8(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, n)
}

func keyText(kind byte, text string) []byte { return append([]byte{kind}, text...) }

func keyFilter(session uint64, filter string) []byte {
	return append(key8(kindFilter, session), filter...)
}

func keyReceived(session uint64, id packet.ID) []byte {
	return binary.BigEndian.AppendUint16(key8(kindReceived, session), uint16(id))
}

// Target is a session that needs a message.
type Target struct {
	Session  uint64     // number of the session
	Position uint64     // of the message in the session's queue
	QOS      packet.QOS // of its delivery, 1 or 2
	Retained bool       // to be delivered with the retain flag
}

// Record is a stored message.
type Record struct {
	Message packet.Message // Retain has no meaning here
	Targets []Target
	Age     time.Duration // running time of the hub since it was stored
}

var errRecord = errors.New("record is damaged")

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendMessage(b []byte, m *packet.Message) []byte {
	flags := byte(m.QOS) << 1
	if m.Retain {
		flags |= 1
	}
	b = append(b, flags)
	b = appendText(b, m.Topic)
	return append(binary.AppendUvarint(b, uint64(len(m.Payload))), m.Payload...)
}

func appendRecord(b []byte, at time.Duration, m *packet.Message, targets []Target) []byte {
	b = binary.AppendUvarint(b, uint64(at/time.Second))
	b = appendMessage(b, m)
	b = binary.AppendUvarint(b, uint64(len(targets)))
	for _, t := range targets {
		flags := byte(t.QOS) << 1
		if t.Retained {
			flags |= 1
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, t.Session)
		b = binary.AppendUvarint(b, t.Position)
	}
	return b
}

// reader decodes what the append functions made. After an error all its methods return zero values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.err, r.b = errRecord, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.err = errRecord
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) bytes() []byte {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.err, r.b = errRecord, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) message() (m packet.Message) {
	flags := r.byte()
	m.QOS, m.Retain = packet.QOS(flags>>1), flags&1 == 1
	m.Topic = string(r.bytes())
	m.Payload = append([]byte(nil), r.bytes()...)
	if !m.QOS.Successful() {
		r.err = errRecord
	}
	return m
}

func decodeRecord(b []byte, now time.Duration) (rec Record, err error) {
	r := &reader{b: b}
	rec.Age = now - time.Duration(r.number())*time.Second
	rec.Message = r.message()
	n := r.number()
	if n > uint64(len(r.b)) { // a target has three bytes or more
		return rec, errRecord
	}
	rec.Targets = make([]Target, 0, n)
	for range n {
		flags := r.byte()
		x := Target{QOS: packet.QOS(flags >> 1), Retained: flags&1 == 1, Session: r.number(), Position: r.number()}
		if x.QOS != 1 && x.QOS != 2 {
			r.err = errRecord
		}
		rec.Targets = append(rec.Targets, x)
	}
	return rec, r.err
}
