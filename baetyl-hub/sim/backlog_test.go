package sim_test

import (
	"fmt"
	"runtime"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/internal/sim"
)

// A backlog: sessions without a connection, and messages for them.
const (
	backlogSessions = 10
	backlogMessages = 2000
	// backlogMost is what the hub's memory may grow by, in bytes: far less than eight bytes for each entry that waits.
	backlogMost = backlogSessions * backlogMessages * 8
)

// backlog lets messages wait for many sessions and checks that they cost no memory; then the sessions get them.
func (w *world) backlog() {
	w.mu.Lock()
	for _, c := range w.clients {
		if c.cn != nil {
			c.cn.conn.Cut() // the model need not know what comes now
		}
	}
	w.mu.Unlock()
	for i := range backlogSessions {
		p := w.plain(fmt.Sprintf("absent%d", i))
		p.say(&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "backlog", QOS: 1}}}, packet.SUBACK)
		p.leave()
	}
	p := w.plain("source")
	p.fill(100) // so that buffers have the size that they will have
	before := w.memory()
	p.fill(backlogMessages)
	grown := w.memory() - before
	w.mu.Lock()
	w.say("%d entries wait", backlogSessions*backlogMessages)
	if grown > backlogMost {
		w.fail("%d entries that wait cost %d bytes of memory, at most %d are allowed", backlogSessions*backlogMessages,
			grown, backlogMost)
	}
	w.mu.Unlock()
	p.leave()
	for i := range 2 {
		p := w.plain(fmt.Sprintf("absent%d", i))
		p.take(100 + backlogMessages)
		p.leave()
	}
}

// memory is what the process holds, but for the disk.
func (w *world) memory() int64 {
	time.Sleep(5 * time.Second)
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) - w.disk.Memory()
}

// plain is a client without a model.
type plain struct {
	w    *world
	conn *sim.Conn
	in   *packet.Decoder
}

// plain connects a client with a kept session.
func (w *world) plain(id string) *plain {
	near, far := w.net.Pair(sim.Link{})
	hub := w.hub
	w.tasks.Go(func() { hub.serve(far) })
	p := &plain{w, near, packet.NewDecoder(near)}
	c := packet.NewConnect()
	c.ClientID, c.CleanSession, c.Username, c.Password = id, false, "root", "root"
	p.say(c, packet.CONNACK)
	return p
}

// say sends a packet and expects one of a type.
func (p *plain) say(x packet.Generic, want packet.Type) {
	p.send(x)
	if got := p.next(); got.Type() != want {
		p.fail("%s came instead of %s", got, want)
	}
}

func (p *plain) send(x packet.Generic) {
	b := make([]byte, x.Len())
	if _, err := x.Encode(b); err != nil {
		panic(err)
	}
	_, _ = p.conn.Write(b)
}

func (p *plain) next() packet.Generic {
	_ = p.conn.SetReadDeadline(time.Now().Add(time.Minute))
	x, err := p.in.Read()
	if err != nil {
		p.fail("nothing came: %v", err)
	}
	return x
}

func (p *plain) fail(format string, args ...any) {
	p.w.mu.Lock()
	p.w.fail("backlog: "+format, args...)
}

// fill publishes n messages, some at a time.
func (p *plain) fill(n int) {
	m := packet.Message{Topic: "backlog", Payload: make([]byte, 50), QOS: 1}
	for at := 0; at < n; at += 10 {
		for i := range 10 {
			p.send(&packet.Publish{ID: packet.ID(1 + i), Message: m})
		}
		for range 10 {
			if x := p.next(); x.Type() != packet.PUBACK {
				p.fail("%s came instead of PUBACK", x)
			}
		}
	}
}

// take takes n messages and acknowledges them.
func (p *plain) take(n int) {
	for range n {
		x, ok := p.next().(*packet.Publish)
		if !ok {
			p.fail("not a message")
			return
		}
		p.send(&packet.Puback{ID: x.ID})
	}
	p.say(packet.NewPingreq(), packet.PINGRESP)
}

func (p *plain) leave() {
	p.send(packet.NewDisconnect())
	_ = p.conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, _ = p.in.Read()
	_ = p.conn.Close()
}
