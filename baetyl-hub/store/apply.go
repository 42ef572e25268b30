package store

import (
	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// apply brings the records of a frame into the index: when it is written, and when the log is read at start. It tells
// whether there is now something to remove.
func (x *index) apply(g *segment, f frame) (freed bool) {
	if g.oldest == 0 {
		g.oldest = f.stored
	}
	g.newest, g.end, g.dirty = f.stored, f.next, true
	x.applied = place{g.number, g.mark, f.next}
	for data := f.data; len(data) > 0; {
		kind, body, rest, err := record.Next(data)
		if err == nil {
			var more bool
			more, err = x.record(g, f.at, kind, body)
			freed = freed || more
		}
		if err != nil {
			x.damaged++
			if rest == nil {
				return freed
			}
		}
		data = rest
	}
	return freed
}

func (x *index) record(g *segment, at int64, kind record.Kind, body []byte) (freed bool, err error) {
	switch kind {
	case record.KindPublish:
		return false, x.publish(g, at, body)
	case record.KindAcked:
		number, head, state, err := record.DecodeAcked(body)
		if s := x.sessions[number]; err == nil && s != nil {
			s.acked = append(s.acked[:0], state...)
			freed = x.acknowledge(s, head)
		}
		return freed, err
	case record.KindPutSession:
		number, client, user, err := record.DecodePutSession(body)
		if err == nil {
			x.session(number)
			x.changes.put(keySession(number), sessionValue(client, user))
		}
		return false, err
	case record.KindDeleteSession:
		number, err := record.DecodeDeleteSession(body)
		if err == nil {
			x.discard(number)
		}
		return true, err
	case record.KindUsed:
		number, connected, err := record.DecodeUsed(body)
		if err == nil && x.sessions[number] != nil {
			x.changes.put(keyPart(number, kindUsed), usedValue(g.newest, connected))
		}
		return false, err
	default:
		return false, x.part(kind, body)
	}
}

// part applies records that change the state alone.
func (x *index) part(kind record.Kind, body []byte) error {
	switch kind {
	case record.KindPutFilter:
		number, filter, qos, err := record.DecodePutFilter(body)
		if err == nil && x.sessions[number] != nil {
			x.changes.put(keyFilter(number, filter), []byte{byte(qos)})
		}
		return err
	case record.KindDeleteFilter:
		number, filter, err := record.DecodeDeleteFilter(body)
		if err == nil && x.sessions[number] != nil {
			x.changes.remove(keyFilter(number, filter))
		}
		return err
	case record.KindDeleteReceived:
		number, id, err := record.DecodeDeleteReceived(body)
		if err == nil && x.sessions[number] != nil {
			x.changes.remove(keyReceived(number, id))
		}
		return err
	case record.KindPutWill:
		key, message, err := record.DecodePutWill(body)
		if err == nil {
			x.changes.put(keyText(kindWill, key), message)
		}
		return err
	case record.KindDeleteWill:
		key, err := record.DecodeDeleteWill(body)
		if err == nil {
			x.changes.remove(keyText(kindWill, key))
		}
		return err
	default:
		return record.ErrDamaged
	}
}

func (x *index) publish(g *segment, at int64, body []byte) error {
	p, err := record.DecodePublish(body)
	if err != nil {
		return err
	}
	needed := false
	targets := p.Targets()
	for t, ok := targets.Next(); ok; t, ok = targets.Next() {
		if s := x.sessions[t.Session]; s != nil && x.push(s, g, t.Position, at) {
			needed = true
		}
	}
	if needed {
		x.stored(g, len(body))
	}
	if p.Receiver != 0 && x.sessions[p.Receiver] != nil {
		x.changes.put(keyReceived(p.Receiver, p.ID), nil)
	}
	if p.Will != nil {
		x.changes.remove(keyText(kindWill, p.Will))
	}
	if !p.Retain {
		return nil
	}
	message, err := p.MessageBytes()
	if err != nil {
		return err
	}
	topic, payload, err := record.Peek(message)
	switch {
	case err != nil:
		return err
	case payload == 0:
		x.changes.remove(keyText(kindRetained, topic))
	default:
		x.changes.put(keyText(kindRetained, topic), message)
	}
	return nil
}
