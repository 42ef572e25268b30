package core_test

import (
	"errors"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// result keeps what an action says at its end.
type result struct {
	n   int
	err error
}

func (x *result) done(err error) { x.n, x.err = x.n+1, err }

func (x *result) is(t *testing.T, err error) {
	t.Helper()
	require.Equal(t, 1, x.n, "done is called once")
	require.ErrorIs(t, x.err, err)
	*x = result{}
}

// A deleted session is gone from the store too; its will is published, and messages under way go nowhere.
func TestDeleteSession(t *testing.T) {
	r := newRig(t)
	var x result
	watcher := r.subscribed(connect("w"), 0, "will")
	p := r.connect(willed(kept("a"), packet.Message{Topic: "will", Payload: []byte("a")}))
	p.send(sub(1, 1, "t"))
	p.is("suback 1 [1]")
	other := r.connect(connect("p"))
	r.hold()
	other.send(pub(1, 1, "t", "under way"))
	r.DeleteSession("a", x.done)
	r.run()
	r.DeleteSession("a", (&result{}).done) // is being changed
	other.send(pub(2, 1, "t", "behind"))
	late := r.start(kept("a")) // waits for the end of the change
	r.release()
	x.is(t, nil)
	p.isClosed()
	watcher.is("will=a")
	late.is("connack 0")
	other.is("puback 1", "puback 2")
	late.cut()
	r.DeleteSession("a", x.done)
	r.run()
	x.is(t, nil)
	r.restart()
	require.Zero(t, r.disk.number("a"))
	r.DeleteSession("a", x.done)
	x.is(t, core.ErrNotFound)
}

// A session whose deletion cannot be stored stays, with what waits for it.
func TestDeleteSessionFails(t *testing.T) {
	r := newRig(t)
	var x result
	p := r.subscribed(kept("a"), 1, "t")
	p.cut()
	r.connect(connect("p")).send(pub(1, 1, "t", "x"))
	r.failing(func() { r.DeleteSession("a", x.done) })
	x.is(t, errDisk)
	back := r.start(kept("a"))
	back.is("connack 0 present", "t=x q1 #1")
	r.hold()
	back.send(sub(2, 1, "u"))
	r.DeleteSession("a", x.done)
	x.is(t, core.ErrChanging)
	r.release()
	require.False(t, back.closed, "what is refused kicks nobody")
}

// A transient session ends with its connection.
func TestDeleteTransientSession(t *testing.T) {
	r := newRig(t)
	var x result
	p := r.subscribed(connect("a"), 1, "t")
	r.DeleteSession("a", x.done)
	r.run()
	x.is(t, nil)
	p.isClosed()
	require.Zero(t, r.Stats().Sessions)
	require.Zero(t, r.Stats().Subscriptions)
	require.ErrorIs(t, r.Kick("a", ""), core.ErrNotFound)
}

// Publish takes what a client could send, and says how it ended.
func TestPublishOfTheOwner(t *testing.T) {
	r := newRig(t)
	var x result
	p := r.subscribed(connect("a"), 1, "#")
	r.subscribed(kept("b"), 1, "#").cut()
	for _, m := range []*record.Message{
		{Topic: "t", Payload: []byte("0")}, {Topic: "t", Payload: []byte("1"), QOS: 1, Retain: true},
	} {
		r.Publish(m, x.done)
		r.run()
		x.is(t, nil)
	}
	p.is("t=0", "t=1 q1 #1")
	require.Len(t, r.waiting("b"), 1)
	r.failing(func() { r.Publish(&record.Message{Topic: "t", QOS: 1}, x.done) })
	x.is(t, errDisk)
	r.room = 1
	r.run()
	r.Publish(&record.Message{Topic: "t", QOS: 1, Payload: []byte("no room")}, x.done)
	r.run()
	x.is(t, core.ErrFull)
	large := make([]byte, 32<<10)
	for _, m := range []*record.Message{{}, {Topic: "a/#"}, {Topic: "$SYS/a"}, {Topic: "t", Payload: large}} {
		r.Publish(m, x.done)
		x.is(t, core.ErrInvalid)
	}
}

// Retained messages are deleted without a word to subscribers, and not those of the hub.
func TestDeleteRetainedOfTheOwner(t *testing.T) {
	r := newRig(t)
	p := r.connect(connect("p"))
	p.send(retained(0, 0, "a", "x"), retained(0, 0, "b", "x"))
	r.Announce("$SYS/x", []byte("1"))
	p.send(sub(1, 0, "#"))
	require.Len(t, p.got(), 3)
	n, failed := 0, errors.New("not called")
	done := func(deleted int, err error) { n, failed = deleted, err }
	r.failing(func() { r.DeleteRetained([]string{"a"}, done) })
	require.ErrorIs(t, failed, errDisk)
	require.Equal(t, 3, r.Stats().Retained)
	r.DeleteRetained([]string{"a", "b", "c", "$SYS/x"}, done)
	r.run()
	require.NoError(t, failed)
	require.Equal(t, 2, n)
	require.Equal(t, 1, r.Stats().Retained)
	require.Empty(t, p.got())
	r.restart()
	require.Zero(t, r.Stats().Retained)
}
