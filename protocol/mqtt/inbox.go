package mqtt

import (
	"github.com/256dpi/gomqtt/packet"
)

const (
	receiveBytes = 64 << 20 // of all that waits for the handler; more drops QoS 0, and ends the connection at QoS 1 and 2
	eventLimit   = 32       // errors and connects that wait for the handler; more drop the oldest
)

// Overhead is the memory that a message which waits takes beside its topic and payload, in bytes, rounded up: for who
// limits what waits, here and behind the handler.
const Overhead = 256

// cost is what a message counts for in receiveBytes.
func cost(d *Delivery) int { return d.size() + Overhead }

// entry is a message or an event that waits for the handler.
type entry struct {
	msg   *Delivery
	epoch int    // QoS 1: the connection on which it came
	event func() // instead of msg
}

// inbox holds what the handler has not yet got, and the ids of QoS 1 and 2 that are in use. It is pure logic, as outbox
// is: no goroutine, no clock, no lock.
//
// The peer bounds QoS 1 and 2 itself: it sends a limited number of messages without an answer. So they are never
// dropped; a peer that exceeds receiveBytes loses the connection.
type inbox struct {
	entries []entry
	bytes   int
	events  int
	dropped uint64

	epoch   int  // number of the current or the last connection
	online  bool // the connection of epoch has not ended
	session int  // counts the peer's sessions
	clean   bool
	first   map[packet.ID]bool // QoS 1 ids of the connection that are not acknowledged
	second  map[packet.ID]bool // QoS 2 ids of the session that are not released; true: PUBREC was sent
}

func newInbox(clean bool) *inbox {
	return &inbox{clean: clean, first: map[packet.ID]bool{}, second: map[packet.ID]bool{}}
}

// connected starts a new epoch. It drops the QoS 1 messages of earlier connections that still wait if the peer kept the
// session, since the peer sends them again; if the peer has no session, they exist here only and stay.
func (in *inbox) connected(present bool) {
	in.epoch++
	in.online = true
	clear(in.first)
	if !present {
		in.session++
		clear(in.second)
		return
	}
	kept := in.entries[:0]
	for _, e := range in.entries {
		if e.msg != nil && e.msg.QOS == 1 {
			in.bytes -= cost(e.msg)
			continue
		}
		kept = append(kept, e)
	}
	clear(in.entries[len(kept):])
	in.entries = kept
}

// add takes a message; false means that it does not fit.
func (in *inbox) add(d *Delivery) bool {
	if in.bytes+cost(d) > receiveBytes {
		if d.QOS == 0 {
			in.dropped++
		}
		return d.QOS == 0
	}
	in.bytes += cost(d)
	in.entries = append(in.entries, entry{msg: d, epoch: in.epoch})
	return true
}

func (in *inbox) addEvent(f func()) {
	if in.events >= eventLimit {
		for i, e := range in.entries {
			if e.event != nil {
				in.entries = append(in.entries[:i], in.entries[i+1:]...)
				in.events--
				break
			}
		}
	}
	in.events++
	in.entries = append(in.entries, entry{event: f})
}

// next takes the first entry that may be handled now. A QoS 1 message of a persistent session whose connection has
// ended waits for the next one, which tells whether it comes again; what is behind it waits too, events excepted.
func (in *inbox) next() (entry, bool) {
	for i, e := range in.entries {
		if e.event == nil && i > 0 {
			continue
		}
		if e.event == nil && e.msg.QOS == 1 && !in.online && !in.clean {
			continue
		}
		if i == 0 {
			in.entries[0] = entry{}
			in.entries = in.entries[1:]
		} else {
			in.entries = append(in.entries[:i], in.entries[i+1:]...)
		}
		if e.event != nil {
			in.events--
		} else {
			in.bytes -= cost(e.msg)
		}
		return e, true
	}
	return entry{}, false
}
