package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/baetyl-hub/store/journal"
	"github.com/baetyl/baetyl/baetyl-hub/store/storetest"
	"github.com/baetyl/baetyl/utils/log"
)

// rig is a store that runs.
type rig struct {
	*store.Store
	t    *testing.T
	dir  string
	stop func()
}

// database opens what a stopped store has on disk.
func database(t *testing.T, dir string) (db *leveldb.DB, done func()) {
	t.Helper()
	files, err := journal.Open(filepath.Join(dir, "hub.db"), 1<<20, log.Discard())
	require.NoError(t, err)
	db, err = leveldb.Open(files, nil)
	require.NoError(t, err)
	return db, func() { require.NoError(t, errors.Join(db.Close(), files.Close())) }
}

func open(t *testing.T, o store.Options, v store.Visitor) *rig {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := store.Open(o)
	require.NoError(t, err)
	require.NoError(t, s.Load(v))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, func() {}) }()
	r := &rig{Store: s, t: t, dir: o.Dir}
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(t, <-ended)
			require.NoError(t, s.Close())
		})
	}
	t.Cleanup(r.stop)
	return r
}

// op is a change with a receipt.
type op struct {
	write func(*store.Tx) error
	told  func(error)
}

func (o *op) Write(tx *store.Tx) error { return o.write(tx) }
func (o *op) Committed(err error) {
	if o.told != nil {
		o.told(err)
	}
}

// do runs a change and returns how it went.
func (r *rig) do(write func(*store.Tx)) error {
	r.t.Helper()
	return r.try(func(tx *store.Tx) error {
		write(tx)
		return nil
	})
}

func (r *rig) try(write func(*store.Tx) error) error {
	r.t.Helper()
	done := make(chan error, 1)
	require.True(r.t, r.Append(&op{write, func(err error) { done <- err }}))
	return <-done
}

// put stores a message for sessions and returns its number.
func (r *rig) put(payload string, sessions ...uint64) (seq uint64) {
	r.t.Helper()
	require.NoError(r.t, r.do(func(tx *store.Tx) { seq = tx.PutMessage(message("t", payload), targets(sessions...)) }))
	return seq
}

func message(topic, payload string) *packet.Message {
	return &packet.Message{Topic: topic, Payload: []byte(payload), QOS: 1}
}

func targets(sessions ...uint64) (out []store.Target) {
	for i, s := range sessions {
		out = append(out, store.Target{Session: s, Position: uint64(i), QOS: 1})
	}
	return out
}

func (r *rig) get(seq uint64) string {
	r.t.Helper()
	m, err := r.Messages([]uint64{seq})
	require.NoError(r.t, err)
	if m[0] == nil {
		return "gone"
	}
	return string(m[0].Payload)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("missing: %s", what)
		}
	}
}

// Write and Committed are called in the order of Append, however many goroutines append. Committed is called when the
// whole batch is written. A transaction has at most BatchOps ops, and a batch has one sync.
func TestOrderAndBatches(t *testing.T) {
	r := open(t, store.Options{BatchOps: 7}, store.Visitor{})
	type event struct {
		written bool
		n       int
	}
	var events []event // by the store's goroutine alone
	release := storetest.Hold(r.Store)
	const count = 100
	var ops []store.Op
	for i := range count {
		ops = append(ops, &op{
			func(tx *store.Tx) error {
				tx.PutRetained(message(fmt.Sprint(i), "x"))
				events = append(events, event{true, i})
				return nil
			},
			func(error) { events = append(events, event{false, i}) },
		})
	}
	require.True(t, r.Append(ops[:50]...))
	require.True(t, r.Append(ops[50:]...))
	before, syncs := r.Stats().Batches.Load(), r.Stats().Syncs.Load()
	release()
	r.stop()
	require.Len(t, events, 2*count)
	written, told := 0, 0
	for _, e := range events {
		if e.written {
			require.Equal(t, written, e.n)
			written++
		} else {
			require.Equal(t, told, e.n)
			told++
			require.Equal(t, count, written)
		}
	}
	require.EqualValues(t, (count+6)/7, r.Stats().Batches.Load()-before)
	require.EqualValues(t, 1, r.Stats().Syncs.Load()-syncs)
}

// A batch whose last transaction is empty is synced like any other.
func TestSyncOfEmptyTransaction(t *testing.T) {
	r := open(t, store.Options{BatchOps: 2}, store.Visitor{})
	before := r.Stats().Syncs.Load()
	release := storetest.Hold(r.Store)
	put := &op{
		func(tx *store.Tx) error { tx.PutRetained(message("t", "x")); return nil },
		func(err error) { require.NoError(t, err) },
	}
	none := &op{func(*store.Tx) error { return nil }, func(err error) { require.NoError(t, err) }}
	require.True(t, r.Append(put, put, none))
	release()
	r.stop()
	require.EqualValues(t, 1, r.Stats().Syncs.Load()-before)
}

func TestOrderOfEachGoroutine(t *testing.T) {
	r := open(t, store.Options{Sync: store.SyncNone}, store.Visitor{})
	var told [4][]int
	var wg sync.WaitGroup
	for g := range told {
		wg.Go(func() {
			for i := range 500 {
				r.Append(&op{func(tx *store.Tx) error {
					if i%5 == 0 {
						return errors.New("refused")
					}
					return nil
				}, func(err error) {
					if (err != nil) == (i%5 == 0) {
						told[g] = append(told[g], i)
					}
				}})
			}
		})
	}
	wg.Wait()
	r.stop()
	for g := range told {
		require.Len(t, told[g], 500)
		require.True(t, sort.IntsAreSorted(told[g]))
	}
}

// Ops that are queued when the store stops are stored, and those that they append. After that Append returns false.
func TestEndStoresWhatIsQueued(t *testing.T) {
	dir := t.TempDir()
	r := open(t, store.Options{Dir: dir}, store.Visitor{})
	release := storetest.Hold(r.Store)
	var chain func(n int) *op
	chain = func(n int) *op {
		return &op{func(tx *store.Tx) error {
			tx.PutRetained(message(fmt.Sprint("r", n), "x"))
			return nil
		}, func(err error) {
			require.NoError(t, err)
			if n < 5 {
				require.True(t, r.Append(chain(n+1)))
			}
		}}
	}
	require.True(t, r.Append(chain(0)))
	go release()
	r.stop()
	require.False(t, r.Append(chain(0)))
	var got []string
	open(t, store.Options{Dir: dir}, store.Visitor{Retained: func(m packet.Message) { got = append(got, m.Topic) }})
	require.Equal(t, []string{"r0", "r1", "r2", "r3", "r4", "r5"}, got)
}

// A message is deleted when the last session releases it.
func TestNeeds(t *testing.T) {
	r := open(t, store.Options{Sync: store.SyncNone}, store.Visitor{})
	a, b := r.put("a", 1, 2, 3), r.put("b", 1)
	require.Equal(t, a+1, b)
	require.EqualValues(t, 2, r.Stats().Messages.Load())
	for range 2 {
		require.NoError(t, r.do(func(tx *store.Tx) { tx.Release(a) }))
		require.Equal(t, "a", r.get(a))
	}
	require.NoError(t, r.do(func(tx *store.Tx) { tx.Release(a); tx.Release(b) }))
	require.Equal(t, "gone", r.get(a))
	require.Equal(t, "gone", r.get(b))
	require.Zero(t, r.Stats().Messages.Load())
	require.Zero(t, r.Stats().Bytes.Load())
	require.NoError(t, r.do(func(tx *store.Tx) { tx.Release(a); tx.Release(99) })) // of what is gone
	require.Zero(t, r.Stats().Messages.Load())
	// Put and released in one batch: not stored.
	release := storetest.Hold(r.Store)
	var seq uint64
	r.Append(&op{write: func(tx *store.Tx) error { seq = tx.PutMessage(message("t", "c"), targets(1)); return nil }},
		&op{write: func(tx *store.Tx) error { tx.Release(seq); return nil }})
	release()
	r.stop()
	require.Zero(t, r.Stats().Messages.Load())
	require.Zero(t, r.Stats().Bytes.Load())
}

// Random puts and releases against a map, with restarts between.
func TestNeedsAgainstModel(t *testing.T) {
	random := rand.New(rand.NewSource(6))
	dir := t.TempDir()
	need := map[uint64]map[uint64]bool{} // message → sessions
	visitor := store.Visitor{
		Session: func(store.Session) {},
		Message: func(seq uint64, rec *store.Record) int { return len(need[seq]) },
	}
	for range 6 {
		r := open(t, store.Options{Dir: dir, Sync: store.SyncNone}, visitor)
		require.EqualValues(t, len(need), r.Stats().Messages.Load())
		for range 300 {
			release := storetest.Hold(r.Store)
			for range 1 + random.Intn(10) {
				if random.Intn(2) == 0 || len(need) == 0 {
					var sessions []uint64
					for s := range uint64(1 + random.Intn(4)) {
						sessions = append(sessions, s+1)
					}
					require.True(t, r.Append(&op{write: func(tx *store.Tx) error {
						need[tx.PutMessage(message("t", "m"), targets(sessions...))] = set(sessions)
						return nil
					}}))
					continue
				}
				pick := random.Intn(1 << 20)
				require.True(t, r.Append(&op{write: func(tx *store.Tx) error {
					seqs := make([]uint64, 0, len(need))
					for seq := range need {
						seqs = append(seqs, seq)
					}
					sort.Slice(seqs, func(i, j int) bool { return seqs[i] < seqs[j] })
					if len(seqs) == 0 {
						return nil
					}
					seq := seqs[pick%len(seqs)]
					for s := range need[seq] {
						delete(need[seq], s)
						tx.Release(seq)
						break
					}
					if len(need[seq]) == 0 {
						delete(need, seq)
					}
					return nil
				}}))
			}
			release()
		}
		r.stop()
		require.EqualValues(t, len(need), r.Stats().Messages.Load())
	}
	for seq := range need {
		delete(need, seq)
	}
	r := open(t, store.Options{Dir: dir}, visitor) // messages that no session needs are removed at start
	require.Zero(t, r.Stats().Messages.Load())
	require.Zero(t, r.Stats().Bytes.Load())
}

func set(list []uint64) map[uint64]bool {
	out := map[uint64]bool{}
	for _, x := range list {
		out[x] = true
	}
	return out
}

// content is what a store loads.
type content struct {
	sessions map[uint64]store.Session
	retained map[string]packet.Message
	wills    map[string]packet.Message
	messages []string
}

func (c *content) visitor() store.Visitor {
	c.sessions, c.retained, c.wills = map[uint64]store.Session{}, map[string]packet.Message{}, map[string]packet.Message{}
	return store.Visitor{
		Session:  func(s store.Session) { c.sessions[s.Number] = s },
		Retained: func(m packet.Message) { c.retained[m.Topic] = m },
		Will:     func(client string, m packet.Message) { c.wills[client] = m },
		Message: func(seq uint64, rec *store.Record) int {
			line := fmt.Sprintf("%s=%s at %d", rec.Message.Topic, rec.Message.Payload, rec.Message.QOS)
			for _, x := range rec.Targets {
				line += fmt.Sprintf(" %d:%d:%d:%t", x.Session, x.Position, x.QOS, x.Retained)
			}
			c.messages = append(c.messages, line)
			return len(rec.Targets)
		},
	}
}

// What is written is what is loaded.
func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	r := open(t, store.Options{Dir: dir}, store.Visitor{})
	require.NoError(t, r.do(func(tx *store.Tx) {
		tx.PutSession(1, "one", "user")
		tx.PutSession(300, "", "")
		tx.PutSession(2, "away", "user")
		tx.PutFilter(1, "a/+/#", 2)
		tx.PutFilter(1, "$share/g/x", 0)
		tx.PutFilter(300, "b", 1)
		tx.PutFilter(1, "gone", 1)
		tx.PutAcked(1, []byte{1, 2, 3})
		tx.PutReceived(1, 7)
		tx.PutReceived(1, 65535)
		tx.PutReceived(300, 1)
		tx.PutRetained(&packet.Message{Topic: "r/ü", Payload: []byte{0, 255}, QOS: 2, Retain: true})
		tx.PutRetained(message("r/gone", "x"))
		tx.PutWill("one", &packet.Message{Topic: "w", QOS: 1, Retain: true})
		tx.PutWill("$7", message("w", "x"))
		tx.PutWill("gone", message("w", "x"))
		tx.PutFilter(2, "x", 1)
		tx.PutReceived(2, 9)
		tx.PutAcked(2, nil)
	}))
	require.NoError(t, r.do(func(tx *store.Tx) {
		tx.DeleteFilter(1, "gone")
		tx.DeleteRetained("r/gone")
		tx.DeleteWill("gone")
		tx.DeleteReceived(300, 1)
		tx.DeleteSession(2, []string{"x"}, []packet.ID{9})
		tx.PutMessage(&packet.Message{Topic: "t", Payload: []byte("m"), QOS: 2}, []store.Target{
			{Session: 1, Position: 1 << 40, QOS: 2}, {Session: 300, Position: 0, QOS: 1, Retained: true},
		})
		tx.PutMessage(&packet.Message{Topic: "u"}, []store.Target{{Session: 1, Position: 3, QOS: 1}})
	}))
	r.stop()
	for range 2 {
		var c content
		r = open(t, store.Options{Dir: dir}, c.visitor())
		require.Equal(t, map[uint64]store.Session{
			1: {
				Number:   1,
				Client:   "one",
				User:     "user",
				Filters:  map[string]packet.QOS{"a/+/#": 2, "$share/g/x": 0},
				Acked:    []byte{1, 2, 3},
				Received: []packet.ID{7, 65535},
			},
			300: {Number: 300, Filters: map[string]packet.QOS{"b": 1}},
		}, c.sessions)
		require.Equal(t, map[string]packet.Message{"r/ü": {Topic: "r/ü", Payload: []byte{0, 255}, QOS: 2, Retain: true}},
			c.retained)
		require.Equal(t, map[string]packet.Message{"one": {Topic: "w", QOS: 1, Retain: true}, "$7": *message("w", "x")},
			c.wills)
		require.Equal(t, []string{"t=m at 2 1:1099511627776:2:false 300:0:1:true", "u= at 0 1:3:1:false"}, c.messages)
		require.EqualValues(t, 2, r.Stats().Messages.Load())
		r.stop()
	}
	// New numbers are higher than those of loaded messages.
	var c content
	r = open(t, store.Options{Dir: dir}, c.visitor())
	require.EqualValues(t, 3, r.put("next", 1))
}

// Messages over MaxBytes are refused. After a release there is room again.
func TestMaxBytes(t *testing.T) {
	r := open(t, store.Options{MaxBytes: 1000, Sync: store.SyncNone}, store.Visitor{})
	put := func(size int) error {
		return r.try(func(tx *store.Tx) error {
			if err := tx.Room(size + 20); err != nil {
				return err
			}
			tx.PutMessage(message("t", string(make([]byte, size))), targets(1))
			return nil
		})
	}
	n := 0
	for ; put(80) == nil; n++ {
		require.Less(t, n, 12)
	}
	require.Greater(t, n, 7)
	require.ErrorIs(t, put(80), store.ErrFull)
	require.NoError(t, r.do(func(tx *store.Tx) { tx.PutFilter(1, "f", 1) })) // what is no message goes on
	require.EqualValues(t, 2, r.Stats().Refused.Load())
	require.NoError(t, r.do(func(tx *store.Tx) { tx.Release(3); tx.Release(5) }))
	require.NoError(t, put(80))
	require.NoError(t, put(80))
	require.ErrorIs(t, put(80), store.ErrFull)
	// Earlier messages of the same batch count too.
	require.NoError(t, r.do(func(tx *store.Tx) { tx.Release(1); tx.Release(2) }))
	release := storetest.Hold(r.Store)
	errs := make([]error, 4)
	for i := range errs {
		r.Append(&op{func(tx *store.Tx) error {
			if err := tx.Room(100); err != nil {
				return err
			}
			tx.PutMessage(message("t", string(make([]byte, 80))), targets(1))
			return nil
		}, func(err error) { errs[i] = err }})
	}
	release()
	r.stop()
	require.Equal(t, []error{nil, nil, store.ErrFull, store.ErrFull}, errs)
}

func TestFreeSpace(t *testing.T) {
	var mu sync.Mutex
	free, fault := uint64(1<<30), error(nil)
	r := open(t, store.Options{MinFree: 1 << 20, Sync: store.SyncNone, FreeSpace: func(string) (uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		return free, fault
	}}, store.Visitor{})
	room := func() error { return r.try(func(tx *store.Tx) error { return tx.Room(1) }) }
	require.NoError(t, room())
	mu.Lock()
	free = 1<<20 - 1
	mu.Unlock()
	eventually(t, "refusal within the second that the answer is kept",
		func() bool { return errors.Is(room(), store.ErrFull) })
	mu.Lock()
	fault = errors.New("can't be asked")
	mu.Unlock()
	eventually(t, "room while the free space is unknown", func() bool { return room() == nil })
}

// age is how old a message is at the next start.
func age(t *testing.T, dir string) (out time.Duration) {
	t.Helper()
	r := open(
		t,
		store.Options{Dir: dir},
		store.Visitor{Session: func(store.Session) {}, Message: func(_ uint64, rec *store.Record) int {
			out = rec.Age
			return 1
		}},
	)
	r.stop()
	return out
}

// expire runs the expiry until cond holds.
func (r *rig) expire(retention time.Duration, what string, cond func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.RunExpiry(ctx, retention, time.Millisecond) }()
	eventually(r.t, what, cond)
	cancel()
	require.NoError(r.t, <-done)
}

// Old messages are removed, also needed ones, thousands of them in several batches. Newer ones stay. Releasing a
// removed message does nothing.
func TestExpiry(t *testing.T) {
	r := open(t, store.Options{Sync: store.SyncNone}, store.Visitor{})
	require.NoError(t, r.do(func(tx *store.Tx) {
		for range 3500 {
			tx.PutMessage(message("t", "old"), targets(1, 2))
		}
	}))
	r.expire(time.Hour, "a few rounds", func() bool { return r.Stats().Batches.Load() > 5 })
	require.EqualValues(t, 3500, r.Stats().Messages.Load())
	begin := time.Now()
	// ages are whole seconds
	eventually(t, "two seconds of age", func() bool { return time.Since(begin) > 2100*time.Millisecond })
	young := r.put("young", 1)
	r.expire(2*time.Second, "the old ones gone", func() bool { return r.Stats().Expired.Load() == 3500 })
	require.EqualValues(t, 1, r.Stats().Messages.Load())
	require.Equal(t, "young", r.get(young))
	require.NoError(t, r.do(func(tx *store.Tx) { tx.Release(1); tx.Release(1); tx.Release(young) }))
	require.Zero(t, r.Stats().Messages.Load())
	require.Zero(t, r.Stats().Bytes.Load())
}

// The age of a message is running time of the hub, as the clock record says. The wall clock has no effect.
func TestAgeIsRunningTime(t *testing.T) {
	dir := t.TempDir()
	r := open(t, store.Options{Dir: dir}, store.Visitor{})
	r.put("m", 1)
	r.stop()
	require.Less(t, age(t, dir), 30*time.Second)
	db, done := database(t, dir)
	clock, err := db.Get([]byte("cclock"), nil) // expiry has not run yet
	require.ErrorIs(t, err, leveldb.ErrNotFound)
	require.Nil(t, clock)
	done()
	r = open(t, store.Options{Dir: dir}, store.Visitor{Message: func(uint64, *store.Record) int { return 1 }})
	before := r.Stats().Batches.Load()
	r.expire(time.Hour, "the clock written", func() bool { return r.Stats().Batches.Load() > before })
	r.stop()
	require.Less(t, age(t, dir), 30*time.Second)
}

// The store opens with any damaged record, removes the damaged ones and loads the others.
func TestDamagedRecords(t *testing.T) {
	dir := t.TempDir()
	r := open(t, store.Options{Dir: dir}, store.Visitor{})
	require.NoError(t, r.do(func(tx *store.Tx) {
		for i := range uint64(6) {
			tx.PutSession(i+1, fmt.Sprint("c", i+1), "u")
			tx.PutFilter(i+1, "f", 1)
			tx.PutReceived(i+1, 1)
			tx.PutAcked(i+1, []byte{0})
			tx.PutRetained(message(fmt.Sprint("r", i+1), "x"))
			tx.PutWill(fmt.Sprint("c", i+1), message("w", "x"))
			tx.PutMessage(message("t", fmt.Sprint(i+1)), targets(i+1))
		}
	}))
	r.stop()
	db, done := database(t, dir)
	count := 0
	for _, kind := range "srwmf" { // the second of each kind
		it := db.NewIterator(util.BytesPrefix([]byte{byte(kind)}), nil)
		require.True(t, it.Next())
		require.True(t, it.Next())
		require.NoError(t, db.Put(append([]byte{}, it.Key()...), []byte{0xff, 0xff, 0xff}, nil))
		it.Release()
		count++
	}
	// invalid keys
	for _, key := range []string{"s", "s1234567", "f1", "i12345678", "i12345678x", "a1", "m1", "m123456789", "r", "w"} {
		require.NoError(t, db.Put([]byte(key), nil, nil))
	}
	require.NoError(t, db.Put([]byte("unknown kind"), []byte("stays"), nil))
	done()
	for range 2 { // the second time there is nothing to drop any more
		var c content
		r = open(t, store.Options{Dir: dir}, c.visitor())
		require.Len(t, c.sessions, 5)
		require.NotContains(t, c.sessions, uint64(2))
		for n, s := range c.sessions {
			require.Equal(t, fmt.Sprint("c", n), s.Client)
			require.Equal(t, []packet.ID{1}, s.Received)
			require.Equal(t, map[string]packet.QOS{"f": 1}, s.Filters)
		}
		require.Len(t, c.retained, 5)
		require.Len(t, c.wills, 5)
		require.Len(t, c.messages, 5)
		r.stop()
	}
}

// Batches with messages, sessions or QoS 2 state are synced. Acknowledgements of QoS 1 alone are not.
func TestSyncWhereItIsNeeded(t *testing.T) {
	r := open(t, store.Options{Sync: store.SyncAlways}, store.Visitor{})
	for name, c := range map[string]struct {
		write func(*store.Tx)
		sync  bool
	}{
		"message":          {func(tx *store.Tx) { tx.PutMessage(message("t", "m"), targets(1)) }, true},
		"retained":         {func(tx *store.Tx) { tx.PutRetained(message("r", "m")) }, true},
		"retained deleted": {func(tx *store.Tx) { tx.DeleteRetained("r") }, true},
		"session":          {func(tx *store.Tx) { tx.PutSession(1, "c", "u") }, true},
		"session deleted":  {func(tx *store.Tx) { tx.DeleteSession(1, nil, nil) }, true},
		"filter":           {func(tx *store.Tx) { tx.PutFilter(1, "f", 1) }, true},
		"filter deleted":   {func(tx *store.Tx) { tx.DeleteFilter(1, "f") }, true},
		"received":         {func(tx *store.Tx) { tx.PutReceived(1, 1) }, true},
		"received deleted": {func(tx *store.Tx) { tx.DeleteReceived(1, 1) }, true},
		"will":             {func(tx *store.Tx) { tx.PutWill("c", message("w", "w")) }, true},
		"PUBREC":           {func(tx *store.Tx) { tx.PutAcked(1, nil); tx.Sync() }, true},
		"acknowledgement":  {func(tx *store.Tx) { tx.PutAcked(1, nil) }, false},
	} {
		before := r.Stats().Syncs.Load()
		require.NoError(t, r.do(c.write))
		require.Equal(t, c.sync, r.Stats().Syncs.Load() > before, name)
	}
	none := open(t, store.Options{Sync: store.SyncNone}, store.Visitor{})
	none.put("m", 1)
	require.Zero(t, none.Stats().Syncs.Load())
	interval := open(t, store.Options{Sync: store.SyncInterval, Interval: time.Hour}, store.Visitor{})
	interval.put("m", 1)
	interval.put("m", 1)
	require.EqualValues(t, 1, interval.Stats().Syncs.Load())
}

// If a power loss damages the end of a journal, the store drops it, logs a warning, and has all records before it.
func TestDamagedTail(t *testing.T) {
	dir := t.TempDir()
	r := open(t, store.Options{Dir: dir}, store.Visitor{})
	const count = 100
	for i := range count {
		r.put(fmt.Sprintf("payload %03d", i), 1)
	}
	r.stop()
	logs, err := filepath.Glob(filepath.Join(dir, "hub.db", "*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	b, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	at := bytes.Index(b, []byte("payload 080"))
	require.Positive(t, at)
	copy(b[at:], "damaged")
	require.NoError(t, os.WriteFile(logs[0], b, 0o600))
	var out bytes.Buffer
	var c content
	r = open(t, store.Options{Dir: dir, Log: log.NewTo(&out, log.Config{Level: "warn"})}, c.visitor())
	require.Len(t, c.messages, 80)
	require.Contains(t, out.String(), "is damaged, probably by a power loss")
	r.put("after", 1)
	r.stop()
	c = content{}
	open(t, store.Options{Dir: dir}, c.visitor())
	require.Len(t, c.messages, 81)
}

// Only one hub can open a store.
func TestStoreIsLocked(t *testing.T) {
	r := open(t, store.Options{}, store.Visitor{})
	_, err := store.Open(store.Options{Dir: r.dir})
	require.ErrorContains(t, err, "open store "+filepath.Join(r.dir, "hub.db"))
}
