package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// client is a connection of the load generator. It encodes each message once and decodes no more of what it receives
// than it must, so that it takes little of the machine: the column "bare relay" shows what it can do.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	mu   sync.Mutex // writes
}

func dial(address, id string, clean bool, user string) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	p := packet.NewConnect()
	p.ClientID, p.CleanSession, p.KeepAlive = id, clean, 600
	if user != "" {
		p.Username, p.Password = user, "hahaha"
	}
	if err := c.write(p); err != nil {
		return nil, err
	}
	frame, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", id, err)
	}
	if len(frame) != 4 || frame[0] != 0x20 || frame[3] != 0 {
		return nil, fmt.Errorf("connect %s: refused (% x)", id, frame)
	}
	return c, nil
}

func (c *client) write(p packet.Generic) error {
	b := make([]byte, p.Len())
	if _, err := p.Encode(b); err != nil {
		return err
	}
	return c.send(b)
}

func (c *client) send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.conn.Write(b)
	return err
}

func (c *client) close() { c.conn.Close() }

// read returns the next packet; it is valid until the next read.
func (c *client) read() ([]byte, error) {
	for n := 2; ; n++ {
		head, err := c.r.Peek(n)
		if err != nil {
			return nil, err
		}
		length, size := binary.Uvarint(head[1:])
		if size <= 0 {
			continue
		}
		total := 1 + size + int(length)
		if total > c.r.Size() {
			return nil, fmt.Errorf("packet of %d bytes", total)
		}
		frame, err := c.r.Peek(total)
		if err != nil {
			return nil, err
		}
		_, err = c.r.Discard(total)
		return frame, err
	}
}

func (c *client) subscribe(filter string, qos packet.QOS) error {
	p := packet.NewSubscribe()
	p.ID, p.Subscriptions = 1, []packet.Subscription{{Topic: filter, QOS: qos}}
	return c.write(p)
}

// receiver counts messages and acknowledges them. All messages of one read are acknowledged with one write.
type receiver struct {
	*client
	count   atomic.Int64
	onFrame func(payload []byte) // may be nil
}

func newReceiver(address, id, filter string, qos packet.QOS, clean bool, user string) (*receiver, error) {
	c, err := dial(address, id, clean, user)
	if err != nil {
		return nil, err
	}
	return &receiver{client: c}, c.subscribe(filter, qos)
}

// start lets it run, and returns at SUBACK.
func (r *receiver) start() {
	var ready sync.WaitGroup
	ready.Add(1)
	go r.run(&ready)
	ready.Wait()
}

// run reads until the connection ends. ready is done at SUBACK.
func (r *receiver) run(ready *sync.WaitGroup) {
	acks := make([]byte, 0, 4<<10)
	for {
		frame, err := r.read()
		if err != nil {
			return
		}
		switch frame[0] >> 4 {
		case 3:
			qos := frame[0] >> 1 & 3
			_, size := binary.Uvarint(frame[1:])
			body := frame[1+size:]
			body = body[2+binary.BigEndian.Uint16(body):]
			if qos > 0 {
				acks = append(acks, 0x40, 2, body[0], body[1])
				body = body[2:]
			}
			r.count.Add(1)
			if r.onFrame != nil {
				r.onFrame(body)
			}
		case 9:
			if ready != nil {
				ready.Done()
			}
		}
		if len(acks) > 0 && (r.r.Buffered() < 2 || len(acks) > 3<<10) {
			if r.send(acks) != nil {
				return
			}
			acks = acks[:0]
		}
	}
}

// publisher sends messages to one topic.
type publisher struct {
	*client
	topic   string
	qos     packet.QOS
	payload []byte
	acked   atomic.Int64
}

// flood sends QoS 0 messages as fast as the socket takes them, until stop.
func (p *publisher) flood(stop <-chan struct{}) {
	one := encode(p.topic, p.payload, 0, 0)
	chunk := make([]byte, 0, 64<<10)
	for len(chunk)+len(one) <= cap(chunk) {
		chunk = append(chunk, one...)
	}
	if len(chunk) == 0 {
		chunk = one
	}
	for {
		select {
		case <-stop:
			return
		default:
		}
		if p.send(chunk) != nil {
			return
		}
	}
}

// window sends QoS 1 messages, at most window of them unacknowledged, until stop or limit messages.
func (p *publisher) window(window int, limit int64, stop <-chan struct{}) {
	go func() {
		<-stop
		_ = p.conn.SetReadDeadline(time.Now())
	}()
	one := encode(p.topic, p.payload, 1, 1)
	at := len(one) - len(p.payload) - 2 // of the packet id
	buf := make([]byte, 0, 64<<10)
	id := uint16(0)
	for sent := int64(0); ; {
		buf = buf[:0]
		for sent-p.acked.Load() < int64(window) && sent < limit && len(buf)+len(one) < cap(buf) {
			id++
			if id == 0 {
				id = 1
			}
			n := len(buf)
			buf = append(buf, one...)
			binary.BigEndian.PutUint16(buf[n+at:], id)
			sent++
		}
		if len(buf) > 0 && p.send(buf) != nil {
			return
		}
		if p.acked.Load() >= limit {
			return
		}
		for first := true; first || p.r.Buffered() >= 4; first = false {
			frame, err := p.read()
			if err != nil {
				return
			}
			if frame[0]>>4 == 4 {
				p.acked.Add(1)
			}
		}
	}
}

func encode(topic string, payload []byte, qos packet.QOS, id packet.ID) []byte {
	p := packet.NewPublish()
	p.Message, p.ID = packet.Message{Topic: topic, Payload: payload, QOS: qos}, id
	b := make([]byte, p.Len())
	if _, err := p.Encode(b); err != nil {
		panic(err)
	}
	return b
}
