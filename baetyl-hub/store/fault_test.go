package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/internal/faultldb"
)

// facts is what a store holds, one line for each record.
type facts map[string]string

// change is what an op does to the facts; "" removes one.
type change map[string]string

// model knows what may be in the store. Changes whose Committed had no error are there. Refused changes may be there
// until the store has committed another one, and not afterwards.
type model struct {
	sure  facts
	maybe []change            // stored without sync, or refused, since the last successful sync
	told  []bool              // of each change: Committed had no error
	left  map[string][]string // what a refused change may leave permanently
}

func newModel() *model { return &model{sure: facts{}, left: map[string][]string{}} }

func (m *model) did(c change, synced bool, err error) {
	m.maybe, m.told = append(m.maybe, c), append(m.told, err == nil)
	if err != nil {
		for k, v := range c {
			if k[0] == 'm' && v == "" || k[0] == 'a' { // acknowledgements stay: see Tx.inverse
				m.left[k] = append(m.left[k], v)
			}
		}
	}
	if err != nil || !synced {
		return
	}
	for i, c := range m.maybe {
		for k, v := range c {
			switch {
			case !m.told[i]:
			case v == "":
				delete(m.sure, k)
			default:
				m.sure[k] = v
			}
		}
	}
	m.maybe, m.told = nil, nil
}

// check fails if a record has a value that it may not have.
func (m *model) check(t *testing.T, found facts) {
	t.Helper()
	keys := map[string]bool{}
	for k := range found {
		keys[k] = true
	}
	for k := range m.sure {
		keys[k] = true
	}
	for k := range keys {
		may := append([]string{m.sure[k]}, m.left[k]...)
		for _, c := range m.maybe {
			if v, ok := c[k]; ok {
				may = append(may, v)
			}
		}
		require.Contains(t, may, found[k], "record %s", k)
	}
}

// onDisk is a store on a disk that fails, and what must be on it.
type onDisk struct {
	t     *testing.T
	disk  *faultldb.Disk
	model *model
	opts  store.Options
	size  int // bytes of a payload
	s     *store.Store
	stop  func() error
	last  uint64 // number of the newest message
	errs  int    // ops that were refused
}

// start opens the store and returns what it holds.
func (d *onDisk) start() (facts, error) {
	d.opts.Storage = d.disk.Storage
	s, err := store.Open(d.opts)
	if err != nil {
		return nil, err
	}
	found := facts{}
	if err := s.Load(store.Visitor{
		Session: func(x store.Session) {
			found[fmt.Sprint("s", x.Number)] = x.Client
			for f, q := range x.Filters {
				found[fmt.Sprint("f", x.Number, f)] = fmt.Sprint(q)
			}
			for _, id := range x.Received {
				found[fmt.Sprint("i", x.Number, " ", id)] = "yes"
			}
			if x.Acked != nil {
				found[fmt.Sprint("a", x.Number)] = string(x.Acked)
			}
		},
		Retained: func(m packet.Message) { found["r"+m.Topic] = string(m.Payload) },
		Will:     func(c string, m packet.Message) { found["w"+c] = string(m.Payload) },
		Message: func(seq uint64, rec *store.Record) int {
			found[fmt.Sprint("m", seq)] = string(rec.Message.Payload[:8])
			return len(rec.Targets)
		},
	}); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() {}) }()
	d.s = s
	d.stop = func() error {
		cancel()
		err := <-ended
		return errors.Join(err, s.Close())
	}
	return found, nil
}

// step is one op.
type step struct {
	change change
	write  func(tx *store.Tx)
	synced bool
}

// batch stores steps in one batch and waits for each Committed.
func (d *onDisk) batch(steps ...func() step) (err error) {
	d.t.Helper()
	type told struct {
		i   int
		err error
	}
	results := make(chan told, len(steps))
	made := make([]step, len(steps))
	var ops []store.Op
	for i, f := range steps {
		// The change of a step may depend on numbers that the store assigns when it is written.
		ops = append(ops, &op{func(tx *store.Tx) error {
			made[i] = f()
			made[i].write(tx)
			return nil
		}, func(err error) { results <- told{i, err} }})
	}
	require.True(d.t, d.s.Append(ops...))
	synced := false
	all := change{}
	for range steps {
		select {
		case x := <-results:
			for k, v := range made[x.i].change {
				all[k] = v
			}
			synced = synced || made[x.i].synced
			if x.err != nil {
				err = x.err
				d.errs++
			}
		case <-time.After(20 * time.Second):
			d.t.Fatal("the store hangs: an op is neither stored nor refused")
		}
	}
	d.model.did(all, synced, err) // a batch is told as one
	return err
}

// put stores a message for some sessions; with id it is the QoS 2 message id of session 1.
func (d *onDisk) put(id packet.ID, sessions ...uint64) func() step {
	return func() step {
		d.last++
		text := fmt.Sprintf("%08d", d.last)
		c := change{fmt.Sprint("m", d.last): text}
		if id != 0 {
			c[fmt.Sprint("i1 ", id)] = "yes"
		}
		return step{c, func(tx *store.Tx) {
			payload := make([]byte, max(d.size, 8))
			for i := range payload {
				payload[i] = byte(i * (i >> 8)) // not easily compressed
			}
			copy(payload, text)
			if got := tx.PutMessage(&packet.Message{Topic: "t", Payload: payload, QOS: 2}, targets(sessions...)); got != d.last {
				d.t.Errorf("message %d has number %d", d.last, got)
			}
			if id != 0 {
				tx.PutReceived(1, id)
			}
		}, true}
	}
}

// release is the acknowledgement of a message by the last session that needs it.
func (d *onDisk) release(session, seq uint64) func() step {
	return func() step {
		state := fmt.Sprint("acked ", seq)
		return step{
			change{fmt.Sprint("m", seq): "", fmt.Sprint("a", session): state},
			func(tx *store.Tx) { tx.Release(seq); tx.PutAcked(session, []byte(state)) }, false,
		}
	}
}

func fixed(c change, write func(tx *store.Tx)) func() step {
	return func() step { return step{c, write, true} }
}

// work does the changes that a hub makes for two sessions from their start to their end.
func (d *onDisk) work() {
	one := fixed(change{"s1": "one"}, func(tx *store.Tx) { tx.PutSession(1, "one", "u") })
	two := fixed(change{"s2": "two"}, func(tx *store.Tx) { tx.PutSession(2, "two", "u") })
	will := fixed(change{"wtwo": "will"}, func(tx *store.Tx) { tx.PutWill("two", message("w", "will")) })
	// A hub tries again when the store refuses a session, and stores nothing for a session that it does not have.
	stored := func(list ...func() step) bool {
		for range 2 {
			if d.batch(list...) == nil {
				return true
			}
		}
		return false
	}
	if !stored(one) || !stored(two, will) {
		return
	}
	d.batch(fixed(change{"f1a": "1", "f1b": "2"}, func(tx *store.Tx) { tx.PutFilter(1, "a", 1); tx.PutFilter(1, "b", 2) }))
	d.batch(fixed(change{"f2a": "2"}, func(tx *store.Tx) { tx.PutFilter(2, "a", 2) }))
	d.batch(d.put(0, 1, 2))
	d.batch(d.put(7, 1), d.put(0, 2), d.put(0, 1)) // more than one transaction
	first := d.last
	d.batch(fixed(change{"rr": "old"}, func(tx *store.Tx) { tx.PutRetained(message("r", "old")) }))
	d.batch(d.release(1, first))
	d.batch(
		fixed(change{"rr": "new", "i1 7": ""},
			func(tx *store.Tx) { tx.PutRetained(message("r", "new")); tx.DeleteReceived(1, 7) }),
	)
	d.batch(d.put(8, 1), d.put(9, 1), fixed(change{"f1a": ""}, func(tx *store.Tx) { tx.DeleteFilter(1, "a") }),
		d.put(0, 1))
	d.batch(fixed(change{"s2": "", "a2": "", "f2a": "", "wtwo": ""}, func(tx *store.Tx) {
		tx.DeleteSession(2, []string{"a"}, nil)
		tx.DeleteWill("two")
	}))
	d.batch(fixed(change{"rr": ""}, func(tx *store.Tx) { tx.DeleteRetained("r") }), d.release(1, d.last))
	d.batch(d.put(0, 1))
}

// In each run another operation of the disk fails, once or from then on, or the power fails. The store continues, and
// is then opened again. No stored change is missing, no refused change is there after a later one was stored, and
// Committed is called for each op. HUB_FAULTS=1 does this with more errors, and with the write buffer of a hub.
func TestFaults(t *testing.T) {
	type plan struct {
		name   string
		err    error
		always bool // from then on, until the store is opened again
		after  func(*faultldb.Disk)
	}
	plans := []plan{
		{"fails once, killed", syscall.EIO, false, (*faultldb.Disk).Kill},
		{"fails once, power cut", syscall.EIO, false, (*faultldb.Disk).Cut},
		{"fails from then on, killed", syscall.ENOSPC, true, (*faultldb.Disk).Kill},
		{"power cut", syscall.EIO, true, (*faultldb.Disk).Cut},
	}
	shapes := map[string]onDisk{"one journal": {size: 100, opts: store.Options{WriteBuffer: 64 << 10}}}
	if !raceDetector {
		shapes["tables"] = onDisk{size: 3000, opts: store.Options{WriteBuffer: 10000}}
		shapes["large batches"] = onDisk{size: 30000, opts: store.Options{WriteBuffer: 10000}} // larger than the write buffer
	}
	if os.Getenv("HUB_FAULTS") != "" {
		plans = append(plans, plan{"is full once, killed", syscall.ENOSPC, false, (*faultldb.Disk).Kill},
			plan{"is full, power cut", syscall.ENOSPC, true, (*faultldb.Disk).Cut})
		shapes["as a hub has it"] = onDisk{size: 1000}
	}
	for shape, with := range shapes {
		for i, p := range plans {
			if shape == "large batches" && i%2 == 1 && os.Getenv("HUB_FAULTS") == "" {
				continue // they take the longest
			}
			t.Run(shape+", "+p.name, func(t *testing.T) {
				t.Parallel()
				n := 1
				for ; faultAt(t, with, n, p.err, p.always, p.after); n++ {
				}
				t.Logf("%d operations", n-1)
				require.Greater(t, n, 30)
			})
		}
	}
}

// faultAt runs the work with a fault at operation n, and tells whether there was one.
func faultAt(t *testing.T, with onDisk, n int, fault error, always bool, after func(*faultldb.Disk)) (hit bool) {
	t.Helper()
	defer func() {
		if t.Failed() && hit {
			t.Logf("fault at operation %d", n)
		}
	}()
	d := with
	d.t, d.disk, d.model = t, faultldb.New(), newModel()
	d.opts.BatchOps = 2
	d.disk.Fail(func(op faultldb.Op) error {
		if op.N == n || always && op.N > n {
			hit = true // the disk's mutex guards it
			return fault
		}
		return nil
	})
	if _, err := d.start(); err == nil {
		d.work()
		after(d.disk)
		d.disk.Fail(nil)
		_ = d.stop()
	} else {
		require.ErrorContains(t, err, fault.Error()) // goleveldb hides some
		after(d.disk)
		d.disk.Fail(nil)
	}
	if hit && always && n > 10 {
		require.NotZero(t, d.errs, "an error was not reported")
	}
	for range 2 { // as it was left, and as it was after that
		found, err := d.start()
		require.NoError(t, err, "the store does not open")
		d.model.check(t, found)
		require.NoError(t, d.stop())
	}
	return hit
}
