package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// content is what a store gives at start.
type content struct {
	sessions map[uint64]store.Session
	retained map[string]string
	wills    map[string]string
	highest  uint64
}

func load(t testing.TB, s *store.Store) *content {
	t.Helper()
	c := &content{map[uint64]store.Session{}, map[string]string{}, map[string]string{}, 0}
	require.NoError(t, s.Load(store.Visitor{
		Session:  func(x store.Session) { c.sessions[x.Number] = x },
		Retained: func(m record.Message) { c.retained[m.Topic] = string(m.Payload) },
		Will:     func(client string, m record.Message) { c.wills[client] = string(m.Payload) },
		Number:   func(n uint64) { c.highest = n },
	}))
	return c
}

// rig is a store that runs.
type rig struct {
	*store.Store
	*content
	t      testing.TB
	o      store.Options
	stop   func()
	next   map[uint64]uint64 // position of the next message of a session
	oldest map[uint64]uint64 // what RunExpiry has told
	b      record.Batch
}

func open(t testing.TB, o store.Options) *rig {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "data")
	}
	s, err := store.Open(o)
	require.NoError(t, err)
	r := &rig{Store: s, t: t, o: o, next: map[uint64]uint64{}, content: load(t, s)}
	for n, x := range r.sessions {
		r.next[n] = x.Tail
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	r.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(r.stop)
	return r
}

// again stops the store and opens it again.
func (r *rig) again() *rig {
	r.t.Helper()
	r.stop()
	require.NoError(r.t, r.Close())
	return open(r.t, r.o)
}

// killed opens a copy of the store as it is on the disk.
func (r *rig) killed() *rig {
	r.t.Helper()
	o := r.o
	o.Dir = duplicate(r.t, r.o.Dir)
	return open(r.t, o)
}

// duplicate copies the folder of a store, between two compactions of goleveldb.
func duplicate(t testing.TB, dir string) (to string) {
	t.Helper()
	state := func() (names []string) {
		entries, err := os.ReadDir(filepath.Join(dir, "state"))
		require.NoError(t, err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	eventually(t, "a copy of the store", func() bool {
		before := state()
		to = filepath.Join(t.TempDir(), "copy")
		return os.CopyFS(to, os.DirFS(dir)) == nil && slices.Equal(before, state())
	})
	return to
}

func (r *rig) write(f func(b *record.Batch)) {
	r.t.Helper()
	r.b.Reset()
	f(&r.b)
	require.NoError(r.t, r.Write(&r.b))
}

func (r *rig) session(numbers ...uint64) {
	r.t.Helper()
	r.write(func(b *record.Batch) {
		for _, n := range numbers {
			b.PutSession(n, fmt.Sprint("client", n), "user")
		}
	})
}

func message(topic, payload string) *record.Message {
	return &record.Message{Topic: topic, Payload: []byte(payload), QOS: 1}
}

func (r *rig) publish(b *record.Batch, payload string, sessions ...uint64) {
	p := &record.Publication{Message: message("t", payload)}
	for _, n := range sessions {
		p.Targets = append(p.Targets, record.Target{Session: n, Position: r.next[n], QOS: 1})
		r.next[n]++
	}
	b.Publish(p)
}

// put stores a message for sessions in a batch of its own.
func (r *rig) put(payload string, sessions ...uint64) {
	r.t.Helper()
	r.write(func(b *record.Batch) { r.publish(b, payload, sessions...) })
}

func (r *rig) ack(session, head uint64) {
	r.t.Helper()
	r.write(func(b *record.Batch) { b.Acked(session, number(head), false) })
}

func number(n uint64) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// waiting returns the payloads that a session has from a position on.
func (r *rig) waiting(session, from uint64) (payloads []string) {
	r.t.Helper()
	for {
		list, next, err := r.Read(session, from, 7, 1<<20)
		require.NoError(r.t, err)
		for _, e := range list {
			require.GreaterOrEqual(r.t, e.Position, from)
			require.Less(r.t, e.Position, next)
			from = e.Position + 1
			payloads = append(payloads, string(e.Message.Payload))
		}
		from = next
		if len(list) == 0 {
			return payloads
		}
	}
}

func series(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("message %d", i))
	}
	return list
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("missing: %s", what)
		}
	}
}

func files(t testing.TB, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "log", pattern))
	require.NoError(t, err)
	return names
}

// All kinds of records come back, after a clean end and after kill -9, from the log alone and from the state.
func TestReplay(t *testing.T) {
	r := open(t, store.Options{})
	require.Empty(t, r.sessions)
	r.write(func(b *record.Batch) {
		b.PutSession(3, "three", "u3")
		b.PutSession(5, "five", "")
		b.PutSession(6, "six", "")
		b.PutFilter(3, "a/#", 2)
		b.PutFilter(3, "b", 1)
		b.PutFilter(5, "a/#", 0)
		b.PutWill("three", message("w", "will"))
		b.PutWill("five", message("w", "will of five"))
		b.Publish(&record.Publication{Message: message("r/1", "old"), Retain: true})
		b.Publish(&record.Publication{Message: message("r/2", "gone"), Retain: true})
	})
	r.write(func(b *record.Batch) {
		b.DeleteFilter(3, "b")
		b.Publish(&record.Publication{Message: message("w", "will"), Will: "three",
			Targets: []record.Target{{Session: 5, Position: 0, QOS: 1}}})
		b.Publish(&record.Publication{Message: message("a/b", "m1"), Receiver: 3, ID: 9,
			Targets: []record.Target{{Session: 3, Position: 0, QOS: 2, Retained: true}, {Session: 5, Position: 1, QOS: 1}}})
		b.Publish(&record.Publication{Message: message("a/b", "m2"), Receiver: 3, ID: 10})
		b.Publish(&record.Publication{Message: message("r/1", "new"), Retain: true})
		b.Publish(&record.Publication{Message: message("r/2", ""), Retain: true})
		b.DeleteReceived(3, 10)
		b.Acked(5, []byte{1, 2, 3}, false)
		b.DeleteSession(6)
	})
	check := func(r *rig) {
		t.Helper()
		require.Equal(t, map[string]string{"r/1": "new"}, r.retained)
		require.Equal(t, map[string]string{"five": "will of five"}, r.wills)
		require.EqualValues(t, 6, r.highest)
		require.Len(t, r.sessions, 2)
		three, five := r.sessions[3], r.sessions[5]
		require.Equal(t, "three u3", three.Client+" "+three.User)
		require.Len(t, three.Filters, 1)
		require.EqualValues(t, 2, three.Filters["a/#"])
		require.Len(t, three.Received, 1)
		require.EqualValues(t, 9, three.Received[0])
		require.Nil(t, three.Acked)
		require.EqualValues(t, 1, three.Tail)
		require.Equal(t, []byte{1, 2, 3}, five.Acked)
		require.EqualValues(t, 2, five.Tail)
		list, next, err := r.Read(3, 0, 10, 1000)
		require.NoError(t, err)
		require.EqualValues(t, 1, next)
		require.Less(t, list[0].Age, time.Hour)
		list[0].Age = 0
		m1 := record.Entry{Position: 0, QOS: 2, Retained: true, Targets: 2, Message: message("a/b", "m1")}
		require.Equal(t, []record.Entry{m1}, list)
		require.Equal(t, []string{"m1"}, r.waiting(5, 1))
	}
	check(r.killed())
	r = r.again()
	check(r)
	check(r.killed())
	check(r.again())
}

// Sessions read their own messages only, however these lie in frames and segments, and in steps of any size.
func TestReadAcrossSegments(t *testing.T) {
	r := open(t, store.Options{SegmentSize: 4 << 10})
	r.session(1, 2)
	var one, two []string
	for i := range 60 {
		r.write(func(b *record.Batch) {
			for j := range 10 {
				text := fmt.Sprintf("message %d", 10*i+j)
				switch {
				case j%3 == 0:
					r.publish(b, text, 1, 2)
					one, two = append(one, text), append(two, text)
				case j%3 == 1:
					r.publish(b, text, 1)
					one = append(one, text)
				default:
					r.publish(b, text)
				}
			}
		})
	}
	for range 2 {
		require.Equal(t, one, r.waiting(1, 0))
		require.Equal(t, two, r.waiting(2, 0))
		require.Equal(t, one[100:], r.waiting(1, 100))
		require.Empty(t, r.waiting(1, uint64(len(one))))
		list, next, err := r.Read(1, 5, 100, len("message 5t")*3)
		require.NoError(t, err)
		require.Len(t, list, 3)
		require.EqualValues(t, 8, next)
		list, next, err = r.Read(9, 5, 100, 1000)
		require.NoError(t, err)
		require.Empty(t, list)
		require.EqualValues(t, 5, next)
		require.Greater(t, len(files(t, r.o.Dir, "*.seg")), 3)
		require.EqualValues(t, len(one), r.Stats().Messages)
		r = r.again()
	}
}

// A segment that nobody needs is written over, and the log does not grow.
func TestSegmentsAreWrittenOver(t *testing.T) {
	r := open(t, store.Options{SegmentSize: 8 << 10, Sync: store.SyncNone})
	r.session(1)
	for i := range 2000 {
		r.put(fmt.Sprintf("message %d", i), 1)
		require.Equal(t, series(i, i+1), r.waiting(1, uint64(i)))
		r.ack(1, uint64(i+1))
		require.Zero(t, r.Stats().Messages)
		require.Zero(t, r.Stats().Bytes)
		if i%500 == 250 {
			r = r.again()
		}
	}
	n := 2000
	eventually(t, "removal of segments, one of which is to be written over", func() bool {
		r.put(fmt.Sprintf("message %d", n), 1) // the next segment takes a spare, so that there may be none
		n++
		r.ack(1, uint64(n))
		return len(files(t, r.o.Dir, "*")) < 8 && len(files(t, r.o.Dir, "*.spare")) > 0
	})
	r = r.again()
	require.EqualValues(t, n, r.sessions[1].Tail)
	require.Empty(t, r.waiting(1, 0))
}

// The messages of a session that is removed are gone, and its number is never used again.
func TestDiscard(t *testing.T) {
	r := open(t, store.Options{SegmentSize: 8 << 10})
	r.session(1, 2)
	r.write(func(b *record.Batch) { b.PutFilter(2, "a", 1) })
	for i := range 300 {
		r.put(fmt.Sprintf("message %d", i), 1, 2)
	}
	r = r.again()
	require.EqualValues(t, 300, r.Stats().Messages)
	r.write(func(b *record.Batch) { b.DeleteSession(2) })
	require.Empty(t, r.waiting(2, 0))
	require.Len(t, r.waiting(1, 0), 300)
	r.write(func(b *record.Batch) { b.DeleteSession(1) })
	require.Zero(t, r.Stats().Messages)
	require.Zero(t, r.Stats().Bytes)
	eventually(t, "removal of segments", func() bool { return len(files(t, r.o.Dir, "*.seg")) <= 2 })
	r.put("for nobody", 1)
	for range 2 {
		require.Zero(t, r.Stats().Messages)
		r = r.again()
		require.Empty(t, r.sessions)
		require.EqualValues(t, 2, r.highest)
	}
}
