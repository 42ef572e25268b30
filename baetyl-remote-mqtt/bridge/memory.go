package bridge

import "hash/maphash"

// remembered is the number of topics whose retained message is remembered; what exceeds it is forwarded with each
// connection.
const remembered = 10000

// memory knows the retained messages that were forwarded: with each subscription, so with each connection, a broker
// sends them all again. It is used by one goroutine. A restart forgets it.
type memory struct {
	seed maphash.Seed
	last map[string]uint64 // topic ─► hash of the payload
}

func newMemory() *memory { return &memory{maphash.MakeSeed(), map[string]uint64{}} }

// add notes a retained message; false: it is the one that topic had before.
func (m *memory) add(topic string, payload []byte) bool {
	sum := maphash.Bytes(m.seed, payload)
	last, ok := m.last[topic]
	if ok && last == sum {
		return false
	}
	if ok || len(m.last) < remembered {
		m.last[topic] = sum
	}
	return true
}
