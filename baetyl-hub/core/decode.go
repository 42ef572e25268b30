package core

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

var (
	// ErrMalformed is the reason of a connection's end after bytes that are no packet of MQTT 3.1.1.
	ErrMalformed = errors.New("malformed packet")
	errTooLarge  = errors.New("packet is larger than message.length.max")
	errText      = fmt.Errorf("%w: text is not UTF-8 or contains U+0000", ErrMalformed)
)

// PacketSize returns the length in bytes of the packet at the start of data, which may be longer or shorter; 0 if its
// header is not complete. limit is the largest packet, in bytes.
func PacketSize(data []byte, limit int) (int, error) {
	if len(data) < 2 {
		return 0, nil
	}
	n, size := binary.Uvarint(data[1:min(len(data), 5)])
	switch {
	case size == 0 && len(data) >= 5 || size < 0:
		return 0, ErrMalformed // remaining length of more than four bytes [MQTT-2.2.3]
	case size == 0:
		return 0, nil
	}
	total := 1 + size + int(n)
	if total > limit {
		return 0, errTooLarge
	}
	return total, nil
}

// clearDup clears the flag with which MQTT 3.1 sends these packets again; MQTT 3.1.1 has it no more.
func clearDup(frame []byte, kind packet.Type) {
	switch kind {
	case packet.PUBREL, packet.SUBSCRIBE, packet.UNSUBSCRIBE:
		frame[0] &^= 8
	}
}

// identified decodes a packet that is nothing but its id.
func identified(frame []byte, kind packet.Type) (packet.ID, error) {
	flags := byte(0)
	if kind == packet.PUBREL {
		flags = 2 // [MQTT-3.6.1-1]
	}
	if len(frame) != 4 || frame[0]&15 != flags || frame[1] != 2 {
		return 0, fmt.Errorf("%w: %s", ErrMalformed, kind)
	}
	id := packet.ID(binary.BigEndian.Uint16(frame[2:]))
	if id == 0 {
		return 0, fmt.Errorf("%w: %s with id 0", ErrMalformed, kind)
	}
	return id, nil
}

// decode decodes a packet that is neither PUBLISH nor one of its acknowledgements.
func decode(frame []byte) (packet.Generic, error) {
	kind := packet.Type(frame[0] >> 4)
	if kind == packet.UNSUBSCRIBE {
		return decodeUnsubscribe(frame)
	}
	p, err := kind.New()
	if err != nil {
		return nil, err
	}
	n, err := p.Decode(frame)
	if err != nil {
		return nil, err
	}
	if n != len(frame) {
		return nil, errors.New("bytes behind its end")
	}
	if p, ok := p.(*packet.Subscribe); ok {
		for _, x := range p.Subscriptions {
			if !wellFormed(x.Topic) {
				return nil, errText
			}
		}
	}
	return p, nil
}

// wellFormed tells whether s is a valid MQTT string; if not, the connection must be closed. [MQTT-1.5.3-1]
// [MQTT-1.5.3-2]
func wellFormed(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// decodeUnsubscribe replaces the decoder of gomqtt 0.14.3, which loses filters at the end of a list of short ones.
func decodeUnsubscribe(frame []byte) (packet.Generic, error) {
	p := packet.NewUnsubscribe()
	if _, err := p.Decode(frame); err != nil { // header, flags and id
		return nil, err
	}
	_, size := binary.Uvarint(frame[1:])
	p.Topics = p.Topics[:0]
	for rest := frame[1+size+2:]; len(rest) > 0; {
		if len(rest) < 2 {
			return nil, ErrMalformed
		}
		n := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+n {
			return nil, ErrMalformed
		}
		name := string(rest[2 : 2+n])
		if !wellFormed(name) {
			return nil, errText
		}
		p.Topics = append(p.Topics, name)
		rest = rest[2+n:]
	}
	return p, nil
}

// topicOf returns the topic of a PUBLISH and what is behind it; nil if the packet is malformed.
func topicOf(frame []byte) (name, rest []byte) {
	_, size := binary.Uvarint(frame[1:])
	body := frame[1+size:]
	if len(body) < 2 {
		return nil, nil
	}
	n := 2 + int(binary.BigEndian.Uint16(body))
	if len(body) < n {
		return nil, nil
	}
	return body[2:n], body[n:]
}

// decodePublish makes a message of a PUBLISH and of what is behind its topic. It is faster than gomqtt's decoder, and
// uses the topic that the route has.
func decodePublish(frame, rest []byte, topic string) (m *record.Message, id packet.ID, err error) {
	qos := packet.QOS(frame[0] >> 1 & 3)
	if qos > 0 {
		if len(rest) < 2 || qos > 2 { // [MQTT-3.3.1-4]
			return nil, 0, fmt.Errorf("%w: PUBLISH", ErrMalformed)
		}
		id, rest = packet.ID(binary.BigEndian.Uint16(rest)), rest[2:]
		if id == 0 { // [MQTT-2.3.1-1]
			return nil, 0, fmt.Errorf("%w: PUBLISH with id 0", ErrMalformed)
		}
	}
	m = &record.Message{Topic: topic, QOS: qos, Retain: frame[0]&1 != 0}
	if len(rest) > 0 {
		m.Payload = bytes.Clone(rest)
	}
	return m, id, nil
}
