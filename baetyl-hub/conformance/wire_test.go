package conformance_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// A malformed packet closes the connection without an answer, and the will is published.
func TestMalformedPacketsClose(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	id := []byte{0, 1}
	cases := map[string][]byte{
		"type 0":                            {0x00, 0},
		"type 15":                           {0xf0, 0},
		"remaining length of 5 bytes":       {0x30, 0xff, 0xff, 0xff, 0xff, 0x01},
		"PUBLISH quality 3":                 frame(0x36, str("t"), id, []byte("m")),
		"PUBLISH quality 1 with id 0":       frame(0x32, str("t"), []byte{0, 0}, []byte("m")),
		"PUBLISH quality 2 with id 0":       frame(0x34, str("t"), []byte{0, 0}, []byte("m")),
		"PUBLISH without id":                frame(0x32, str("t")),
		"PUBLISH without topic":             frame(0x30),
		"PUBLISH to the empty topic":        frame(0x30, str(""), []byte("m")),
		"PUBLISH topic longer than packet":  frame(0x30, []byte{0, 9, 't'}),
		"PUBLISH with +":                    frame(0x30, str("a/+"), []byte("m")),
		"PUBLISH with #":                    frame(0x30, str("#"), []byte("m")),
		"PUBLISH to $SYS":                   frame(0x30, str("$SYS/x"), []byte("m")),
		"PUBLISH to $share":                 frame(0x30, str("$share/g/x"), []byte("m")),
		"PUBLISH topic not UTF-8":           frame(0x30, str("\xff"), []byte("m")),
		"PUBLISH topic with surrogate":      frame(0x30, str("\xed\xa0\x80"), []byte("m")),
		"PUBLISH topic overlong":            frame(0x30, str("\xc0\xaf"), []byte("m")),
		"PUBLISH topic with U+0000":         frame(0x30, str("a\x00"), []byte("m")),
		"PUBLISH topic too long":            frame(0x30, str(strings.Repeat("a", 256)), []byte("m")),
		"PUBLISH topic too deep":            frame(0x30, str(strings.Repeat("/", 9)), []byte("m")),
		"PUBACK with flags":                 {0x41, 2, 0, 1},
		"PUBACK with id 0":                  {0x40, 2, 0, 0},
		"PUBACK of 3 bytes":                 {0x40, 3, 0, 1, 0},
		"PUBACK of 1 byte":                  {0x40, 1, 0},
		"PUBREC with flags":                 {0x52, 2, 0, 1},
		"PUBREC with id 0":                  {0x50, 2, 0, 0},
		"PUBREL without flags":              {0x60, 2, 0, 1},
		"PUBREL with other flags":           {0x63, 2, 0, 1},
		"PUBREL with id 0":                  {0x62, 2, 0, 0},
		"PUBCOMP with flags":                {0x72, 2, 0, 1},
		"PUBCOMP with id 0":                 {0x70, 2, 0, 0},
		"SUBSCRIBE without flags":           frame(0x80, id, str("t"), []byte{0}),
		"SUBSCRIBE with other flags":        frame(0x83, id, str("t"), []byte{0}),
		"SUBSCRIBE with id 0":               frame(0x82, []byte{0, 0}, str("t"), []byte{0}),
		"SUBSCRIBE without filters":         frame(0x82, id),
		"SUBSCRIBE without quality":         frame(0x82, id, str("t")),
		"SUBSCRIBE quality 3":               frame(0x82, id, str("t"), []byte{3}),
		"SUBSCRIBE reserved bits":           frame(0x82, id, str("t"), []byte{0x05}),
		"SUBSCRIBE reserved bits of second": frame(0x82, id, str("t"), []byte{0}, str("u"), []byte{0x80}),
		"SUBSCRIBE filter cut off":          frame(0x82, id, []byte{0, 5, 't', 0}),
		"SUBSCRIBE filter not UTF-8":        frame(0x82, id, str("t"), []byte{0}, str("\xff"), []byte{0}),
		"SUBSCRIBE filter with U+0000":      frame(0x82, id, str("t\x00"), []byte{0}),
		"UNSUBSCRIBE without flags":         frame(0xa0, id, str("t")),
		"UNSUBSCRIBE with id 0":             frame(0xa2, []byte{0, 0}, str("t")),
		"UNSUBSCRIBE without filters":       frame(0xa2, id),
		"UNSUBSCRIBE filter cut off":        frame(0xa2, id, []byte{0, 5, 't'}),
		"UNSUBSCRIBE second cut off":        frame(0xa2, id, str("t"), []byte{0}),
		"UNSUBSCRIBE filter not UTF-8":      frame(0xa2, id, str("\xff")),
		"UNSUBSCRIBE filter with U+0000":    frame(0xa2, id, str("t\x00")),
		"PINGREQ with flags":                {0xc1, 0},
		"PINGREQ with body":                 {0xc0, 1, 0},
		"DISCONNECT with flags":             {0xe1, 0},
		"DISCONNECT with body":              {0xe0, 1, 0},
		"CONNACK":                           {0x20, 2, 0, 0},
		"SUBACK":                            frame(0x90, id, []byte{0}),
		"UNSUBACK":                          frame(0xb0, id),
		"PINGRESP":                          {0xd0, 0},
	}
	for name, bytes := range cases {
		t.Run(name, func(t *testing.T) {
			c := hello("x", true)
			c.Will = &packet.Message{Topic: "will", Payload: []byte(name)}
			p := b.login(c)
			p.t = t
			watch := b.clean("watch")
			watch.t = t
			watch.sub(0, "will")
			p.raw(bytes)
			p.end()
			watch.want("will", name, 0)
		})
	}
}

func TestLegalCorners(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	for name, c := range map[string]struct {
		bytes []byte
		want  packet.Generic
	}{
		"PUBLISH without payload": {frame(0x32, str("t"), []byte{0, 1}), &packet.Puback{ID: 1}},
		"topic of 255 characters": {frame(0x32, str(strings.Repeat("ü", 255)), []byte{0, 1}), &packet.Puback{ID: 1}},
		"topic of nine levels":    {frame(0x32, str("////////"), []byte{0, 1}), &packet.Puback{ID: 1}},
		"topic with blanks":       {frame(0x32, str(" "), []byte{0, 1}), &packet.Puback{ID: 1}},
		"highest id":              {frame(0x32, str("t"), []byte{0xff, 0xff}), &packet.Puback{ID: 65535}},
		"DUP of something new":    {frame(0x3a, str("t"), []byte{0, 1}), &packet.Puback{ID: 1}},
		"payload of any bytes":    {frame(0x32, str("t"), []byte{0, 1}, []byte("\xff\x00")), &packet.Puback{ID: 1}},
		"PUBREL of nothing":       {[]byte{0x62, 2, 0, 9}, &packet.Pubcomp{ID: 9}},
		"PUBREC of nothing":       {[]byte{0x50, 2, 0, 9}, &packet.Pubrel{ID: 9}},
		"PUBACK of nothing":       {[]byte{0x40, 2, 0, 9, 0xc0, 0}, packet.NewPingresp()},
		"PUBCOMP of nothing":      {[]byte{0x70, 2, 0, 9, 0xc0, 0}, packet.NewPingresp()},
		"UNSUBSCRIBE of nothing":  {frame(0xa2, []byte{0, 9}, str("t")), &packet.Unsuback{ID: 9}},
		"PINGREQ":                 {[]byte{0xc0, 0}, packet.NewPingresp()},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.clean("x")
			p.t = t
			p.raw(c.bytes)
			p.expect(c.want)
			p.quiet()
		})
	}
}

// The limit counts the whole packet: header, topic and payload.
func TestPacketLimit(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"message: {length: {max: 1k}}")
	watch := b.clean("watch")
	watch.sub(1, "t")
	fits := strings.Repeat("x", 1024-3-2-1-2)
	p := b.clean("p")
	p.pub("t", fits, 1)
	require.Equal(t, 1024, (&packet.Publish{Message: message("t", fits, 1)}).Len())
	watch.want("t", fits, 1)
	p.send(&packet.Publish{ID: 9, Message: message("t", fits+"x", 1)})
	p.end()
	p = b.clean("p")
	p.send(&packet.Publish{Message: message("t", fits+"xxx", 0)})
	p.end()
	// The hub refuses a packet that is too large as soon as it has the header.
	p = b.clean("p")
	p.raw([]byte{0x30, 0xfe, 0x07})
	p.end()
	watch.quiet()
}

func TestDefaultPacketLimit(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	p := b.clean("p")
	p.sub(0, "t")
	// sizes at which the remaining length gets one more byte
	for _, size := range []int{126, 127, 128, 129, 16382, 16383, 16384, 16385, 32768} {
		m := message("t", "", 0)
		for length := func() int { return (&packet.Publish{Message: m}).Len() }; length() != size; {
			m.Payload = make([]byte, len(m.Payload)+size-length())
		}
		p.send(&packet.Publish{Message: m})
		p.expect(&packet.Publish{Message: m})
	}
	p.send(&packet.Publish{Message: packet.Message{Topic: "t", Payload: make([]byte, 32769-7)}})
	p.end()
}

// The hub does not change the bytes of a topic: U+FEFF is a character like any other.
func TestByteOrderMarkIsKept(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	p := b.clean("p")
	p.sub(0, "\ufefft", "t")
	p.send(&packet.Publish{Message: message("\ufefft", "m", 0)})
	p.expect(&packet.Publish{Message: message("\ufefft", "m", 0)})
	p.quiet()
}

// Packets may come in pieces of any size.
func TestOneByteAtATime(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	p := b.dial()
	subscribe := &packet.Subscribe{ID: 7, Subscriptions: []packet.Subscription{{Topic: "t", QOS: 1}}}
	publish := &packet.Publish{ID: 3, Message: message("t", strings.Repeat("m", 200), 1)}
	for _, c := range encode(t, hello("x", true), subscribe, publish) {
		p.raw([]byte{c})
	}
	p.expect(packet.NewConnack(), &packet.Suback{ID: 7, ReturnCodes: []packet.QOS{1}}, &packet.Puback{ID: 3})
	p.want("t", strings.Repeat("m", 200), 1)
	p.quiet()
}

// A client may send a remaining length with more bytes than needed. The hub sends it with as few as possible.
func TestPaddedRemainingLength(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	watch, p := b.clean("watch"), b.clean("p")
	watch.sub(0, "t")
	p.raw(append([]byte{0x30, 0x84, 0x80, 0x00}, append(str("t"), 'm')...))
	raw := make([]byte, 6)
	n, err := watch.conn.Read(raw)
	require.NoError(t, err)
	require.Equal(t, append([]byte{0x30, 4}, append(str("t"), 'm')...), raw[:n])
}

// Five short filters, the last with one character: gomqtt's own decoder loses it.
func TestUnsubscribeManyShortFilters(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	p, by := b.clean("p"), b.clean("by")
	for count := 1; count <= 40; count++ {
		filters := make([]string, count)
		for i := range filters {
			filters[i] = string(rune('A' + i))
		}
		p.sub(0, filters...)
		p.unsub(filters...)
		require.Zero(t, b.stat("subscriptions"), "of %d", count)
	}
	p.sub(0, "f")
	by.pub("E", "m", 0)
	p.fence(by, "f")
}

// Answers have the id of the packet, whatever it is.
func TestAnswersCarryTheID(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	p := b.clean("p")
	for _, id := range []packet.ID{1, 2, 255, 256, 32767, 65535} {
		two := binary.BigEndian.AppendUint16(nil, uint16(id))
		p.raw(frame(0x82, two, str("s"), []byte{1}))
		p.expect(&packet.Suback{ID: id, ReturnCodes: []packet.QOS{1}})
		p.raw(frame(0xa2, two, str("s")))
		p.expect(&packet.Unsuback{ID: id})
		p.raw(frame(0x32, str("t"), two))
		p.expect(&packet.Puback{ID: id})
		p.raw(frame(0x34, str("t"), two))
		p.expect(&packet.Pubrec{ID: id})
		p.raw(append([]byte{0x62, 2}, two...))
		p.expect(&packet.Pubcomp{ID: id})
	}
}
