package session

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/router"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/utils/log"
)

// Session is what the hub keeps for a client: its subscriptions, the messages that wait for it, and the exchanges that
// are not complete. A transient session ends with its connection; a durable one ends when a clean session replaces it.
type Session struct {
	g      *Registry
	id     string // client id, or a made-up key for a client without one
	user   string
	number uint64 // 0: transient

	holder  *client                // connection that owns the session; guarded by g.mu
	online  atomic.Pointer[client] // connection that messages go to, set after CONNACK
	reserve uint64                 // next position; touched by the store's goroutine only, after loading

	mu       sync.Mutex // guards the fields below
	subs     map[string]packet.QOS
	inactive bool                   // some of subs are not in the router: see recheck
	inbound  map[packet.ID]*inbound // QoS 2 exchanges that the client began
	q        queue
	loading  bool     // prefetch is reading messages from the store
	timed    bool     // the retry timer runs
	dead     bool     // discarded: nothing is kept for it any more
	dirty    bool     // the session is an op in the store's queue
	freed    []uint64 // stored messages that it no longer needs; the store does not know yet
	writing  []uint64 // the same, in the batch that the store is writing
	recorded []uint64 // positions whose PUBREC is in the batch that is being written
}

// Number implements router.Subscriber.
func (s *Session) Number() uint64 { return s.number }

// Reserve implements router.Subscriber.
func (s *Session) Reserve() (position uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return 0, false
	}
	if s.reserve-s.q.head >= uint64(s.g.o.QueueMax) {
		s.g.stats.QueueFull.Add(1)
		return 0, false
	}
	s.reserve++
	return s.reserve - 1, true
}

// SendNow implements router.Subscriber.
func (s *Session) SendNow(frames []byte, n int, batch *router.Batch) router.Congested {
	c := s.online.Load()
	if c == nil {
		return nil
	}
	s.g.stats.Passed.Add(uint64(n))
	if c.out.sendQOS0(frames, n, batch) {
		return &c.out
	}
	return nil
}

// Enqueue implements router.Subscriber.
func (s *Session) Enqueue(e router.Entry, batch *router.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		s.free(e.Seq, batch)
		return
	}
	x := entryOf(e)
	if s.number == 0 {
		if s.online.Load() == nil {
			return
		}
		if s.q.len() >= s.g.o.QueueMax {
			s.g.stats.QueueFull.Add(1)
			return
		}
	} else {
		s.q.skip(e.Position)
		switch {
		case e.Message == nil:
			s.free(e.Seq, batch)
			x = entry{state: done}
		case s.q.len() >= 2*s.g.o.Window:
			x.message = nil // it is on disk: what waits long need not fill the memory
		}
	}
	s.q.push(x)
	s.q.trim()
	s.pump(batch)
}

// pump sends what the window has room for. It runs with s.mu held.
func (s *Session) pump(batch *router.Batch) {
	c := s.online.Load()
	if c == nil {
		return
	}
	for {
		e, position, ok := s.q.sendable(s.g.o.Window)
		if !ok {
			break
		}
		switch e.state {
		case waiting:
			if e.message == nil {
				s.prefetch()
				return
			}
			s.publish(c, e, position, batch)
		case released:
			c.sendID(packet.PUBREL, packetID(position), batch)
		}
		s.q.advance()
	}
	s.prefetch()
	s.watch()
}

func (s *Session) publish(c *client, e *entry, position uint64, batch *router.Batch) {
	c.out.send(batch, func(b []byte) []byte {
		return router.Encode(b, e.message, e.qos, packetID(position), e.dup, e.retained)
	})
	e.state, e.sent, e.dup = sent, seconds(), true
	s.g.stats.Sent.Add(1)
}

// prefetch starts a goroutine that reads messages from the store before pump needs them. It runs with s.mu held.
func (s *Session) prefetch() {
	if s.loading {
		return
	}
	from, to := s.q.next, min(s.q.tail, s.q.next+uint64(2*s.g.o.FetchMax))
	for from < to && !s.q.at(from).missing() {
		from++
	}
	if from >= s.q.next+uint64(s.g.o.FetchMax) || from == to {
		return // enough for now, or nothing is missing
	}
	positions, seqs := make([]uint64, 0, s.g.o.FetchMax), make([]uint64, 0, s.g.o.FetchMax)
	for p := from; p < to && len(seqs) < s.g.o.FetchMax; p++ {
		if e := s.q.at(p); e.missing() {
			positions, seqs = append(positions, p), append(seqs, e.seq)
		}
	}
	s.loading = true
	s.g.tasks.Go(func() {
		found, failed := s.g.store.Messages(seqs)
		batch := router.NewBatch(s.g.store)
		s.mu.Lock()
		s.loading = false
		for i, m := range found {
			if positions[i] < s.q.head || positions[i] >= s.q.tail {
				continue // the session was replaced meanwhile
			}
			e := s.q.at(positions[i])
			switch {
			case e.seq != seqs[i] || e.state != waiting:
			case m == nil: // expired
				s.g.stats.Expired.Add(1)
				s.free(s.q.finish(positions[i]), &batch)
			default:
				e.message = m
			}
		}
		if failed == nil {
			s.pump(&batch)
		} else { // most likely the store is being reopened
			s.g.o.Log.WithField(log.KeyClient, s.id).WithError(failed).Warnf("read queued messages failed, trying again in 1s")
			time.AfterFunc(time.Second, s.resume)
		}
		s.mu.Unlock()
		batch.Flush()
	})
}

// resume continues with the queue after its messages could not be read.
func (s *Session) resume() {
	batch := router.NewBatch(s.g.store)
	defer batch.Flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pump(&batch)
}

// watch starts the retry timer if messages are in flight. It runs with s.mu held.
func (s *Session) watch() {
	if s.timed || s.q.inFlight == 0 || s.g.o.Retry <= 0 {
		return
	}
	s.timed = true
	time.AfterFunc(s.g.o.Retry, s.repeat)
}

// repeat sends again each message, and each PUBREL, that has waited for Options.Retry.
func (s *Session) repeat() {
	batch := router.NewBatch(s.g.store)
	defer batch.Flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timed = false
	c := s.online.Load()
	if c == nil {
		return
	}
	old := seconds() - uint32(s.g.o.Retry/time.Second)
	for p := s.q.head; p < s.q.next; p++ {
		if e := s.q.at(p); e.state == sent && e.sent <= old && e.message != nil {
			s.publish(c, e, p, &batch)
			s.g.stats.Repeated.Add(1)
		} else if e.state == released && e.sent <= old {
			c.sendID(packet.PUBREL, packetID(p), &batch)
			e.sent = seconds()
		} else if e.state == received {
			s.save(&batch) // the store failed to write it
		}
	}
	s.watch()
}

// acknowledge handles PUBACK, PUBREC and PUBCOMP of the client.
func (s *Session) acknowledge(kind packet.Type, id packet.ID, c *client, batch *router.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	position, ok := s.q.find(id)
	var e *entry
	if ok {
		e = s.q.at(position)
	}
	switch {
	case kind == packet.PUBACK && ok && e.qos == 1 && e.state == sent,
		kind == packet.PUBCOMP && ok && e.state == released:
		s.free(s.q.finish(position), batch)
		s.save(batch)
		s.pump(batch)
	case kind == packet.PUBREC && ok && e.qos == 2 && e.state == sent:
		// The client has the message; only its id has to be released. The PUBREC must be stored first: after PUBREL the
		// client forgets the id, and would take a PUBLISH that a restarted hub repeats for a new one. [MQTT-4.3.3-1]
		s.free(e.seq, batch)
		*e = entry{qos: 2, state: received, sent: seconds()}
		if s.number == 0 {
			e.state = released
			c.sendID(packet.PUBREL, id, batch)
		}
		s.save(batch)
	case kind == packet.PUBREC && (!ok || e.state == released || e.state == done):
		c.sendID(packet.PUBREL, id, batch) // repeated, or from a session that the hub has discarded
	}
}

// free records that the session no longer needs a stored message. It runs with s.mu held.
func (s *Session) free(seq uint64, batch *router.Batch) {
	if seq == 0 {
		return
	}
	s.freed = append(s.freed, seq)
	s.save(batch)
}

// save queues the session's progress for the store. It runs with s.mu held.
func (s *Session) save(batch *router.Batch) {
	if s.number != 0 && !s.dirty {
		s.dirty = true
		batch.Later(s)
	}
}

// Write implements store.Op. It writes the session's progress since the last time.
func (s *Session) Write(tx *store.Tx) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing, s.freed = append(s.writing[:0], s.freed...), s.freed[:0]
	for _, seq := range s.writing {
		tx.Release(seq)
	}
	s.recorded = s.recorded[:0]
	if s.dead {
		return nil
	}
	for p := s.q.head; p < s.q.high; p++ {
		if s.q.at(p).state == received {
			s.recorded = append(s.recorded, p)
			tx.Sync()
		}
	}
	tx.PutAcked(s.number, s.q.encodeAcked(nil))
	return nil
}

// Committed implements store.Op.
func (s *Session) Committed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = false
	freed, recorded := s.writing, s.recorded // empty if Write was not called
	s.writing, s.recorded = s.writing[:0], s.recorded[:0]
	c := s.online.Load()
	if err != nil {
		// Written again with the next progress; until then the messages stay in the store.
		s.freed = append(s.freed, freed...)
		if c != nil && s.q.has(received) {
			c.kick() // the PUBREC is not stored, so no PUBREL may be sent; attach tries again
		}
		return
	}
	more := len(s.freed) > 0
	for _, p := range recorded {
		if p < s.q.head || p >= s.q.tail || s.q.at(p).state != received { // complete, or the session was replaced
			continue
		}
		s.q.at(p).state = released
		if c != nil {
			c.sendID(packet.PUBREL, packetID(p), s.g.batch)
		}
	}
	if more || s.q.has(received) {
		s.save(s.g.batch)
	}
}
