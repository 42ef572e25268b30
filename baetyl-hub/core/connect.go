package core

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/topic"
)

// BridgeBit in the protocol level of a CONNECT says that the client is a bridge, as mosquitto's are (try_private): it
// gets no copy of what it has published itself, and live messages keep their retain flag.
const BridgeBit = 0x80

// Refusal is the reason why a CONNECT is refused, with the code for CONNACK.
type Refusal struct {
	Code   packet.ConnackCode
	Text   string
	Client string // client id of a CONNECT that did not get to Connect, for the log
	Logged bool   // the caller has logged it
}

func (r Refusal) Error() string { return "refuse CONNECT: " + r.Text }

var idCharacters = regexp.MustCompile(`^[0-9A-Za-z_-]*$`)

// checkClientID returns why a client id is refused. The standard allows all characters but U+0000 [MQTT-1.5.3-2].
func (o *Options) checkClientID(id string) error {
	switch {
	case utf8.RuneCountInString(id) > o.ClientIDMax:
		return fmt.Errorf("the client id has more than %d characters (session.clientid.length)", o.ClientIDMax)
	case strings.Contains(id, anonymous):
		return errors.New("the client id contains U+0000")
	case o.ClientIDStrict && !idCharacters.MatchString(id):
		return errors.New("the client id has characters other than 0-9 A-Z a-z _ - (session.clientid.strict)")
	}
	return nil
}

// anonymous begins the key of a session without client id.
const anonymous = "\x00"

// Refuse answers a CONNECT that the caller can't take, and ends the connection.
func (c *Core) Refuse(cl *Client, r Refusal) {
	switch r.Code {
	case packet.BadUsernameOrPassword:
		c.stats.Refused++
	case packet.IdentifierRejected:
		c.stats.RefusedIDs++
	}
	if r.Client != "" {
		cl.id = r.Client
	}
	cl.cancelWill()
	cl.blocked = false
	c.leaveGuests(cl)
	if !r.Logged {
		name := ""
		if cl.user != nil {
			name = cl.user.Name
		}
		c.refusals.Log(c.o.Log, cl.Handle.RemoteAddr(), name, cl.id, r, c.now)
	}
	ack := packet.NewConnack()
	ack.ReturnCode = r.Code // session present is 0 with any error [MQTT-3.2.2-4]
	c.send(cl, ack)
	c.end(cl, r)
}

// Connect takes the first packet of a connection, whose login the caller has checked: user is who it is. The answer may
// have to wait for the store.
func (c *Core) Connect(cl *Client, p *packet.Connect, user *auth.User) {
	c.leaveGuests(cl)
	cl.id, cl.user, cl.bridge = p.ClientID, user, p.Version&BridgeBit != 0
	cl.account = c.account(user.Name)
	p.Version &^= BridgeBit
	cl.version, cl.keepAlive = p.Version, p.KeepAlive
	if r, ok := c.admit(p, user); !ok {
		c.Refuse(cl, r)
		return
	}
	if w := p.Will; w != nil && !topic.BridgeState(w.Topic) {
		if by := c.leaves(cl, w); by != nil {
			c.lost(cl, by, 1, "a login with a will is refused")
			c.Refuse(cl, Refusal{Code: packet.ServerUnavailable, Text: "the limit of queued.memory is reached (limits)"})
			return
		}
	}
	cl.blocked, cl.stalled = true, true
	// It may wait, so nothing else of it is kept.
	c.take(cl, &packet.Connect{ClientID: p.ClientID, CleanSession: p.CleanSession, Version: p.Version})
}

// admit checks what the user may do.
func (c *Core) admit(p *packet.Connect, user *auth.User) (r Refusal, ok bool) {
	invalid, reserved := c.o.checkClientID(p.ClientID), c.users.CheckClientID(user, p.ClientID)
	switch {
	case c.stopping:
		return Refusal{Code: packet.ServerUnavailable, Text: errStopping.Error()}, false
	case !user.MayAnything():
		return Refusal{Code: packet.NotAuthorized, Text: "the user has no permissions"}, false
	case invalid != nil:
		return Refusal{Code: packet.IdentifierRejected, Text: invalid.Error()}, false
	case !user.Equal(c.users.User(user.Name)):
		const text = "the configuration was reloaded meanwhile; connect again"
		return Refusal{Code: packet.ServerUnavailable, Text: text}, false
	case reserved != nil:
		return Refusal{Code: packet.IdentifierRejected, Text: reserved.Error()}, false
	case p.Will == nil || topic.BridgeState(p.Will.Topic):
		return r, true
	}
	if err := c.o.Topic.CheckName(p.Will.Topic); err != nil {
		return Refusal{Code: packet.NotAuthorized, Text: "will: " + err.Error()}, false
	}
	if !user.As(p.ClientID).MayPublish(p.Will.Topic) {
		return Refusal{Code: packet.NotAuthorized, Text: "will topic is not permitted"}, false
	}
	return r, true
}

// take gives a connection the session of its client id, and takes it from another connection. [MQTT-3.1.4-2]
func (c *Core) take(cl *Client, p *packet.Connect) {
	id := p.ClientID
	if x := c.changing[id]; x != nil {
		x.waiters = append(x.waiters, cl)
		cl.retry = p
		return
	}
	if err := c.outdated(cl); err != nil { // while it waited
		c.Refuse(cl, Refusal{Code: packet.ServerUnavailable, Text: err.Error()})
		return
	}
	var old *Session
	if id != "" {
		old = c.sessions[id]
	}
	if old != nil && !cl.owns(old) && !c.forfeited(old, cl) {
		c.Refuse(cl, Refusal{Code: packet.IdentifierRejected, Text: "the client id belongs to another user"})
		return
	}
	if err := c.admitSession(cl, p, old); err != nil {
		c.Refuse(cl, Refusal{Code: packet.ServerUnavailable, Text: err.Error()})
		return
	}
	behind := false // the will of another one, which must not come after what this one publishes
	if old != nil && old.client != nil {
		behind = old.client.will != nil
		c.end(old.client, errTakenOver)
		old = c.sessions[id] // a transient session has ended
	}
	discard := old // by a clean session [MQTT-3.1.2-6], or as forfeited
	s := &Session{id: id, user: cl.user.Name, account: cl.account, q: queue{rings: &c.rings}}
	if old != nil && cl.owns(old) && !p.CleanSession {
		s, discard = old, nil
	}
	if s != old && !p.CleanSession && id != "" {
		c.number++
		s.number = c.number
	}
	if id == "" {
		c.anonymous++
		s.id = fmt.Sprintf(anonymous+"%d", c.anonymous)
	}
	c.admitted(cl, p, s, discard, s == old, behind)
}

// admitted stores what the new connection of a session changes, and then answers CONNECT.
func (c *Core) admitted(cl *Client, p *packet.Connect, s, discard *Session, present, behind bool) {
	unowned := s.user == ""
	if unowned {
		c.assign(s, cl.user.Name)
	}
	stale := c.comeBack(s)
	gone := c.recheck(s)
	write := func(b *record.Batch) {
		if discard != nil {
			b.DeleteSession(discard.number)
		}
		if (!present || unowned) && s.number != 0 {
			b.PutSession(s.number, s.id, s.user)
		}
		for _, w := range stale {
			b.DeleteWill(w.key)
		}
		if cl.will != nil {
			cl.will.key, cl.will.client = record.WillKey(s.id, s.user), s.id
			b.PutWill(cl.will.key, cl.will.m)
		}
		for _, f := range gone {
			b.DeleteFilter(s.number, f)
		}
	}
	finish := func(err error) {
		if err != nil {
			c.putBack(stale)
			if s.inactive = s.inactive || len(gone) > 0; unowned {
				c.assign(s, "")
			}
			if !present && s.number != 0 {
				s.account.Give(budget.Sessions, 1)
			}
			cl.cancelWill()
			c.Refuse(cl, Refusal{Code: packet.ServerUnavailable, Text: err.Error()})
		} else {
			for _, f := range gone {
				c.drop(s, f)
			}
			for _, w := range stale {
				w.settle()
			}
			c.connected(cl, p, s, discard, present)
		}
		c.unblock(cl)
		c.next(s.id)
	}
	changes := discard != nil || unowned || !present && s.number != 0 || cl.will != nil || len(stale)+len(gone) > 0
	if !changes && !behind {
		finish(nil)
		return
	}
	c.changing[s.id] = &change{user: s.user}
	c.later(write, finish)
}

// connected answers CONNECT, and lets the messages flow. If the connection has ended meanwhile, the session stays, and
// the will is published.
func (c *Core) connected(cl *Client, p *packet.Connect, s, discard *Session, present bool) {
	if discard != nil {
		c.discard(discard)
	}
	c.sessions[s.id] = s
	if err := c.outdated(cl); cl.ended || err != nil {
		c.abandoned(cl, s, err)
		return
	}
	ack := packet.NewConnack()
	ack.SessionPresent = present && p.Version == packet.Version311 // [MQTT-3.2.2-2]; reserved in MQTT 3.1
	c.send(cl, ack)                                                // the first packet that the client gets [MQTT-3.2.0-1]
	c.entry(cl).Debugf("client connected")
	c.cannotFill(cl)
	c.attach(s, cl)
}

// abandoned ends a connection that has a session, but not for long enough to get CONNACK.
func (c *Core) abandoned(cl *Client, s *Session, err error) {
	c.endWill(cl, false)
	if s.number != 0 {
		s.away = c.now.UnixNano()
	} else {
		s.dead = true
		delete(c.sessions, s.id)
	}
	if !cl.ended {
		c.Refuse(cl, Refusal{Code: packet.ServerUnavailable, Text: err.Error()})
	}
}

// discard forgets a session that the store has deleted.
func (c *Core) discard(s *Session) {
	c.forgetLost(s)
	s.dead = true
	c.away.forget(s)
	for f := range s.subs {
		c.expel(s, f)
	}
	c.own(s, -1)
	if c.sessions[s.id] == s {
		delete(c.sessions, s.id)
	}
	s.q, s.inbound, s.subs, s.disk, s.marked = queue{}, nil, nil, 0, 0
}

// recheck compares the subscriptions of an existing session with what its user may do now: the configuration may have
// changed. It returns those that are no longer permitted, and makes the others active.
func (c *Core) recheck(s *Session) (gone []string) {
	for f, qos := range s.subs {
		if !c.permits(s, f) {
			gone = append(gone, f)
			c.expel(s, f)
		} else if s.inactive {
			c.enroll(s, f, qos, false)
		}
	}
	s.inactive = false
	return gone
}

// unblock lets a connection go on after a change is stored, or is not.
func (c *Core) unblock(cl *Client) {
	cl.blocked = false
	c.resume(cl)
	c.settled(cl)
}
