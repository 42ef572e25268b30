package core

import (
	"errors"
	"fmt"
	"strings"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/topic"
)

// What the methods of this file return, or give to done, when they do nothing.
var (
	ErrNotFound = errors.New("there is none")
	ErrChanging = errors.New("it is being changed; try again")
	ErrInvalid  = errors.New("not valid")
)

var errKicked = errors.New("closed through the admin interface")

// Kick closes the connection of a client, for a reason that the log has: "" for none. Its will is published.
func (c *Core) Kick(id, reason string) error {
	s := c.sessions[id]
	if s == nil || s.client == nil {
		return fmt.Errorf("client %q is not connected: %w", id, ErrNotFound)
	}
	c.kick(s, reason)
	return nil
}

func (c *Core) kick(s *Session, reason string) {
	err := errKicked
	if reason != "" {
		err = fmt.Errorf("%w: %q", errKicked, reason)
	}
	c.end(s.client, err)
}

// DeleteSession kicks the client of a session, and removes the session with all that waits for it. done is called when
// that is stored, or could not be.
func (c *Core) DeleteSession(id string, done func(error)) {
	s := c.sessions[id]
	_, busy := c.changing[id]
	switch {
	case busy:
		done(fmt.Errorf("session %q: %w", id, ErrChanging))
		return
	case s == nil:
		done(fmt.Errorf("there is no session of a client %q: %w", id, ErrNotFound))
		return
	case s.client != nil:
		c.kick(s, "session deleted")
	}
	if s.dead { // it was transient
		done(nil)
		return
	}
	c.changing[id] = &change{user: s.user}
	c.later(func(b *record.Batch) { b.DeleteSession(s.number) }, func(err error) {
		if err == nil {
			c.discard(s)
		}
		c.next(id)
		done(err)
	})
}

// DeleteRetained removes the retained messages of topics. Subscribers are told nothing. done is called when that is
// stored, with how many there were.
func (c *Core) DeleteRetained(names []string, done func(n int, err error)) {
	n := 0
	for _, name := range names {
		if c.retained.Get(name) == nil || strings.HasPrefix(name, topic.SysPrefix) {
			continue
		}
		n++
		c.submit(c.publication(&record.Message{Topic: name, Retain: true}, &Route{version: c.version, topic: name}), true)
	}
	c.later(nil, func(err error) { done(n, err) })
}

// Publish publishes a message of the hub's owner. done is called when it is stored and delivered, or could not be.
func (c *Core) Publish(m *record.Message, done func(error)) {
	if err := c.o.Topic.CheckName(m.Topic); err != nil {
		done(fmt.Errorf("%w: %w", ErrInvalid, err))
		return
	}
	if size := len(m.Topic) + len(m.Payload) + publishOverhead; size > c.o.PacketMax {
		done(fmt.Errorf("%w: the packet would have up to %d bytes, more than %d (message.length.max)", ErrInvalid, size,
			c.o.PacketMax))
		return
	}
	x := c.publication(m, c.match(m.Topic, 0))
	x.done = done
	c.submit(x, false)
}

// publishOverhead is what a PUBLISH packet has besides topic and payload, at most: its head, the length of the topic
// and the packet id.
const publishOverhead = 5 + 2 + 2
