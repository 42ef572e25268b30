package store

import (
	"encoding/binary"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// Keys of the state: one letter for the kind, then big-endian numbers.
//
//	s session           client id and user
//	s session 'a'       tail; how far it has acknowledged
//	s session 'f' text  QoS of a subscription
//	s session 'i' id    a received QoS 2 message that is not released yet
//	s session 'n' seg   span in a segment
//	s session 'u'       when it got or lost its connection, in seconds of running time; whether it has one
//	g seg               a segment
//	r topic             retained message
//	w client 0 user     will; of an older hub without 0 and user
//	c                   highest session, place in the log up to which it is in the state
//	t                   running time of the hub
const (
	kindSession  = 's'
	kindAcked    = 'a'
	kindFilter   = 'f'
	kindReceived = 'i'
	kindSpan     = 'n'
	kindUsed     = 'u'
	kindSegment  = 'g'
	kindRetained = 'r'
	kindWill     = 'w'
	kindCommon   = 'c'
	kindClock    = 't'
)

var (
	keyCommon = []byte{kindCommon}
	keyClock  = []byte{kindClock}
)

func key8(kind byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{kind}, n) }

func keySession(n uint64) []byte { return key8(kindSession, n) }

func keyPart(session uint64, part byte) []byte { return append(keySession(session), part) }

func keyFilter(session uint64, filter []byte) []byte {
	return append(keyPart(session, kindFilter), filter...)
}

func keyReceived(session uint64, id packet.ID) []byte {
	return binary.BigEndian.AppendUint16(keyPart(session, kindReceived), uint16(id))
}

func keySpan(session, segment uint64) []byte {
	return binary.BigEndian.AppendUint64(keyPart(session, kindSpan), segment)
}

func keyText(kind byte, text []byte) []byte { return append([]byte{kind}, text...) }

// sessionOf returns the number of the session that a key belongs to.
func sessionOf(key []byte) (number uint64, rest []byte, ok bool) {
	if len(key) < 9 || key[0] != kindSession {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(key[1:]), key[9:], true
}

func numbers(n ...uint64) (b []byte) {
	for _, x := range n {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

func sessionValue(client, user string) []byte {
	b := append(numbers(uint64(len(client))), client...)
	return append(binary.AppendUvarint(b, uint64(len(user))), user...)
}

func decodeSession(b []byte) (client, user string, err error) {
	v := record.Reader{Rest: b}
	client, user = string(v.Text()), string(v.Text())
	return client, user, v.Err()
}

func usedValue(at time.Duration, connected bool) []byte {
	flag := uint64(0)
	if connected {
		flag = 1
	}
	return numbers(uint64(at/time.Second), flag)
}

func decodeUsed(b []byte) (at time.Duration, connected bool, err error) {
	v := record.Reader{Rest: b}
	at = time.Duration(v.Number()) * time.Second
	connected = v.Number() == 1
	return at, connected, v.Err()
}

func ackedValue(s *session) []byte {
	var is uint64
	if s.acked != nil {
		is = 1
	}
	return append(numbers(s.tail, is), s.acked...)
}

// load takes the value of ackedValue.
func (s *session) load(b []byte) error {
	v := record.Reader{Rest: b}
	s.tail = max(s.tail, v.Number())
	if v.Number() == 1 {
		s.acked = append([]byte{}, v.Rest...)
		s.head = v.Number()
		s.tail = max(s.tail, s.head)
	}
	return v.Err()
}

func (p *span) value() []byte { return numbers(p.first, p.last, uint64(p.at), uint64(p.count)) }

func (p *span) load(b []byte) error {
	v := record.Reader{Rest: b}
	p.first, p.last, p.at, p.count = v.Number(), v.Number(), int64(v.Number()), int64(v.Number())
	p.saved = true
	if v.Failed || p.last < p.first || p.at < headerSize || p.count < 1 {
		return record.ErrDamaged
	}
	return nil
}

func (g *segment) value() []byte {
	return numbers(g.through, g.mark, uint64(g.end), uint64(g.oldest/time.Second), uint64(g.newest/time.Second),
		uint64(g.messages), uint64(g.bytes))
}

func (g *segment) load(b []byte) error {
	v := record.Reader{Rest: b}
	g.through, g.mark, g.end = v.Number(), v.Number(), int64(v.Number())
	g.oldest, g.newest = time.Duration(v.Number())*time.Second, time.Duration(v.Number())*time.Second
	g.messages, g.bytes = int64(v.Number()), int64(v.Number())
	return v.Err()
}

// common is the value of keyCommon.
type common struct {
	highest uint64
	applied place
}

func (c *common) value() []byte {
	return numbers(c.highest, c.applied.number, c.applied.mark, uint64(c.applied.at))
}

func (c *common) load(b []byte) error {
	v := record.Reader{Rest: b}
	c.highest = v.Number()
	c.applied = place{v.Number(), v.Number(), int64(v.Number())}
	return v.Err()
}
