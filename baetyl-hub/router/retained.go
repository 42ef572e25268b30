package router

import (
	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// kept is a retained message.
type kept struct {
	packet.Message
	number  uint64 // unique and rising: tells two messages of one topic apart
	version uint64 // Route.version of its publication: subscriptions up to that version have got it as a live message
}

// found is a retained message for a new subscriber.
type found struct {
	Entry
	number uint64 // of the retained message
}

// retain keeps m as the retained message of its topic, or forgets that of the topic if m is empty.
func (r *Router) retain(m packet.Message, version uint64) {
	r.retainedMu.Lock()
	defer r.retainedMu.Unlock()
	if len(m.Payload) == 0 {
		r.retained.Delete(m.Topic) // [MQTT-3.3.1-10]
	} else {
		r.put(m, version)
	}
	r.stats.Retained.Store(int64(r.retained.Len()))
}

// put runs with r.retainedMu held.
func (r *Router) put(m packet.Message, version uint64) {
	r.retentions++
	*r.retained.Put(m.Topic) = kept{m, r.retentions, version}
}

// Announce publishes a statistic of the hub, below $SYS, and retains it in memory only.
func (r *Router) Announce(name string, payload []byte) {
	m := packet.Message{Topic: name, Payload: payload}
	rt := r.Route(name)
	r.retainedMu.Lock()
	r.put(m, rt.version)
	r.retainedMu.Unlock()
	if len(rt.subs) == 0 && len(rt.groups) == 0 {
		return
	}
	batch := NewBatch(r.batch.store)
	r.Publish(&Publication{Message: m, Route: rt}, &batch)
	batch.Flush()
}

// LoadRetained adds a retained message that the store has loaded, before the hub runs.
func (r *Router) LoadRetained(m packet.Message) { r.retain(m, 0) }

// SendRetained sends s the retained messages that match its new subscriptions. [MQTT-3.3.1-6] Each is sent once per
// SUBSCRIBE, with the highest QoS of the matching filters. Shared subscriptions get none, as in other brokers.
//
// since is the result of Subscribe. SendRetained returns when the messages are sent or queued. If messages of the same
// topics are published meanwhile, s misses none of them, gets none twice, and never gets an older one after a newer.
func (r *Router) SendRetained(s Subscriber, list []Subscription, since uint64) {
	// After this barrier, publications that were queued before it are retained. Those that are queued later are matched
	// again when they are written, and so s gets them: see Publication.Write.
	if !r.await(&barrier{done: make(chan struct{})}) {
		return
	}
	batch := NewBatch(r.batch.store)
	defer batch.Flush()
	var frame []byte
	var stored []found
	for _, e := range r.findRetained(list, since) {
		if e.QOS > 0 && s.Number() != 0 {
			stored = append(stored, e)
			continue
		}
		r.retainedMu.RLock() // a newer one is retained before it is delivered: e is sent before it, or not at all
		switch {
		case !r.current(e):
		case e.QOS == 0:
			frame = Encode(frame[:0], e.Message, 0, 0, false, true)
			s.SendNow(frame, 1, &batch)
		default:
			s.Enqueue(e.Entry, &batch)
		}
		r.retainedMu.RUnlock()
	}
	if len(stored) > 0 {
		batch.Flush()
		r.await(&redelivery{barrier: barrier{done: make(chan struct{})}, r: r, s: s, entries: stored})
	}
}

func (r *Router) findRetained(list []Subscription, since uint64) (all []found) {
	at := map[string]int{}
	r.retainedMu.RLock()
	defer r.retainedMu.RUnlock()
	for _, x := range list {
		r.retained.Select(x.Filter, func(m *kept) bool {
			if m.version >= since {
				return true // s gets it as a live message
			}
			qos := min(m.QOS, x.QOS)
			if i, ok := at[m.Topic]; ok {
				all[i].QOS = max(all[i].QOS, qos)
				return true
			}
			at[m.Topic] = len(all)
			message := &packet.Message{Topic: m.Topic, Payload: m.Payload, QOS: m.QOS}
			all = append(all, found{Entry{Message: message, QOS: qos, Retained: true}, m.number})
			return true
		})
	}
	return all
}

// current tells whether x is still the retained message of its topic. It runs with r.retainedMu held.
func (r *Router) current(x found) bool {
	now := r.retained.Get(x.Message.Topic)
	return now != nil && now.number == x.number
}

// await queues an op and waits until the store has committed it. It returns false if the store is closed.
func (r *Router) await(op interface {
	store.Op
	wait()
}) bool {
	if !r.batch.store.Append(op) {
		return false
	}
	op.wait()
	return true
}

// barrier is an op that changes nothing. When it is committed, all ops before it are.
type barrier struct{ done chan struct{} }

func (b *barrier) wait() { <-b.done }

// Write implements store.Op.
func (b *barrier) Write(*store.Tx) error { return nil }

// Committed implements store.Op.
func (b *barrier) Committed(error) { close(b.done) }

// redelivery stores retained messages for one session, so that they are sent until they are acknowledged.
type redelivery struct {
	barrier
	r       *Router
	s       Subscriber
	entries []found
}

// Write implements store.Op.
func (d *redelivery) Write(tx *store.Tx) error {
	size := 0
	for _, e := range d.entries {
		size += len(e.Message.Payload) + len(e.Message.Topic) + 32
	}
	if err := tx.Room(size); err != nil {
		return err
	}
	for i := range d.entries {
		e := &d.entries[i]
		var ok bool
		if e.Position, ok = d.s.Reserve(); !ok {
			continue
		}
		e.Seq = tx.PutMessage(e.Message,
			[]store.Target{{Session: d.s.Number(), Position: e.Position, QOS: e.QOS, Retained: true}})
	}
	return nil
}

// Committed implements store.Op.
func (d *redelivery) Committed(err error) {
	defer close(d.done)
	for _, e := range d.entries {
		if e.Seq == 0 {
			continue // not stored
		}
		d.r.retainedMu.RLock()
		current := d.r.current(e)
		d.r.retainedMu.RUnlock()
		switch {
		case err != nil:
			e.Message, e.Seq = nil, 0
		case !current:
			e.Message = nil // s gets a newer one that is stored in the same batch
		}
		d.s.Enqueue(e.Entry, &d.r.batch)
	}
}
