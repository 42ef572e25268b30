package session

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// model is a simple and slow queue, with which the real one is compared. Internal, because through the hub a test can't
// run thousands of random orders.
type model struct {
	entries []modelEntry // by position
	first   int          // all before it are done
	next    int          // first position that was not sent on this connection
}

type modelEntry struct {
	name  string // "" for a position that was never filled
	qos   packet.QOS
	state state
	dup   bool
}

func (m *model) head() int {
	for m.first < len(m.entries) && m.entries[m.first].state == done {
		m.first++
	}
	return m.first
}

func (m *model) inFlight() (n int) {
	for i := m.head(); i < m.next; i++ {
		if m.entries[i].state != done {
			n++
		}
	}
	return n
}

func TestQueueAgainstModel(t *testing.T) {
	for seed := range int64(10) {
		simulate(t, seed, 2500)
	}
}

func simulate(t *testing.T, seed int64, steps int) {
	r := rand.New(rand.NewSource(seed))
	window := 1 + r.Intn(20)
	var q queue
	m := &model{}
	start := uint64(r.Intn(3)) * 65530 // near where ids go round, or not
	if start > 0 {
		q.skip(start)
		require.Zero(t, q.len())
	}
	at := func(i int) uint64 { return start + uint64(i) }
	for step := range steps {
		fail := func(what string) string { return fmt.Sprintf("seed %d step %d: %s", seed, step, what) }
		switch op := r.Intn(20); {
		case op < 6 && q.len() < 60: // a message
			name := fmt.Sprint(len(m.entries))
			q.push(entry{message: &packet.Message{Topic: name}, seq: uint64(len(m.entries)) + 1, qos: packet.QOS(1 + r.Intn(2))})
			m.entries = append(m.entries, modelEntry{name: name, qos: q.at(q.tail - 1).qos})
		case op == 6: // positions that stay empty
			n := r.Intn(3)
			q.skip(at(len(m.entries) + n))
			for range n {
				m.entries = append(m.entries, modelEntry{state: done})
			}
		case op < 13: // send what the window has room for
			for {
				e, position, ok := q.sendable(window)
				for m.next < len(m.entries) && m.entries[m.next].state == done {
					m.next++
				}
				want := m.next < len(m.entries) && m.inFlight() < window
				require.Equal(t, want, ok, fail("room"))
				if !ok {
					break
				}
				require.Equal(t, at(m.next), position, fail("position"))
				x := &m.entries[m.next]
				require.Equal(t, x.state, e.state, fail("state"))
				require.Equal(t, x.dup, e.dup, fail("DUP"))
				if e.state == waiting {
					require.Equal(t, x.name, e.message.Topic, fail("message"))
					e.state, e.dup = sent, true
					x.state, x.dup = sent, true
				}
				q.advance()
				m.next++
			}
		case op < 18: // an acknowledgement of one in flight, in any order, or of none
			id := packet.ID(r.Intn(65536))
			i := -1
			if h := m.head(); m.next > h && r.Intn(8) > 0 {
				i = h + r.Intn(m.next-h)
				id = packetID(at(i))
			}
			position, ok := q.find(id)
			if i < 0 {
				if ok { // whatever it is, it is in flight and has that id
					require.Less(t, position, q.next, fail("found"))
					require.Equal(t, id, packetID(position), fail("found"))
				}
				continue
			}
			require.True(t, ok, fail("not found"))
			require.Equal(t, at(i), position, fail("found another"))
			e, x := q.at(position), &m.entries[i]
			require.Equal(t, x.state, e.state, fail("state"))
			switch {
			case x.state == sent && x.qos == 2:
				*e = entry{qos: 2, state: released}
				x.state, x.dup = released, false
			case x.state == sent || x.state == released:
				seq := q.finish(position)
				if x.state == sent {
					require.EqualValues(t, i+1, seq, fail("number in the store"))
				}
				require.Zero(t, q.finishAgain(position), fail("finished twice"))
				x.state = done
			}
		case op == 18: // a new connection
			q.rewind()
			for i := m.head(); i < m.next; i++ {
				if m.entries[i].state == sent {
					m.entries[i].state = waiting
				}
			}
			m.next = m.head()
		default: // the hub starts again with what it has written
			a, err := decodeAcked(q.encodeAcked(nil))
			require.NoError(t, err, fail("acked"))
			require.Equal(t, q.head, a.head, fail("acked head"))
			for p := q.head; p < q.tail; p++ {
				recorded, known := a.done[p]
				e := q.at(p)
				want := p < q.high && (e.state == done || e.state == released)
				require.Equal(t, want, known, fail("acked"))
				require.Equal(t, want && e.state == released, recorded, fail("acked"))
			}
		}
		check(t, &q, m, at, fail)
	}
}

// finishAgain is finish of a position that may be gone already.
func (q *queue) finishAgain(position uint64) uint64 {
	if position < q.head {
		return 0
	}
	return q.finish(position)
}

func check(t *testing.T, q *queue, m *model, at func(int) uint64, fail func(string) string) {
	t.Helper()
	head := m.head()
	m.next = max(m.next, head)
	if at(len(m.entries)) != q.tail || at(head) != q.head || m.inFlight() != q.inFlight || q.next > q.tail {
		t.Fatal(fail(fmt.Sprintf("head %d next %d tail %d, %d in flight; want head %d tail %d, %d in flight",
			q.head, q.next, q.tail, q.inFlight, at(head), at(len(m.entries)), m.inFlight())))
	}
	ids := map[packet.ID]bool{}
	for i := head; i < len(m.entries); i++ {
		e := q.at(at(i))
		if m.entries[i].state != e.state {
			t.Fatal(fail(fmt.Sprintf("state of %d is %d, want %d", i, e.state, m.entries[i].state)))
		}
		if (e.state == sent || e.state == released) && at(i) >= q.high {
			t.Fatal(fail("sent, and not below high"))
		}
		if at(i) < q.next && e.state != done {
			id := packetID(at(i))
			if id == 0 || ids[id] {
				t.Fatal(fail("ids meet"))
			}
			ids[id] = true
		}
	}
}

// No message gets the id of one that is never acknowledged: sending stops before.
func TestQueueIDsNeverMeet(t *testing.T) {
	var q queue
	q.skip(70000)
	stuck := packet.ID(0)
	for n := 0; ; n++ {
		q.push(entry{qos: 1})
		e, position, ok := q.sendable(10)
		if !ok {
			require.EqualValues(t, maxSpan-1, n)
			break
		}
		require.NotEqual(t, stuck, packetID(position))
		e.state = sent
		q.advance()
		if n == 0 {
			stuck = packetID(position)
			continue
		}
		found, ok := q.find(packetID(position))
		require.True(t, ok)
		require.Equal(t, position, found)
		q.finish(position)
	}
	found, ok := q.find(stuck)
	require.True(t, ok)
	q.finish(found)
	_, _, ok = q.sendable(10)
	require.True(t, ok) // and goes on when it is gone
	require.Less(t, q.len(), 3)
}

func TestQueueGivesMemoryBack(t *testing.T) {
	var q queue
	for range 10000 {
		q.push(entry{qos: 1})
	}
	for {
		_, position, ok := q.sendable(1 << 20)
		if !ok {
			break
		}
		q.advance()
		q.finish(position)
	}
	require.Zero(t, q.len())
	require.Zero(t, cap(q.entries))
	q.skip(1 << 40) // far away costs nothing when the queue is empty
	require.Zero(t, cap(q.entries))
}

func FuzzDecodeAcked(f *testing.F) {
	var q queue
	q.skip(7)
	for i := range 20 {
		q.push(entry{qos: 1, state: state(i % 5)})
		q.sendable(100)
		q.advance()
	}
	f.Add(q.encodeAcked(nil))
	f.Add([]byte{})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1})
	f.Add([]byte{5, 3, 1, 0x80})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x30, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAcked(b)
		if err != nil {
			return
		}
		if a.furthest < a.head || a.furthest-a.head > maxSpan {
			t.Fatalf("head %d furthest %d: further apart than ids allow", a.head, a.furthest)
		}
		for p := range a.done {
			if p < a.head || p >= a.furthest {
				t.Fatalf("position %d outside of %d to %d", p, a.head, a.furthest)
			}
		}
	})
}
