package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/router"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/baetyl-hub/topic"
	"github.com/baetyl/baetyl/utils/log"
)

// connect handles the first packet: it takes the session and answers CONNACK, or refuses.
func (c *client) connect() error {
	_ = c.conn.SetReadDeadline(time.Now().Add(c.g.o.ConnectTimeout))
	var frame []byte
	for frame == nil {
		if err := c.in.read(); err != nil {
			return fmt.Errorf("wait for CONNECT: %w", err)
		}
		var err error
		if frame, err = c.in.buffered(); err != nil {
			return err
		}
	}
	p, err := decodeConnect(frame)
	present := false
	if err == nil {
		c.log = c.log.WithField(log.KeyClient, p.ClientID)
		present, err = c.admit(p)
	}
	if fault := new(connectFault); errors.As(err, fault) {
		ack := packet.NewConnack()
		ack.ReturnCode = fault.code // session present is 0 with any error [MQTT-3.2.2-4]
		c.send(ack, &c.batch)
	}
	if err != nil {
		return fmt.Errorf("refuse CONNECT: %w", err)
	}
	_ = c.conn.SetReadDeadline(time.Time{})
	if p.KeepAlive > 0 {
		c.keepAlive = time.Duration(p.KeepAlive) * time.Second * 3 / 2
	}
	ack := packet.NewConnack()
	ack.SessionPresent = present && p.Version == packet.Version311 // [MQTT-3.2.2-2]; reserved in MQTT 3.1
	c.send(ack, &c.batch)                                          // the first packet that the client gets [MQTT-3.2.0-1]
	c.s.attach(c, &c.batch)
	c.log.Debugf("client connected")
	return nil
}

// admit checks user and permissions, and gives the client its session.
func (c *client) admit(p *packet.Connect) (present bool, err error) {
	user, err := c.g.users.Load().Login(p.Username, p.Password, c.cert)
	if err != nil {
		c.g.stats.Refused.Add(1)
		return false, connectFault{packet.BadUsernameOrPassword, err.Error()}
	}
	if !user.MayAnything() {
		return false, connectFault{packet.NotAuthorized, "the user has no permissions"}
	}
	if !c.g.o.clientID(p.ClientID) {
		return false, connectFault{
			packet.IdentifierRejected,
			"the client id is too long or has characters other than 0-9 A-Z a-z _ -",
		}
	}
	if p.Will != nil {
		if err := c.g.o.Topic.CheckName(p.Will.Topic); err != nil {
			return false, connectFault{packet.NotAuthorized, "will: " + err.Error()}
		}
		if !user.MayPublish(p.Will.Topic) {
			return false, connectFault{packet.NotAuthorized, "will topic is not permitted"}
		}
	}
	c.user, c.will = user, p.Will
	c.admitted.Store(user)
	if !user.Equal(c.g.users.Load().User(user.Name)) { // reloaded meanwhile
		return false, connectFault{packet.ServerUnavailable, "the configuration was reloaded meanwhile; connect again"}
	}
	c.unstored = make(chan struct{}, c.g.o.Ingress)
	s, present, err := c.g.take(c, p.ClientID, p.CleanSession)
	if err != nil {
		return false, err
	}
	c.s = s
	fresh := !present && s.number != 0
	err = c.g.commit(func(tx *store.Tx) error {
		if fresh {
			tx.PutSession(s.number, s.id, s.user)
		}
		if c.will != nil {
			tx.PutWill(s.id, c.will)
		} else if c.staleWill {
			tx.DeleteWill(s.id)
		}
		return nil
	}, fresh || c.will != nil || c.staleWill)
	if err == nil && present {
		err = c.g.recheck(s, user)
	}
	if err != nil {
		c.will = nil
		if fresh {
			s.number = 0 // the store does not have it: it ends with this connection
		}
		return false, connectFault{packet.ServerUnavailable, err.Error()}
	}
	return present, nil
}

// attach starts delivery to the connection. Messages that were in flight on an earlier connection are sent first.
func (s *Session) attach(c *client, batch *router.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.q.rewind()
	s.online.Store(c)
	if s.q.has(received) {
		s.save(batch) // the store failed to write it
	}
	s.pump(batch)
}

// recheck compares the subscriptions of an existing session with what its user may do now: the configuration may have
// changed. It removes those that are no longer permitted and makes the others active.
func (g *Registry) recheck(s *Session, user *auth.User) error {
	var keep []router.Subscription
	var gone []string
	s.mu.Lock()
	for f, qos := range s.subs {
		_, filter, _, _ := topic.Share(f)
		if user.MaySubscribe(filter) {
			keep = append(keep, router.Subscription{Filter: f, QOS: qos})
		} else {
			gone = append(gone, f)
		}
	}
	inactive := s.inactive
	s.inactive = false
	s.mu.Unlock()
	if inactive {
		g.router.Subscribe(s, keep, func() {})
	}
	if len(gone) == 0 {
		return nil
	}
	return g.remove(s, gone)
}

// endWill publishes the client's will, or deletes it after DISCONNECT [MQTT-3.1.2-10]. When the hub stops, the will
// stays in the store: RunWills publishes it after the next start if the client does not connect again in time.
func (c *client) endWill(disconnected bool) {
	if c.will == nil {
		return
	}
	if disconnected {
		_ = c.g.commit(func(tx *store.Tx) error { tx.DeleteWill(c.s.id); return nil }, true)
		return
	}
	if c.g.stopping() {
		return
	}
	c.g.publishWill(c.s.id, *c.will)
}

func (g *Registry) publishWill(id string, will packet.Message) {
	batch := router.NewBatch(g.store)
	p := &router.Publication{Message: will, Route: g.router.Route(will.Topic), Will: id}
	g.router.Publish(p, &batch) // [MQTT-3.1.2-8]
	batch.Flush()
}
