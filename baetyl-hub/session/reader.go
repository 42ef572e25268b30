package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/256dpi/gomqtt/packet"
)

// reader splits a stream into packets. An idle connection has a small buffer. While there is much to read, the reader
// borrows a large one, so that a busy connection makes few system calls.
type reader struct {
	conn    net.Conn
	limit   int // largest packet, in bytes, header included
	buf     []byte
	r, w    int // buf[r:w] is read but not consumed
	borrows *[]byte
}

const (
	smallBuffer = 512
	largeBuffer = 64 << 10
)

var buffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}

var (
	errTooLarge  = errors.New("packet is larger than message.length.max")
	errMalformed = errors.New("malformed packet")
	errText      = fmt.Errorf("%w: text is not UTF-8 or contains U+0000", errMalformed)
)

// buffered returns the next packet without reading, nil if it is not complete. The slice is valid until the next read.
func (r *reader) buffered() ([]byte, error) {
	size, err := r.size()
	if err != nil || size == 0 || r.w-r.r < size {
		return nil, err
	}
	frame := r.buf[r.r : r.r+size]
	r.r += size
	return frame, nil
}

// size returns the length in bytes of the packet at r, 0 if its header is not complete.
func (r *reader) size() (int, error) {
	head := r.buf[r.r:r.w]
	if len(head) < 2 {
		return 0, nil
	}
	n, size := binary.Uvarint(head[1:min(len(head), 5)])
	switch {
	case size == 0 && len(head) >= 5 || size < 0:
		return 0, errMalformed // remaining length of more than four bytes [MQTT-2.2.3]
	case size == 0:
		return 0, nil
	}
	total := 1 + size + int(n)
	if total > r.limit {
		return 0, errTooLarge
	}
	return total, nil
}

// read reads more of the stream; it blocks for at least one byte.
func (r *reader) read() error {
	r.fit()
	n, err := r.conn.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// flooded tells whether the buffer is so full that the client probably sends as fast as the hub reads.
func (r *reader) flooded() bool { return r.w >= largeBuffer/4 }

// fit makes room in the buffer: it moves the unread bytes to the front, and changes between the sizes.
func (r *reader) fit() {
	left := r.w - r.r
	need, _ := r.size()
	full := r.w == len(r.buf) // the last read took all it could: there is more
	switch {
	case need > largeBuffer && need > len(r.buf):
		r.move(make([]byte, need), nil)
	case len(r.buf) < largeBuffer && (full && len(r.buf) > 0 || need > len(r.buf)):
		b := buffers.Get().(*[]byte)
		r.move(*b, b)
	case len(r.buf) > smallBuffer && !full && left == 0:
		r.move(make([]byte, smallBuffer), nil)
	case len(r.buf) == 0:
		r.buf = make([]byte, smallBuffer)
	default:
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, left
	}
}

func (r *reader) move(to []byte, borrowed *[]byte) {
	n := copy(to, r.buf[r.r:r.w])
	if r.borrows != nil {
		buffers.Put(r.borrows)
	}
	r.buf, r.r, r.w, r.borrows = to, 0, n, borrowed
}

// release gives a borrowed buffer back. The reader is not used afterwards.
func (r *reader) release() {
	if r.borrows != nil {
		buffers.Put(r.borrows)
	}
	r.buf, r.borrows = nil, nil
}

// decode decodes a packet of a connected client.
func decode(frame []byte) (packet.Generic, error) {
	kind := packet.Type(frame[0] >> 4)
	if kind == packet.UNSUBSCRIBE {
		return decodeUnsubscribe(frame)
	}
	p, err := kind.New()
	if err != nil {
		return nil, errMalformed
	}
	n, err := p.Decode(frame)
	if err != nil {
		return nil, err
	}
	if n != len(frame) {
		return nil, errMalformed
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
			return nil, errMalformed
		}
		n := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+n {
			return nil, errMalformed
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

// connectFault is the reason why a CONNECT is refused, with the code for CONNACK.
type connectFault struct {
	code packet.ConnackCode
	text string
}

func (f connectFault) Error() string { return f.text }

// decodeConnect decodes the first packet of a connection. gomqtt treats an unknown protocol level and an empty client
// id as malformed. The standard requires an answer to them, so they are checked first.
func decodeConnect(frame []byte) (*packet.Connect, error) {
	if packet.Type(frame[0]>>4) != packet.CONNECT {
		return nil, fmt.Errorf("%w: first packet is not CONNECT", errMalformed) // [MQTT-3.1.0-1]
	}
	_, size := binary.Uvarint(frame[1:])
	body := frame[1+size:]
	if len(body) < 2 || len(body) < 2+int(binary.BigEndian.Uint16(body))+4 {
		return nil, errMalformed
	}
	name := string(body[2 : 2+binary.BigEndian.Uint16(body)])
	rest := body[2+len(name):]
	level, flags := rest[0], rest[1]
	switch {
	case name == "MQTT" && level == 4, name == "MQIsdp" && level == 3:
	case name == "MQTT" || name == "MQIsdp":
		// [MQTT-3.1.2-2]
		return nil, connectFault{packet.InvalidProtocolVersion, fmt.Sprintf("protocol level %d is not supported", level)}
	default:
		return nil, fmt.Errorf("%w: protocol name %q", errMalformed, name) // [MQTT-3.1.2-1]
	}
	if id := rest[4:]; len(id) >= 2 && binary.BigEndian.Uint16(id) == 0 && flags&2 == 0 {
		return nil, connectFault{packet.IdentifierRejected, "an empty client id needs a clean session"} // [MQTT-3.1.3-8]
	}
	p := packet.NewConnect()
	n, err := p.Decode(frame)
	if err != nil {
		return nil, err
	}
	if n != len(frame) {
		return nil, errMalformed
	}
	if !utf8.ValidString(p.ClientID) || !utf8.ValidString(p.Username) {
		return nil, fmt.Errorf("%w: client id or user name is not UTF-8", errMalformed) // [MQTT-1.5.3-1]
	}
	return p, nil
}
