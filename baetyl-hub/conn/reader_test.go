package conn

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"net"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// chunks is a connection that delivers its bytes in pieces of any size.
type chunks struct {
	net.Conn
	data []byte
	size func() int
}

func (c *chunks) Read(b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.data[:min(len(c.data), max(1, c.size()))])
	c.data = c.data[n:]
	return n, nil
}

// readAll reads packets until an error, as a connection does.
func readAll(c net.Conn, limit int) (frames [][]byte, err error) {
	r := reader{limit: limit}
	defer r.release()
	for {
		for {
			frame, err := r.frame()
			if err != nil {
				return frames, err
			}
			if frame == nil {
				break
			}
			frames = append(frames, bytes.Clone(frame))
		}
		if err := r.read(c); err != nil {
			return frames, err
		}
	}
}

// whole splits a buffer into packets, in the simplest way that the standard describes.
func whole(data []byte, limit int) (frames [][]byte, err error) {
	for len(data) >= 2 {
		length, shift, i := 0, 0, 1
		for {
			if i == len(data) {
				return frames, io.EOF
			}
			length |= int(data[i]&0x7f) << shift
			shift += 7
			i++
			if data[i-1]&0x80 == 0 {
				break
			}
			if i == 5 {
				return frames, core.ErrMalformed
			}
		}
		switch {
		case i+length > limit:
			_, err := core.PacketSize(data, limit) // the error for packets over the limit
			return frames, err
		case i+length > len(data):
			return frames, io.EOF
		}
		frames = append(frames, data[:i+length])
		data = data[i+length:]
	}
	return frames, io.EOF
}

func TestReaderWithAnyChunks(t *testing.T) {
	r := rand.New(rand.NewSource(5))
	sizes := []int{
		0, 1, 2, 100, 123, 124, 125, 126, 127, 128, 129, 200, smallBuffer - 3, smallBuffer, smallBuffer + 1,
		5000, 16380, 16384, largeBuffer - 4, largeBuffer, largeBuffer + 1, 200000,
	}
	for round := range 300 {
		var data []byte
		for range 1 + r.Intn(20) {
			p := packet.Publish{Message: packet.Message{Topic: "t", Payload: make([]byte, sizes[r.Intn(len(sizes))])}}
			r.Read(p.Message.Payload)
			b := make([]byte, p.Len())
			_, err := p.Encode(b)
			require.NoError(t, err)
			data = append(data, b...)
			if r.Intn(3) == 0 {
				data = append(data, 0xc0, 0)
			}
		}
		switch r.Intn(6) {
		case 0:
			data = data[:r.Intn(len(data))]
		case 1:
			data = append(data, 0x30, 0xff, 0xff, 0xff, 0xff, 1)
		case 2:
			data = append(data, 0x30, 0xff, 0xff, 0xff, 0x7f)
		}
		limit := 1 << 20
		if r.Intn(4) == 0 {
			limit = 5000
		}
		size := []func() int{
			func() int { return 1 + r.Intn(10) },
			func() int { return 1 + r.Intn(2000) },
			func() int { return 1 << 20 },
			func() int { return []int{1, smallBuffer, largeBuffer}[r.Intn(3)] },
		}[round%4]
		if round%4 == 0 && len(data) > 50000 {
			data = data[:50000]
		}
		want, wantErr := whole(data, limit)
		got, err := readAll(&chunks{data: data, size: size}, limit)
		require.ErrorIs(t, err, wantErr, "round %d", round)
		require.Equal(t, len(want), len(got), "round %d", round)
		for i := range want {
			require.True(t, bytes.Equal(want[i], got[i]), "round %d packet %d", round, i)
		}
	}
}

// An idle connection has only its small buffer.
func TestReaderGivesTheLargeBufferBack(t *testing.T) {
	p := packet.Publish{Message: packet.Message{Topic: "t", Payload: make([]byte, 20000)}}
	b := make([]byte, p.Len())
	_, err := p.Encode(b)
	require.NoError(t, err)
	c := &chunks{data: append(b, 0xc0, 0), size: func() int { return 1 << 20 }}
	r := reader{limit: 32 << 10}
	for {
		if err := r.read(c); err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
		for {
			frame, err := r.frame()
			require.NoError(t, err)
			if frame == nil {
				break
			}
		}
	}
	require.Len(t, r.buf, smallBuffer)
	require.Nil(t, r.borrows)
}

// FuzzReader sends bytes from the start of a connection: none may cause a panic, and no packet over the limit may pass.
func FuzzReader(f *testing.F) {
	add := func(list ...packet.Generic) {
		var all []byte
		for _, p := range list {
			b := make([]byte, p.Len())
			if _, err := p.Encode(b); err != nil {
				f.Fatal(err)
			}
			all = append(all, b...)
		}
		f.Add(all, uint8(7))
	}
	connect := packet.NewConnect()
	connect.ClientID, connect.Username, connect.Password = "x", "u", "p"
	connect.Will = &packet.Message{Topic: "w", Payload: []byte("w"), QOS: 2, Retain: true}
	add(connect, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "a/+", QOS: 1}, {Topic: "#"}}})
	add(&packet.Unsubscribe{ID: 1, Topics: []string{"a", "b", "c", "d", "e"}}, packet.NewPingreq(), packet.NewDisconnect())
	publish := &packet.Publish{ID: 3, Message: packet.Message{Topic: "t", QOS: 2, Payload: []byte("m")}}
	add(publish, &packet.Pubrel{ID: 3}, &packet.Puback{ID: 4})
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, uint8(1))
	f.Add([]byte{0x10, 0x0c, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 0}, uint8(1))
	f.Add([]byte{0xa2, 5, 0, 1, 0, 9, 'x'}, uint8(2))
	f.Add([]byte{0x34, 3, 0, 0, 1}, uint8(2))
	const limit = 300
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		got, err := readAll(&chunks{data: data, size: func() int { return int(size) }}, limit)
		want, wantErr := whole(data, limit)
		if !errors.Is(err, wantErr) || len(got) != len(want) {
			t.Fatalf("%d packets and %v, want %d and %v", len(got), err, len(want), wantErr)
		}
		for i, frame := range got {
			if len(frame) > limit || !bytes.Equal(frame, want[i]) {
				t.Fatalf("packet %d is %x, want %x", i, frame, want[i])
			}
			_, _ = decodeConnect(frame)
		}
	})
}

func FuzzDecodeConnect(f *testing.F) {
	for _, c := range []*packet.Connect{
		{ClientID: "x", CleanSession: true, Version: 4},
		{ClientID: "x", Username: "u", Password: "p", Version: 3, KeepAlive: 9},
		{CleanSession: true, Version: 4, Will: &packet.Message{Topic: "w", QOS: 1}},
	} {
		b := make([]byte, c.Len())
		if _, err := c.Encode(b); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0x10, 8, 0, 4, 'M', 'Q', 'T', 'T', 5, 2})
	f.Add([]byte{0x10, 2, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, _ := whole(b, 1<<16)
		if len(frames) == 0 {
			return
		}
		c, err := decodeConnect(frames[0])
		if err != nil {
			if refusal := new(core.Refusal); errors.As(err, refusal) && refusal.Code == packet.ConnectionAccepted {
				t.Fatal("refused with code 0")
			}
			return
		}
		if c.ClientID == "" && !c.CleanSession || c.Version != 3 && c.Version != 4 ||
			c.Password != "" && c.Username == "" && frames[0][9]&0x80 == 0 && c.Version == 4 {
			t.Fatalf("accepted %s of %x", c, frames[0])
		}
	})
}
