package store

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// Session is the stored part of a session.
type Session struct {
	Number   uint64
	Client   string
	User     string
	Filters  map[string]packet.QOS
	Acked    []byte      // as given to Batch.Acked; nil: never
	Received []packet.ID // of QoS 2 messages that are not released yet
	Oldest   uint64      // position of the oldest stored message; Tail: none
	Tail     uint64      // position after the newest stored message
	Bytes    int64       // of messages that wait, about: its share of those that other sessions need too
	Left     bool        // it is known for how long it has had no connection
	Idle     time.Duration
}

// Visitor receives the content of a store at start: sessions in any order, then retained messages, then wills, then the
// highest number that a session ever had. Messages that wait are left where they are: see Read. All functions must be
// set, except those for which the store has nothing.
type Visitor struct {
	Session  func(Session)
	Retained func(record.Message)
	Will     func(key string, m record.Message) // record.WillKey, or the client alone: an older hub stored it
	Number   func(highest uint64)
}

// Load gives the content to v, which must not call the store. Call it once, before Run and the first Write. It leaves
// out records that can't be decoded and logs their number.
func (s *Store) Load(v Visitor) error {
	s.database.Lock()
	defer s.database.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	damaged := 0
	sessions := map[uint64]*Session{}
	if err := s.each(kindSession, func(key, value []byte) {
		n, rest, ok := sessionOf(key)
		if !ok || s.index.sessions[n] == nil || !s.loadPart(sessions, n, rest, value) {
			damaged++
			s.index.changes.remove(key)
		}
	}); err != nil {
		return err
	}
	live := s.index.live(func(sum, n int64) int64 { return sum + n })
	for _, n := range slices.Sorted(maps.Keys(sessions)) {
		x := sessions[n]
		if at := s.index.sessions[n]; at != nil {
			x.Oldest, x.Tail, x.Bytes = at.oldest(), at.tail, at.bytes(live)
			if at.acked != nil {
				x.Acked = append([]byte{}, at.acked...)
			}
			v.Session(*x)
		}
	}
	text := func(kind byte, take func(text string, m record.Message)) error {
		return s.each(kind, func(key, value []byte) {
			m, err := record.DecodeMessage(value)
			if err != nil || m.Topic == "" {
				damaged++
				s.index.changes.remove(key)
				return
			}
			take(string(key[1:]), *m)
		})
	}
	if err := text(kindRetained, func(_ string, m record.Message) { v.Retained(m) }); err != nil {
		return err
	}
	if err := text(kindWill, func(key string, m record.Message) { v.Will(key, m) }); err != nil {
		return err
	}
	if v.Number != nil {
		v.Number(s.index.highest)
	}
	if damaged > 0 {
		s.log.WithField("records", damaged).Warnf("the state of store %s had damaged records, they were removed", s.o.Dir)
	}
	return nil
}

// loadPart brings a record of a session into sessions.
func (s *Store) loadPart(sessions map[uint64]*Session, n uint64, rest, value []byte) (ok bool) {
	x := sessions[n]
	if x == nil {
		x = &Session{Number: n, Filters: map[string]packet.QOS{}}
		sessions[n] = x
	}
	if len(rest) == 0 {
		var err error
		x.Client, x.User, err = decodeSession(value)
		return err == nil
	}
	switch rest[0] {
	case kindFilter:
		if len(value) != 1 || value[0] > 2 {
			return false
		}
		x.Filters[string(rest[1:])] = packet.QOS(value[0])
	case kindReceived:
		if len(rest) != 3 {
			return false
		}
		x.Received = append(x.Received, packet.ID(binary.BigEndian.Uint16(rest[1:])))
	case kindUsed:
		at, connected, err := decodeUsed(value)
		x.Left, x.Idle = err == nil && !connected, max(0, s.clock.now()-at)
		return err == nil
	}
	return true
}

// each calls f for each record of a kind, as it is after the changes that are not in the database yet.
func (s *Store) each(kind byte, f func(key, value []byte)) error {
	var added [][2][]byte // f may change the changes
	s.index.changes.each(func(key []byte, x *change) {
		if key[0] == kind && !x.removed {
			added = append(added, [2][]byte{key, x.value})
		}
	})
	it := s.db.NewIterator(util.BytesPrefix([]byte{kind}), nil)
	defer it.Release()
	for it.Next() {
		if !s.index.changes.hides(it.Key()) {
			f(it.Key(), it.Value())
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	for _, x := range added {
		f(x[0], x[1])
	}
	return nil
}

// stateIndex is what the state has of the index.
type stateIndex struct {
	common
	running  time.Duration
	segments map[uint64]*segment
	spans    []storedSpan // of each session in order
}

type storedSpan struct {
	session, segment uint64
	span
}

// readState reads what recover needs, and makes the sessions of the index.
func (s *Store) readState() (*stateIndex, error) {
	in := &stateIndex{segments: map[uint64]*segment{}}
	x := &s.index
	if err := s.each(kindCommon, func(_, value []byte) {
		if in.common.load(value) != nil {
			x.damaged++
			in.common = common{}
		}
	}); err != nil {
		return nil, err
	}
	if err := s.each(kindClock, func(_, value []byte) {
		v := record.Reader{Rest: value}
		in.running = time.Duration(v.Number())
	}); err != nil {
		return nil, err
	}
	if err := s.each(kindSegment, func(key, value []byte) {
		g := &segment{}
		if len(key) == 9 && g.load(value) == nil {
			g.number = binary.BigEndian.Uint64(key[1:])
			in.segments[g.number] = g
		}
	}); err != nil {
		return nil, err
	}
	// The record of a session comes before its parts. Parts without it are left over from a damaged state.
	err := s.each(kindSession, func(key, value []byte) {
		n, rest, ok := sessionOf(key)
		if ok && len(rest) == 0 {
			if _, _, err := decodeSession(value); err == nil {
				x.session(n)
				return
			}
		}
		owner := x.sessions[n]
		switch {
		case !ok || len(rest) == 0 || owner == nil:
			x.damaged++
			x.changes.remove(key)
		case rest[0] == kindAcked:
			if owner.load(value) != nil {
				x.damaged++
				owner.acked = nil
			}
		case rest[0] == kindSpan && len(rest) == 9:
			k := storedSpan{session: n, segment: binary.BigEndian.Uint64(rest[1:])}
			if k.span.load(value) == nil {
				in.spans = append(in.spans, k)
			}
		}
	})
	return in, err
}
