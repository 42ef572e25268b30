package sim_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/internal/sim"
)

// attempt is a CONNECT on a connection of its own.
type attempt struct {
	user  string
	clean bool
	conn  *sim.Conn
	code  packet.ConnackCode
	known bool // CONNACK came
}

// attempt sends a CONNECT. Called with mu.
func (w *world) attempt(id, user string, will *packet.Message) *attempt {
	near, far := w.net.Pair(sim.Link{Latency: w.latency()})
	x := &attempt{user: user, clean: w.rnd.IntN(3) == 0, conn: near}
	p := packet.NewConnect()
	p.ClientID, p.CleanSession, p.Username, p.Password, p.Will = id, x.clean, user, user, will
	b := make([]byte, p.Len())
	if _, err := p.Encode(b); err != nil {
		panic(err)
	}
	hub := w.hub
	w.tasks.Go(func() { hub.serve(far) })
	w.say("%s > CONNECT of %s, clean=%v", id, user, x.clean)
	_, _ = near.Write(b)
	w.tasks.Go(func() {
		p, err := packet.NewDecoder(near).Read()
		w.mu.Lock()
		defer w.mu.Unlock()
		if ack, ok := p.(*packet.Connack); err == nil && ok {
			x.code, x.known = ack.ReturnCode, true
			w.say("%s < CONNACK %d for %s", id, x.code, user)
		}
	})
	return x
}

// answerTime is how long the answers to attempts may take, and then the hub until it has seen their end.
const answerTime = 2 * time.Second

// await ends attempts after their answers. The driver does nothing else meanwhile.
func await(list ...*attempt) {
	time.Sleep(answerTime)
	for _, x := range list {
		_ = x.conn.Close()
	}
	time.Sleep(answerTime)
}

// intrude tries the client id of a client that has a session with another user, and leaves a will. It gets nothing, and
// nothing changes: the model of the client goes on.
func (w *world) intrude() {
	var of *client
	var x *attempt
	w.with(func(c *client) bool { return c.present == sure && c.kept && w.hub != nil }, func(c *client) {
		m := w.newMessage(c, "w/"+c.id, 1)
		m.will, m.on = true, &connection{c: c, refused: true}
		others := slices.DeleteFunc(slices.Clone(users), func(u string) bool { return u == c.user })
		user := others[w.rnd.IntN(len(others))]
		of, x = c, w.attempt(c.id, user, &packet.Message{Topic: m.topic, Payload: payload(m), QOS: 1})
	})
	if x == nil {
		return
	}
	await(x)
	w.mu.Lock()
	defer w.mu.Unlock()
	if x.known && x.code != packet.IdentifierRejected && x.code != packet.ServerUnavailable {
		w.fail("%s, which belongs to %s: CONNECT of %s is answered with %d", of.id, of.user, x.user, x.code)
	}
}

// claim lets two users want one client id at once. One of them gets it, the owner of a session if there is one. "?" is
// an owner that nobody knows.
func (w *world) claim() {
	if w.hub == nil {
		return
	}
	w.mu.Lock()
	id, first := fmt.Sprintf("x%d", w.rnd.IntN(3)), w.rnd.IntN(len(users))
	x := w.attempt(id, users[first], nil)
	y := w.attempt(id, users[(first+1+w.rnd.IntN(2))%len(users)], nil)
	w.mu.Unlock()
	await(x, y)
	w.mu.Lock()
	defer w.mu.Unlock()
	owner := w.owners[id]
	accepted := 0
	for _, a := range []*attempt{x, y} {
		refused := a.known && a.code == packet.IdentifierRejected
		switch {
		case a.known && a.code == packet.ConnectionAccepted:
			if accepted++; owner != "" && owner != "?" && owner != a.user {
				w.fail("%s, which belongs to %s: %s got it", id, owner, a.user)
			}
		case refused && owner == a.user:
			w.fail("%s is refused to %s, to whom it belongs", id, a.user)
		}
	}
	refused := x.known && y.known && x.code == packet.IdentifierRejected && y.code == packet.IdentifierRejected
	if accepted > 1 || refused && (owner == "" || owner == x.user || owner == y.user) {
		w.fail("%s: %s is answered with %d, %s with %d", id, x.user, x.code, y.user, y.code)
	}
	for _, a := range []*attempt{x, y} {
		switch {
		case a.known && a.code == packet.IdentifierRejected:
		case a.known && a.code == packet.ConnectionAccepted && a.clean:
			w.owners[id] = ""
		case a.known && a.code == packet.ConnectionAccepted:
			w.owners[id] = a.user
		default: // it may be stored
			w.owners[id] = "?"
		}
	}
}
