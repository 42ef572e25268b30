package core_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/topic"
)

var errDisk = errors.New("disk fails")

// rig is a core with what is around it: a store in memory, clients that are byte buffers, a clock that stands still.
type rig struct {
	*core.Core
	t         testing.TB
	o         core.Options
	users     *auth.Book
	now       time.Time
	disk      *disk
	peers     map[*core.Client]*peer
	holdWrite bool // batches are taken, and stored later
	holdRead  bool
	fail      error // of each batch
	failRead  error
	room      int64
	writing   *core.Batch
	written   bool // writing is on the disk, or failed with result
	result    error
	loads     []core.Load
	runs      int
	lowered   bool // limits
}

func permit(name string, pub, sub []string) auth.Principal {
	return auth.Principal{Username: name, Password: "p", Permissions: []auth.Permission{
		{Action: "pub", Permit: pub}, {Action: "sub", Permit: sub},
	}}
}

func book(t testing.TB, list ...auth.Principal) *auth.Book {
	t.Helper()
	b, err := auth.New(list, topic.DefaultLimits)
	require.NoError(t, err)
	return b
}

var all = []string{"#", "$SYS/#"}

func options() core.Options {
	return core.Options{
		Log: log.Discard(), Topic: topic.DefaultLimits, ClientIDMax: 128, PacketMax: 32 << 10, ConnectionsMax: 100,
		SubscriptionsMax: 100, Ingress: 100, EgressQOS0: 1000, EgressBytes: 1 << 20, Window: 100, QueueMax: 1000,
		FetchMax: 50, WillDelay: 10 * time.Second,
	}
}

func newRig(t testing.TB, change ...func(*core.Options)) *rig {
	t.Helper()
	o := options()
	for _, f := range change {
		f(&o)
	}
	r := &rig{
		t: t, o: o, users: book(t, permit("u", all, all), permit("v", all, all)), room: 1 << 62, disk: newDisk(),
		now: time.Unix(1e9, 0), peers: map[*core.Client]*peer{},
	}
	r.restart()
	return r
}

// restart begins again with what the disk has, as after kill -9. What was acknowledged before is stored.
func (r *rig) restart() {
	if r.Core != nil && !r.holdWrite {
		r.pass(settling)
	}
	for _, p := range r.peers {
		p.closed, p.ended = true, true
	}
	r.Core, r.writing, r.loads, r.peers = core.New(r.o, r.users), nil, nil, map[*core.Client]*peer{}
	r.At(r.now)
	r.disk.load(r.Core)
	r.run()
}

// settling is how long acknowledgements may wait for a batch.
const settling = 20 * time.Millisecond

// run carries out effects until there is nothing left to do.
func (r *rig) run() {
	r.t.Helper()
	for n := 0; r.step(); n++ {
		require.Less(r.t, n, 10000, "the core never comes to rest")
	}
	if r.runs++; r.runs < 200 || r.runs%50 == 0 {
		require.NoError(r.t, r.Recount())
		for _, u := range r.Usage() {
			require.True(r.t, u.Limit == 0 || u.Used <= u.Limit || r.lowered, "%+v", u)
		}
	}
}

func (r *rig) step() (did bool) {
	var fx core.Effects
	r.Effects(&fx)
	for _, x := range fx.Send {
		p := r.peers[x.Client]
		require.Nil(r.t, p.open, "a second Send before Written")
		did, p.open = true, x.Data
		if !p.slow {
			p.take()
		}
	}
	for _, cl := range fx.Resume {
		did = true
		require.False(r.t, cl.Paused(), "Resume of a client that is paused")
		r.peers[cl].feed()
	}
	for _, cl := range fx.Close {
		did = true
		if p := r.peers[cl]; !p.closed {
			p.closed = true
			p.end()
		}
	}
	r.loads = append(r.loads, fx.Load...)
	for len(r.loads) > 0 && !r.holdRead {
		l := r.loads[0]
		r.loads, did = r.loads[1:], true
		entries, next := r.disk.read(l.Session, l.From, l.Max)
		r.Read(l, entries, next, r.failRead)
	}
	if r.writing == nil {
		r.Room(r.room)
		r.writing = r.Batch()
	}
	if r.writing != nil && !r.holdWrite {
		did = true
		r.stored()
	}
	return did
}

// stored carries on with the batch that is being written: all of it, or a piece of what follows from it.
func (r *rig) stored() {
	if !r.written {
		if r.written, r.result = true, r.fail; r.fail == nil {
			r.disk.apply(r.t, r.writing.Records.Data)
		}
	}
	if !r.Stored(r.writing, r.result) {
		r.writing, r.written = nil, false
	}
}

// hold lets the store work on a batch until release.
func (r *rig) hold() { r.holdWrite = true }

func (r *rig) release() {
	r.t.Helper()
	r.holdWrite = false
	r.run()
}

// failing carries out f while all batches fail.
func (r *rig) failing(f func()) {
	r.t.Helper()
	r.fail = errDisk
	f()
	r.run()
	r.fail = nil
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	end := r.now.Add(d)
	for next := r.NextTick(); !next.IsZero() && !next.After(end); next = r.NextTick() {
		r.now = next
		r.At(r.now)
		r.Tick()
		r.run()
	}
	r.now = end
	r.At(end)
}

// waiting returns the stored messages of a client's session.
func (r *rig) waiting(id string) (list []record.Entry) {
	list, _ = r.disk.read(r.disk.number(id), 0, 1<<20)
	return list
}
