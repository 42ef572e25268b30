package sim_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/internal/sim"
)

// connection is one connection of a client.
type connection struct {
	c        *client
	conn     *sim.Conn
	session  *session
	clean    bool
	opened   stamp
	pings    []stamp // when PINGREQ was sent that is not answered
	answered stamp   // when the newest PINGREQ was sent that is
	accepted bool
	refused  bool
	old      bool // another connection has taken over
	ended    bool
	held     bool
	will     *message
	farewell answer                        // DISCONNECT was sent: perhaps, sure: the hub has it
	lost     bool                          // it ended without DISCONNECT, and the hub saw it
	doubt    bool                          // something may have hindered the hub since
	hooks    map[packet.ID]func(p []uint8) // SUBACK and UNSUBACK
	unsent   []packet.Generic              // acknowledgements that are withheld
}

func (cn *connection) send(list ...packet.Generic) {
	for _, p := range list {
		b := make([]byte, p.Len())
		if _, err := p.Encode(b); err != nil {
			panic(err)
		}
		cn.c.w.say("%s > %s", cn, short(p))
		_, _ = cn.conn.Write(b)
	}
}

func (cn *connection) String() string {
	return cn.c.id + "/" + cn.conn.LocalAddr().String()[len("client-"):]
}

func short(p packet.Generic) string {
	switch p := p.(type) {
	case *packet.Publish:
		text, _, _ := strings.Cut(string(p.Message.Payload), " ")
		return fmt.Sprintf("PUBLISH %d %s q%d dup=%v retain=%v %s", p.ID, p.Message.Topic, p.Message.QOS, p.Dup,
			p.Message.Retain, text)
	case *packet.Connect:
		return fmt.Sprintf("CONNECT clean=%v will=%v", p.CleanSession, p.Will != nil)
	}
	return strings.Trim(p.String(), "<>")
}

// read is the goroutine that reads the connection.
func (cn *connection) read() {
	c, w := cn.c, cn.c.w
	in := packet.NewDecoder(cn.conn)
	for {
		w.mu.Lock()
		for c.reading == readsNothing && !cn.old && !cn.conn.Ended() && !w.ending {
			w.changed.Wait()
		}
		slow := c.reading == readsSlowly && !w.ending
		pause := time.Duration(w.readers.Int64N(int64(2 * time.Second)))
		w.mu.Unlock()
		if slow {
			time.Sleep(pause)
		}
		p, err := in.Read()
		w.mu.Lock()
		if err != nil {
			if errors.Is(err, packet.ErrDetectionOverflow) {
				w.fail("%s: what the hub sent is no packet: %v", cn, err)
			}
			cn.over(err)
			w.mu.Unlock()
			return
		}
		w.say("%s < %s", cn, short(p))
		cn.handle(p)
		w.mu.Unlock()
	}
}

// over is the end of the connection as the client sees it.
func (cn *connection) over(err error) {
	w, c := cn.c.w, cn.c
	w.say("%s ended: %v", cn, err)
	cn.ended = true
	_ = cn.conn.Close()
	if cn.will != nil && cn.will.first == 0 {
		cn.will.first = w.stamp()
	}
	if c.cn == cn {
		c.cn = nil
		if cn.clean {
			c.end()
		}
		if cn.clean && cn.accepted {
			c.former = nil
		}
		c.forbid()
	}
}

func (cn *connection) handle(p packet.Generic) {
	c, w := cn.c, cn.c.w
	if cn.old {
		return // what comes now comes again on the new connection
	}
	if p, ok := p.(*packet.Connack); ok != !cn.accepted {
		w.fail("%s: %s comes at the wrong time", cn, p)
		return
	}
	switch p := p.(type) {
	case *packet.Connack:
		cn.connack(p)
	case *packet.Publish:
		cn.publish(p)
	case *packet.Puback:
		cn.acked(p.ID, 1)
	case *packet.Pubrec:
		cn.acked(p.ID, 2)
	case *packet.Pubcomp:
		n := len(c.out)
		c.out = slices.DeleteFunc(c.out, func(x *exchange) bool { return x.id == p.ID && x.released })
		if len(c.out) == n {
			w.fail("%s: PUBCOMP for %d, which is not in use", cn, p.ID)
		}
	case *packet.Pubrel:
		delete(cn.session.known, p.ID)
		cn.acknowledge(&packet.Pubcomp{ID: p.ID})
	case *packet.Suback:
		cn.hook(p.ID, qosBytes(p.ReturnCodes))
	case *packet.Unsuback:
		cn.hook(p.ID, nil)
	case *packet.Pingresp:
		if len(cn.pings) == 0 {
			w.fail("%s: PINGRESP without PINGREQ", cn)
			return
		}
		cn.answered, cn.pings = cn.pings[0], cn.pings[1:]
	default:
		w.fail("%s: %s is no packet for a client", cn, p)
	}
}

func qosBytes(codes []packet.QOS) (out []uint8) {
	for _, c := range codes {
		out = append(out, uint8(c))
	}
	return out
}

func (cn *connection) hook(id packet.ID, codes []uint8) {
	f := cn.hooks[id]
	if f == nil {
		cn.c.w.fail("%s: an answer for %d, which is not in use", cn, id)
		return
	}
	delete(cn.hooks, id)
	f(codes)
}

func (cn *connection) connack(p *packet.Connack) {
	c, w := cn.c, cn.c.w
	if p.ReturnCode != packet.ConnectionAccepted {
		if p.ReturnCode == packet.BadUsernameOrPassword || p.ReturnCode == packet.IdentifierRejected {
			w.fail("%s: refused with %s", cn, p.ReturnCode)
		}
		cn.refused = p.ReturnCode != packet.ServerUnavailable // after a kill a write that failed may count
		return
	}
	cn.accepted = true
	if p.SessionPresent && (cn.clean || c.present == no) || !p.SessionPresent && c.present == sure && !cn.clean {
		w.fail("%s: session present is %v", cn, p.SessionPresent)
	}
	switch {
	case p.SessionPresent && c.session == nil && c.former != nil:
		c.session = c.former
		for _, b := range c.session.subs {
			b.unsure = w.stamp()
		}
	case c.session == nil || !p.SessionPresent:
		c.session = &session{c: c, subs: map[string]*sub{}, got: map[int]*receipt{}, order: map[orderKey]int{},
			known: map[packet.ID]int{}, burned: map[packet.ID]bool{}}
	}
	c.former = nil
	cn.session = c.session
	c.present = no
	if !cn.clean {
		c.present = sure
	}
	for _, x := range c.out {
		if x.released {
			cn.send(&packet.Pubrel{ID: x.id})
			continue
		}
		if x.m.qos == 1 {
			x.m.copies++
		}
		cn.send(x.packet(true))
	}
}

func (x *exchange) packet(dup bool) *packet.Publish {
	return &packet.Publish{ID: x.id, Dup: dup, Message: packet.Message{
		Topic: x.m.topic, Payload: payload(x.m), QOS: x.m.qos, Retain: x.m.retain,
	}}
}

// publish takes a message.
func (cn *connection) publish(p *packet.Publish) {
	w := cn.c.w
	n := -1
	if m, ok := w.read(p); ok {
		n = m.n
	}
	switch p.Message.QOS {
	case 0:
		w.delivered(cn, p)
	case 1:
		w.delivered(cn, p)
		cn.acknowledge(&packet.Puback{ID: p.ID})
		cn.note(n)
	case 2:
		if was, ok := cn.session.known[p.ID]; ok && was != n {
			w.fail("%s: m%d has the id %d, which m%d has", cn, n, p.ID, was)
		} else if !ok {
			cn.session.known[p.ID] = n
			w.delivered(cn, p)
		}
		cn.acknowledge(&packet.Pubrec{ID: p.ID})
	}
}

// note remembers that a message was acknowledged.
func (cn *connection) note(n int) {
	if r := cn.session.got[n]; r != nil && !cn.c.withhold {
		r.acked, r.on = true, cn
	}
}

// acknowledge sends an acknowledgement, or withholds it.
func (cn *connection) acknowledge(p packet.Generic) {
	if cn.c.withhold {
		cn.unsent = append(cn.unsent, p)
		return
	}
	cn.send(p)
}

// acked takes PUBACK and PUBREC.
func (cn *connection) acked(id packet.ID, qos packet.QOS) {
	c, w := cn.c, cn.c.w
	i := slices.IndexFunc(c.out, func(x *exchange) bool { return x.id == id && x.m.qos == qos })
	if i < 0 {
		w.fail("%s: an acknowledgement of %d, which is not in use", cn, id)
		return
	}
	x := c.out[i]
	if x.m.acked == 0 {
		x.m.acked = w.stamp()
		x.m.ended = x.m.acked
		if !w.may(c.user, x.m.first, x.m.acked, func(u *auth.User) bool { return u.MayPublish(x.m.topic) }) {
			w.fail("%s: the hub took %s, which %s may not send", cn, x.m, c.user)
		}
	}
	if qos == 1 {
		c.out = slices.Delete(c.out, i, i+1)
		return
	}
	x.released = true
	cn.send(&packet.Pubrel{ID: id})
}
