package router

import (
	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// retain keeps m as the retained message of its topic, or forgets that of the topic if m is empty.
func (r *Router) retain(m packet.Message) {
	r.retainedMu.Lock()
	defer r.retainedMu.Unlock()
	if len(m.Payload) == 0 {
		r.retained.Delete(m.Topic) // [MQTT-3.3.1-10]
	} else {
		*r.retained.Put(m.Topic) = m
	}
	r.stats.Retained.Store(int64(r.retained.Len()))
}

// Announce publishes a message of the hub itself, below $SYS: retained, in memory only.
func (r *Router) Announce(name string, payload []byte) {
	m := packet.Message{Topic: name, Payload: payload}
	r.retainedMu.Lock()
	*r.retained.Put(name) = m
	r.retainedMu.Unlock()
	rt := r.Route(name)
	if len(rt.subs) == 0 && len(rt.groups) == 0 {
		return
	}
	w := NewWaker(r.waker.store)
	r.Publish(&Publication{Message: m, Route: rt}, &w)
	w.Flush()
}

// LoadRetained takes over a retained message from the store, at start.
func (r *Router) LoadRetained(m packet.Message) { r.retain(m) }

// SendRetained gives s the retained messages that match the subscriptions which it just made. [MQTT-3.3.1-6] Each goes once
// per SUBSCRIBE, at the highest quality that a matching filter has. Shared subscriptions get none, as usual.
func (r *Router) SendRetained(s Subscriber, list []Subscription, w *Waker) {
	var found []Entry
	at := map[string]int{}
	r.retainedMu.RLock()
	for _, x := range list {
		r.retained.Select(x.Filter, func(m *packet.Message) bool {
			qos := min(m.QOS, x.QOS)
			if i, ok := at[m.Topic]; ok {
				found[i].QOS = max(found[i].QOS, qos)
				return true
			}
			at[m.Topic] = len(found)
			found = append(found, Entry{Message: &packet.Message{Topic: m.Topic, Payload: m.Payload, QOS: m.QOS}, QOS: qos, Retained: true})
			return true
		})
	}
	r.retainedMu.RUnlock()
	var frame []byte
	var stored []Entry
	for _, e := range found {
		switch {
		case e.QOS == 0:
			frame = Encode(frame[:0], e.Message, 0, 0, false, true)
			s.SendNow(frame, 1, w)
		case s.Number() == 0:
			s.Enqueue(e, w)
		default:
			stored = append(stored, e)
		}
	}
	if len(stored) > 0 {
		w.Later(&redelivery{r: r, s: s, entries: stored})
	}
}

// redelivery stores retained messages for one session, so that they are repeated until they are acknowledged.
type redelivery struct {
	r       *Router
	s       Subscriber
	entries []Entry
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
		e.Position = d.s.Reserve()
		e.Seq = tx.PutMessage(e.Message, []store.Target{{Session: d.s.Number(), Position: e.Position, QOS: e.QOS, Retained: true}})
	}
	return nil
}

// Committed implements store.Op.
func (d *redelivery) Committed(err error) {
	for _, e := range d.entries {
		if err != nil {
			if e.Seq == 0 {
				return // refused before anything was reserved
			}
			e.Message = nil
		}
		d.s.Enqueue(e, &d.r.waker)
	}
}
