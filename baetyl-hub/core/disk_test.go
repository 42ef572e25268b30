package core_test

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// disk is a store in memory: what the records of the batches say.
type disk struct {
	sessions map[uint64]*stored
	retained map[string]record.Message
	wills    map[string]record.Message
	highest  uint64
}

type stored struct {
	core.StoredSession
	received map[packet.ID]bool
	entries  map[uint64]record.Entry
}

func newDisk() *disk {
	return &disk{
		sessions: map[uint64]*stored{}, retained: map[string]record.Message{}, wills: map[string]record.Message{},
	}
}

// apply does what a batch says. What it says of a session that is gone is ignored.
func (d *disk) apply(t testing.TB, data []byte) {
	t.Helper()
	for len(data) > 0 {
		kind, body, rest, err := record.Next(data)
		require.NoError(t, err)
		require.NoError(t, d.one(kind, body))
		data = rest
	}
}

func (d *disk) session(number uint64) *stored {
	if s := d.sessions[number]; s != nil {
		return s
	}
	return &stored{
		StoredSession: core.StoredSession{Number: number, Filters: map[string]packet.QOS{}},
		received:      map[packet.ID]bool{}, entries: map[uint64]record.Entry{},
	}
}

func (d *disk) one(kind record.Kind, body []byte) error {
	switch kind {
	case record.KindPublish:
		return d.publish(body)
	case record.KindAcked:
		number, head, state, err := record.DecodeAcked(body)
		s := d.session(number)
		s.Acked = slices.Clone(state)
		maps.DeleteFunc(s.entries, func(p uint64, _ record.Entry) bool { return p < head })
		return err
	case record.KindPutSession:
		number, client, user, err := record.DecodePutSession(body)
		s := d.session(number)
		s.Client, s.User = client, user
		d.sessions[number], d.highest = s, max(d.highest, number)
		return err
	case record.KindDeleteSession:
		number, err := record.DecodeDeleteSession(body)
		delete(d.sessions, number)
		return err
	case record.KindUsed:
		number, connected, err := record.DecodeUsed(body)
		d.session(number).Left = !connected
		return err
	case record.KindPutFilter:
		number, filter, qos, err := record.DecodePutFilter(body)
		d.session(number).Filters[string(filter)] = qos
		return err
	case record.KindDeleteFilter:
		number, filter, err := record.DecodeDeleteFilter(body)
		delete(d.session(number).Filters, string(filter))
		return err
	case record.KindDeleteReceived:
		number, id, err := record.DecodeDeleteReceived(body)
		delete(d.session(number).received, id)
		return err
	case record.KindPutWill:
		client, m, err := record.DecodePutWill(body)
		if err != nil {
			return err
		}
		x, err := record.DecodeMessage(m)
		d.wills[string(client)] = *x
		return err
	case record.KindDeleteWill:
		client, err := record.DecodeDeleteWill(body)
		delete(d.wills, string(client))
		return err
	}
	return record.ErrDamaged
}

func (d *disk) publish(body []byte) error {
	p, err := record.DecodePublish(body)
	if err != nil {
		return err
	}
	m, err := p.Message()
	if err != nil {
		return err
	}
	for targets := p.Targets(); ; {
		x, ok := targets.Next()
		if !ok {
			break
		}
		s := d.session(x.Session)
		s.entries[x.Position] = record.Entry{Position: x.Position, QOS: x.QOS, Retained: x.Retained, Message: m}
		s.Tail = x.Position + 1
	}
	if p.Retain && len(m.Payload) == 0 {
		delete(d.retained, m.Topic)
	} else if p.Retain {
		d.retained[m.Topic] = *m
	}
	if p.Receiver != 0 {
		d.session(p.Receiver).received[p.ID] = true
	}
	delete(d.wills, string(p.Will))
	return nil
}

func (d *disk) load(c *core.Core) {
	for _, number := range slices.Sorted(maps.Keys(d.sessions)) {
		s := d.sessions[number]
		x := s.StoredSession
		x.Filters, x.Acked = maps.Clone(x.Filters), slices.Clone(x.Acked)
		x.Received = slices.Sorted(maps.Keys(s.received))
		c.LoadSession(x)
	}
	for _, m := range d.retained {
		c.LoadRetained(m)
	}
	for client, m := range d.wills {
		c.LoadWill(client, m)
	}
	c.LoadNumber(d.highest)
	c.Loaded()
}

// read behaves as store.Read: next is not behind the newest stored message.
func (d *disk) read(number, from uint64, n int) (list []record.Entry, next uint64) {
	s := d.session(number)
	next = max(from, s.Tail)
	for _, p := range slices.Sorted(maps.Keys(s.entries)) {
		if p < from {
			continue
		}
		if len(list) == n {
			return list, list[n-1].Position + 1
		}
		list = append(list, s.entries[p])
	}
	return list, next
}

// number returns the session of a client; 0: none.
func (d *disk) number(client string) uint64 {
	for number, s := range d.sessions {
		if s.Client == client {
			return number
		}
	}
	return 0
}

// expire removes messages of a client's session, from one position to before another.
func (d *disk) expire(client string, from, to uint64) {
	s := d.sessions[d.number(client)]
	maps.DeleteFunc(s.entries, func(p uint64, _ record.Entry) bool { return p >= from && p < to })
}

// head is the position that the session's cursor is at.
func (d *disk) head(client string) uint64 {
	n, _ := binary.Uvarint(d.sessions[d.number(client)].Acked)
	return n
}

// age makes the messages of a client's session older.
func (d *disk) age(client string, by time.Duration) {
	s := d.sessions[d.number(client)]
	for p, e := range s.entries {
		e.Age += by
		s.entries[p] = e
	}
}
