package store_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/internal/faultldb"
	"github.com/baetyl/baetyl/utils/file"
)

// facts is what a store holds, one line for each record. "" is none.
type facts map[string]string

// knowledge is what may be in the store. Changes whose Write had no error are there. Refused changes may be there until
// a later one is stored, and not afterwards.
type knowledge struct {
	sure  facts
	maybe []facts // stored without sync, or refused, since the last successful sync
	told  []bool  // of each: Write had no error
}

func (k *knowledge) did(c facts, synced bool, err error) {
	k.maybe, k.told = append(k.maybe, c), append(k.told, err == nil)
	if err != nil || !synced {
		return
	}
	for i, c := range k.maybe {
		if k.told[i] {
			maps.Copy(k.sure, c)
		}
	}
	k.maybe, k.told = nil, nil
}

// check fails if a record has a value that it may not have.
func (k *knowledge) check(t *testing.T, found facts) {
	t.Helper()
	keys := maps.Clone(found)
	maps.Copy(keys, k.sure)
	for key := range keys {
		may := []string{k.sure[key]}
		for _, c := range k.maybe {
			if v, ok := c[key]; ok {
				may = append(may, v)
			}
		}
		require.Contains(t, may, found[key], "record %s", key)
	}
}

// settle takes what was found after a restart: it does not change any more.
func (k *knowledge) settle(found facts) { k.sure, k.maybe, k.told = found, nil, nil }

// onDisk is a store on disks that fail, and what must be on them.
type onDisk struct {
	t     *testing.T
	log   file.Disk
	dir   string
	state *faultldb.Disk
	known knowledge
	s     *store.Store
	next  [3]uint64 // positions of sessions 1 and 2
	head  [3]uint64 // of what was told to the store
	errs  int
	quiet bool // does not maintain after each write
}

func (d *onDisk) options() store.Options {
	return store.Options{Dir: d.dir, Disk: d.log, Storage: d.state.Storage, SegmentSize: 1 << 10}
}

// start opens the store and returns what it holds.
func (d *onDisk) start() (facts, error) {
	s, err := store.Open(d.options())
	if err != nil {
		return nil, err
	}
	found, err := d.read(s)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	d.s = s
	return found, nil
}

func (d *onDisk) read(s *store.Store) (facts, error) {
	found := facts{}
	tails := map[uint64]uint64{}
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
			tails[x.Number] = x.Tail
		},
		Retained: func(m record.Message) { found["r"+m.Topic] = string(m.Payload) },
		Will:     func(c string, m record.Message) { found["w"+c] = string(m.Payload) },
	}); err != nil {
		return nil, err
	}
	for n, tail := range tails {
		for from := uint64(0); from < tail; {
			list, next, err := s.Read(n, from, 1000, 1<<20)
			if err != nil {
				return nil, err
			}
			require.LessOrEqual(d.t, next, tail)
			for _, e := range list {
				found[fmt.Sprint("m", n, " ", e.Position)] = string(e.Message.Payload[:8])
			}
			from = next
		}
	}
	return found, nil
}

// batch is one that is being made.
type batch struct {
	*record.Batch
	facts
}

// write stores a batch.
func (d *onDisk) write(f func(b batch)) error {
	d.t.Helper()
	b := batch{&record.Batch{}, facts{}}
	f(b)
	err := d.s.Write(b.Batch)
	if err != nil {
		d.errs++
	}
	d.known.did(b.facts, b.Sync, err)
	if !d.quiet {
		d.s.Maintain()
	}
	return err
}

// put adds a message for sessions; with id it is the QoS 2 message id of session 1.
func (d *onDisk) put(b batch, id packet.ID, sessions ...uint64) {
	text := fmt.Sprintf("%04d%04d", d.next[1], d.next[2])
	p := &record.Publication{Message: message("t", text+strings.Repeat("x", 150))}
	for _, n := range sessions {
		p.Targets = append(p.Targets, record.Target{Session: n, Position: d.next[n], QOS: 2})
		b.facts[fmt.Sprint("m", n, " ", d.next[n])] = text
		d.next[n]++
	}
	if id != 0 {
		p.Receiver, p.ID = 1, id
		b.facts[fmt.Sprint("i1 ", id)] = "yes"
	}
	b.Publish(p)
}

// ack adds the acknowledgement of all messages of a session but so many.
func (d *onDisk) ack(b batch, session, but uint64) {
	head := d.next[session] - but
	if head < d.head[session] {
		return
	}
	d.head[session] = head
	for p := range head {
		b.facts[fmt.Sprint("m", session, " ", p)] = ""
	}
	b.Acked(session, number(head), false)
	b.facts[fmt.Sprint("a", session)] = string(number(head))
}

// work does the changes that a hub makes for two sessions from their start to their end.
func (d *onDisk) work() {
	// A hub tries again when the store refuses a session, and stores nothing for a session that it does not have.
	stored := func(f func(b batch)) bool {
		for range 3 {
			if d.write(f) == nil {
				return true
			}
		}
		return false
	}
	if !stored(func(b batch) { b.PutSession(1, "one", "u"); b.facts["s1"] = "one" }) {
		return
	}
	if !stored(func(b batch) {
		b.PutSession(2, "two", "u")
		b.PutWill("two", message("w", "will"))
		b.facts["s2"], b.facts["wtwo"] = "two", "will"
	}) {
		return
	}
	d.write(func(b batch) {
		b.PutFilter(1, "a", 1)
		b.PutFilter(1, "b", 2)
		b.PutFilter(2, "a", 2)
		maps.Copy(b.facts, facts{"f1a": "1", "f1b": "2", "f2a": "2"})
	})
	d.write(func(b batch) { d.put(b, 0, 1, 2) })
	d.write(func(b batch) { d.put(b, 7, 1); d.put(b, 0, 2); d.put(b, 0, 1) })
	retain := func(payload string) func(b batch) {
		return func(b batch) {
			b.Publish(&record.Publication{Message: message("r", payload), Retain: true})
			b.facts["rr"] = payload
		}
	}
	d.write(retain("old"))
	d.write(func(b batch) { d.ack(b, 1, 2) })
	d.write(func(b batch) {
		retain("new")(b)
		b.DeleteReceived(1, 7)
		b.facts["i1 7"] = ""
	})
	d.write(func(b batch) {
		d.put(b, 8, 1)
		d.put(b, 9, 1)
		b.DeleteFilter(1, "a")
		b.facts["f1a"] = ""
	})
	for range 8 { // segments with little that is needed
		d.write(func(b batch) { d.put(b, 0, 1); d.put(b, 0, 1) })
		d.write(func(b batch) { d.ack(b, 1, 1) })
	}
	d.write(func(b batch) { d.put(b, 0, 2) })
	d.write(func(b batch) { d.ack(b, 1, 0) })
	d.write(func(b batch) {
		b.DeleteSession(2)
		b.DeleteWill("two")
		maps.Copy(b.facts, facts{"s2": "", "a2": "", "f2a": "", "wtwo": ""})
		for p := range d.next[2] {
			b.facts[fmt.Sprint("m2 ", p)] = ""
		}
	})
	d.write(retain(""))
	for range 4 { // over segments that were used before
		d.write(func(b batch) { d.put(b, 0, 1); d.put(b, 0, 1); d.ack(b, 1, 1) })
	}
	d.write(func(b batch) { d.put(b, 0, 1) })
}

// after opens the store as a fault has left it, checks it, and checks it again after one more change.
func (d *onDisk) after() {
	d.t.Helper()
	found, err := d.start()
	require.NoError(d.t, err, "the store does not open")
	d.known.check(d.t, found)
	d.known.settle(found)
	require.NoError(d.t, d.write(func(b batch) {
		b.Publish(&record.Publication{Message: message("last", "change"), Retain: true})
		b.facts["rlast"] = "change"
	}))
	require.NoError(d.t, d.s.Close())
	d.state.Kill()
	found, err = d.start()
	require.NoError(d.t, err, "the store does not open again")
	d.known.check(d.t, found)
	require.NoError(d.t, d.s.Close())
	d.state.Kill()
}

// In each run another operation on the disk of the log fails, once or from then on, or the process or the power ends
// there. No stored change is missing, and no refused change is there after a later one was stored. HUB_FAULTS=1 takes
// every operation.
func TestFaultsOfTheLog(t *testing.T) {
	faultfs.Each(t, faultfs.Sample("HUB_FAULTS", 11), func(t *testing.T, fs *faultfs.FS) {
		d := &onDisk{
			t: t, log: fs.Disk(), dir: filepath.Join(fs.Dir(), "data"), state: faultldb.New(), known: knowledge{sure: facts{}},
		}
		ends := fs.Fault().Kind.Ends()
		fs.Start()
		d.state.Fail(func(faultldb.Op) error {
			if ends && fs.Met() {
				return faultfs.ErrOff
			}
			return nil
		})
		if _, err := d.start(); err == nil {
			d.work()
			if !ends && fs.Fault().Kind != faultfs.Full {
				for range 3 { // one of these may meet the fault
					_ = d.write(func(b batch) { d.put(b, 0, 1) })
				}
				require.True(t, d.s.Writable() || d.errs == 1)
				require.LessOrEqual(t, d.errs, 1, "one error refuses more than one batch")
			}
			// Everything is there at once, not only after a restart.
			if ends {
				d.state.Cut()
			} else {
				d.state.Kill()
			}
			_ = d.s.Close()
		} else {
			d.state.Cut()
		}
		fs.Reboot()
		d.state.Fail(nil)
		d.log = file.OS
		d.after()
	})
}

// The same for the disk of the state.
func TestFaultsOfTheState(t *testing.T) {
	for name, p := range map[string]struct {
		err    error
		always bool
		end    func(*faultldb.Disk)
	}{
		"fails once, killed":        {syscall.EIO, false, (*faultldb.Disk).Kill},
		"fails once, power cut":     {syscall.EIO, false, (*faultldb.Disk).Cut},
		"full from then on, killed": {syscall.ENOSPC, true, (*faultldb.Disk).Kill},
		"fails from then on, cut":   {syscall.EIO, true, (*faultldb.Disk).Cut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 1
			for hit := true; hit; n++ {
				hit = stateFault(t, n, p.err, p.always, p.end)
			}
			t.Logf("%d operations", n-1)
			require.Greater(t, n, 20)
		})
	}
}

// stateFault runs the work with a fault at operation n of the state, and tells whether there was one.
func stateFault(t *testing.T, n int, fault error, always bool, end func(*faultldb.Disk)) (hit bool) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("fault at operation %d", n)
		}
	}()
	fs := faultfs.New(t, faultfs.Fault{})
	fs.Start()
	d := &onDisk{
		t: t, log: fs.Disk(), dir: filepath.Join(fs.Dir(), "data"), state: faultldb.New(), known: knowledge{sure: facts{}},
	}
	d.state.Fail(func(op faultldb.Op) error {
		if op.N == n || always && op.N > n {
			hit = true // the disk's mutex guards it
			return fault
		}
		return nil
	})
	if _, err := d.start(); err == nil {
		d.work()
		require.Zero(t, d.errs, "the log can be written, and that is enough")
		end(d.state)
		_ = d.s.Close()
	} else {
		end(d.state)
	}
	d.state.Fail(nil)
	d.after()
	return hit
}
