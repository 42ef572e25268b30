package core

import (
	"fmt"
	"maps"
	"math/rand"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// model is a simple and slow queue, with which the real one is compared. Internal, because through Core a test can't
// look into the queue.
type model struct {
	entries []modelEntry // by position; all that is stored
	first   int          // all before it are done
	next    int          // first position that was not sent on this connection
	tail    int          // after the newest that the queue has
	high    int          // after the last that was ever sent
}

type modelEntry struct {
	name  string // "" for a position that was never filled
	qos   packet.QOS
	state state
}

func (m *model) head() int {
	for m.first < m.tail && m.entries[m.first].state == done {
		m.first++
	}
	m.next, m.high = max(m.next, m.first), max(m.high, m.first)
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

// test is one run of the simulation.
type test struct {
	*testing.T
	*model
	r      *rand.Rand
	q      queue
	start  uint64
	window int
	what   string
}

func (t *test) at(i int) uint64 { return t.start + uint64(i) }

func simulate(tt *testing.T, seed int64, steps int) {
	r := rand.New(rand.NewSource(seed))
	t := &test{T: tt, r: r, model: &model{}, window: 1 + r.Intn(20)}
	t.start = uint64(r.Intn(3)) * 65530 // near where ids go round, or not
	require.True(t, t.q.skip(t.start))
	for step := range steps {
		t.what = fmt.Sprintf("seed %d step %d", seed, step)
		switch op := r.Intn(20); {
		case op < 6 && len(t.entries)-t.first < 60: // a message, or a position that stays empty
			e := modelEntry{name: fmt.Sprint(len(t.entries)), qos: packet.QOS(1 + r.Intn(2))}
			if r.Intn(4) == 0 {
				e = modelEntry{state: done}
			}
			t.entries = append(t.entries, e)
		case op < 8: // the queue gets some of them
			t.fill(t.tail + r.Intn(len(t.entries)-t.tail+1))
		case op < 13:
			t.send()
		case op < 18:
			t.acknowledge()
		case op == 18: // a new connection
			t.head()
			t.q.detach()
			t.reset()
		default: // the hub starts again with what it has written
			t.head()
			var x queue
			require.NoError(t, x.decode(t.q.encode(nil)), t.what)
			x.high = t.q.high
			t.q = x
			t.reset()
		}
		t.check()
	}
}

// reset is what the end of a connection does: the next one begins at head.
func (t *test) reset() {
	for i := t.first; i < t.next; i++ {
		if t.entries[i].state == sent {
			t.entries[i].state = waiting
		}
	}
	t.next, t.tail = t.first, t.first
}

// fill brings messages from the store into the queue.
func (t *test) fill(to int) {
	for i := t.tail; i < to; i++ {
		if e := t.entries[i]; e.name != "" {
			require.True(t, t.q.skip(t.at(i)), t.what)
			t.q.take(entry{message: &record.Message{Topic: e.name}, qos: e.qos})
		}
	}
	require.True(t, t.q.skip(t.at(to)), t.what)
	t.q.trim()
	t.tail = max(t.tail, to)
	t.head()
}

// send sends what the window has room for.
func (t *test) send() {
	for {
		e, position, ok := t.q.sendable(t.window)
		for t.next < t.tail && t.entries[t.next].state == done {
			t.next++
		}
		room := t.next < t.tail && t.inFlight() < t.window && t.next-t.first < span*t.window
		require.Equal(t, room, ok, t.what)
		if !ok {
			return
		}
		require.Equal(t, t.at(t.next), position, t.what)
		x := &t.entries[t.next]
		require.Equal(t, x.state, e.state, t.what)
		if e.state == waiting {
			require.Equal(t, t.next < t.high, e.dup, t.what)
			require.Equal(t, x.name, e.message.Topic, t.what)
			e.state, x.state = sent, sent
		}
		t.q.advance()
		t.next++
		t.high = max(t.high, t.next)
	}
}

// acknowledge is one of a message in flight, in any order, or of none.
func (t *test) acknowledge() {
	id := packet.ID(t.r.Intn(65536))
	i := -1
	if h := t.head(); t.next > h && t.r.Intn(8) > 0 {
		i = h + t.r.Intn(t.next-h)
		id = packetID(t.at(i))
	}
	position, ok := t.q.find(id)
	if i < 0 {
		if ok { // whatever it is, it is in flight and has that id
			require.Less(t, position, t.q.next, t.what)
			require.Equal(t, id, packetID(position), t.what)
		}
		return
	}
	require.True(t, ok, t.what)
	require.Equal(t, t.at(i), position, t.what)
	e, x := t.q.at(position), &t.entries[i]
	require.Equal(t, x.state, e.state, t.what)
	switch {
	case x.state == sent && x.qos == 2:
		*e = entry{qos: 2, state: released}
		x.state = released
	case x.state == sent || x.state == released:
		t.q.finish(position)
		x.state = done
	}
}

func (t *test) check() {
	t.Helper()
	q, head := &t.q, t.head()
	if t.at(t.tail) != q.tail || t.at(head) != q.head || t.inFlight() != int(q.inFlight) || q.next > q.tail {
		t.Fatalf("%s: head %d next %d tail %d, %d in flight; want head %d tail %d, %d in flight", t.what,
			q.head, q.next, q.tail, q.inFlight, t.at(head), t.at(t.tail), t.inFlight())
	}
	ids := map[packet.ID]bool{}
	for i := head; i < t.tail; i++ {
		e := q.at(t.at(i))
		if t.entries[i].state != e.state {
			t.Fatalf("%s: state of %d is %d, want %d", t.what, i, e.state, t.entries[i].state)
		}
		if t.at(i) < q.next && e.state != done {
			id := packetID(t.at(i))
			if id == 0 || ids[id] {
				t.Fatalf("%s: ids meet", t.what)
			}
			ids[id] = true
		}
	}
	for p := range q.marks {
		if p < q.tail || p >= q.high {
			t.Fatalf("%s: mark at %d, tail is %d, high %d", t.what, p, q.tail, q.high)
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
		e, position, ok := q.sendable(maxSpan)
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
	require.False(t, q.skip(q.tail+1))
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
	q.push(entry{qos: 1, state: sent})
	q.detach()
	require.Zero(t, cap(q.entries))
	require.Empty(t, q.marks)
	r := &rings{}
	r.give(make([]entry, smallRing)) // too small
	r.give(make([]entry, 128))
	require.Len(t, r.take(256), 256)
	require.Len(t, r.take(128), 128)
	require.Empty(t, r.free)
}

func FuzzQueueDecode(f *testing.F) {
	var q queue
	q.skip(7)
	for i := range 20 {
		q.push(entry{qos: 2, state: state(i % 5)})
		q.sendable(100)
		q.advance()
	}
	f.Add(q.encode(nil))
	f.Add([]byte{})
	f.Add([]byte{5})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1})
	f.Add([]byte{5, 3, 1, 0x80})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x30, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var q queue
		if q.decode(b) != nil {
			require.Equal(t, queue{}, q)
			return
		}
		if q.high < q.head || q.high-q.head > maxSpan || q.len() != 0 {
			t.Fatalf("head %d high %d: further apart than ids allow", q.head, q.high)
		}
		for p := range q.marks {
			if p < q.head || p >= q.high {
				t.Fatalf("position %d outside of %d to %d", p, q.head, q.high)
			}
		}
		var again queue
		require.NoError(t, again.decode(q.encode(nil)))
		require.Equal(t, q.head, again.head)
		require.Equal(t, q.high, again.high)
		require.True(t, maps.Equal(q.marks, again.marks))
	})
}
