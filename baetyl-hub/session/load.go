package session

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/router"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/baetyl-hub/topic"
	"github.com/baetyl/baetyl/utils/log"
)

// loader rebuilds the sessions from the store, before the hub runs.
type loader struct {
	g      *Registry
	number map[uint64]*Session
	acked  map[uint64]acked
}

// Visitor returns the functions with which store.Load fills the registry and its router. Call finish after Load, and
// serve connections after that.
func (g *Registry) Visitor() (v store.Visitor, finish func()) {
	l := &loader{g: g, number: map[uint64]*Session{}, acked: map[uint64]acked{}}
	return store.Visitor{
		Session:  l.session,
		Retained: g.router.LoadRetained,
		Will:     l.will,
		Message:  l.message,
	}, l.finish
}

func (l *loader) session(x store.Session) {
	g := l.g
	s := &Session{g: g, id: x.Client, user: x.User, number: x.Number, subs: x.Filters, inbound: map[packet.ID]*inbound{}}
	for _, id := range x.Received {
		s.inbound[id] = &inbound{state: stored}
	}
	a, err := decodeAcked(x.Acked)
	if x.Acked != nil && err != nil {
		g.o.Log.WithField(log.KeyClient, x.Client).WithError(err).
			Warnf("acknowledgements of the session are damaged, sending all its stored messages again")
	}
	if err == nil {
		s.q = queue{head: a.head, next: a.head, high: a.head, tail: a.head}
	}
	l.acked[s.number], l.number[s.number] = a, s
	g.sessions[s.id] = s
	g.number = max(g.number, s.number)
	l.activate(s)
}

// will adds the will of a client that was connected when the hub ended last time. New clients without id get higher
// keys than the old ones, so that they do not delete each other's wills.
func (l *loader) will(client string, will packet.Message) {
	l.g.wills[client] = will
	if n, err := strconv.ParseUint(strings.TrimPrefix(client, "$"), 10, 64); err == nil && strings.HasPrefix(client, "$") {
		l.g.anonymous = max(l.g.anonymous, n)
	}
}

// activate adds the subscriptions of a session to the router if its user may still have all of them. Otherwise they
// stay inactive until the client connects: see recheck.
func (l *loader) activate(s *Session) {
	user := l.g.users.Load().User(s.user)
	list := make([]router.Subscription, 0, len(s.subs))
	for f, qos := range s.subs {
		if _, filter, _, _ := topic.Share(f); user == nil || !user.MaySubscribe(filter) {
			s.inactive = true
			return
		}
		list = append(list, router.Subscription{Filter: f, QOS: qos})
	}
	l.g.router.Subscribe(s, list, func() {})
}

// message appends a stored message to the queues of the sessions that still need it. Messages come in order of their
// numbers, and so in order of the positions of each session.
func (l *loader) message(seq uint64, rec *store.Record) (needed int) {
	for _, t := range rec.Targets {
		s := l.number[t.Session]
		if s == nil || t.Position < s.q.tail {
			continue
		}
		if _, gone := l.acked[t.Session].done[t.Position]; gone {
			continue
		}
		l.fill(s, t.Position)
		s.q.push(entry{
			seq: seq, qos: t.QOS, retained: t.Retained,
			dup: s.q.len() < l.g.o.Window, // these may have been sent before the hub ended
		})
		needed++
	}
	return needed
}

// fill appends entries for positions whose message is gone: done, or with a PUBREL to be sent.
func (l *loader) fill(s *Session, until uint64) {
	for p := s.q.tail; p < until; p++ {
		e := entry{state: done}
		if l.acked[s.number].done[p] {
			e = entry{qos: 2, state: released}
		}
		s.q.push(e)
	}
}

// finish completes the queues with the positions behind the last stored message.
func (l *loader) finish() {
	for number, s := range l.number {
		l.fill(s, l.acked[number].furthest)
		s.q.high = max(s.q.high, l.acked[number].furthest)
		s.q.trim()
		s.reserve = s.q.tail
	}
}

// RunWills publishes the wills of clients that were connected when the hub ended last time and have not connected again
// within Options.WillDelay. It returns when ctx ends.
func (g *Registry) RunWills(ctx context.Context) error {
	t := time.NewTimer(g.o.WillDelay)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-t.C:
	}
	g.mu.Lock()
	wills := g.wills
	g.wills = map[string]packet.Message{}
	g.mu.Unlock()
	for id, will := range wills {
		g.publishWill(id, will)
	}
	<-ctx.Done()
	return nil
}
