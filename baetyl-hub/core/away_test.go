package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

func expiring(o *core.Options) { o.SessionExpiry = time.Hour }

// A kept session that nobody uses is removed with all that waits for it. One that is used is not, however long that is.
func TestUnusedSessionIsRemoved(t *testing.T) {
	r := newRig(t, expiring)
	r.subscribed(kept("a"), 1, "t").cut()
	b := r.subscribed(kept("b"), 1, "t")
	c := r.subscribed(connect("c"), 1, "t")
	r.pass(59 * time.Minute)
	require.NotZero(t, r.disk.number("a"))
	a := r.connect(kept("a"))
	r.pass(2 * time.Hour)
	a.cut()
	b.send(pub(1, 1, "t", "x"))
	r.pass(61 * time.Minute)
	require.Zero(t, r.disk.number("a"))
	require.NotZero(t, r.disk.number("b"))
	require.EqualValues(t, 1, r.Stats().Removed)
	require.Equal(t, 2, r.Stats().Sessions)
	require.Equal(t, 2, r.Stats().Subscriptions)
	require.Equal(t, "connack 0", r.start(kept("a")).next())
	require.NotEmpty(t, c.got())
}

// After a restart a session goes on to be unused. One whose use was open, or of which nothing is known, begins anew,
// and that is stored: it is not used again at each start.
func TestUnusedOverRestarts(t *testing.T) {
	r := newRig(t)
	r.subscribed(kept("old hub"), 1, "t").cut()
	r.o.SessionExpiry = time.Hour
	r.restart()
	require.True(t, r.disk.sessions[r.disk.number("old hub")].Left)
	r.subscribed(kept("left"), 1, "t").cut()
	r.subscribed(kept("killed"), 1, "t")
	require.False(t, r.disk.sessions[r.disk.number("killed")].Left)
	r.restart()
	require.True(t, r.disk.sessions[r.disk.number("killed")].Left)
	r.disk.sessions[r.disk.number("left")].Idle = 50 * time.Minute
	r.disk.sessions[r.disk.number("old hub")].Idle = 5 * time.Hour
	r.restart()
	r.pass(time.Second)
	require.Zero(t, r.disk.number("old hub"))
	require.NotZero(t, r.disk.number("left"))
	r.pass(11 * time.Minute)
	require.Zero(t, r.disk.number("left"))
	require.NotZero(t, r.disk.number("killed"))
	r.pass(50 * time.Minute)
	require.Zero(t, r.disk.number("killed"))
	require.Zero(t, r.Stats().Sessions)
}

// A client that comes back while its session is being removed gets a new one, and one that was earlier keeps the old.
func TestClientComesBackToUnusedSession(t *testing.T) {
	r := newRig(t, expiring)
	r.subscribed(kept("a"), 1, "t").cut()
	r.hold()
	r.pass(time.Hour)
	late := r.start(kept("a"))
	require.Empty(t, late.got())
	r.release()
	late.is("connack 0")
	require.EqualValues(t, 1, r.Stats().Removed)
	late.cut()

	r.subscribed(kept("a"), 1, "t").cut()
	r.pass(59 * time.Minute)
	r.hold()
	p := r.start(willed(kept("a"), pub(0, 0, "w", "x").Message)) // waits for the store
	r.pass(2 * time.Minute)
	r.release()
	p.is("connack 0 present")
	require.EqualValues(t, 1, r.Stats().Removed)
}

// If the removal can't be stored, the session stays.
func TestRemovalNotStored(t *testing.T) {
	r := newRig(t, expiring)
	r.subscribed(kept("a"), 1, "t").cut()
	r.failing(func() { r.pass(time.Hour) })
	p := r.connect(kept("a"))
	p.send(pub(1, 1, "t", "x"))
	require.ElementsMatch(t, []string{"puback 1", "t=x q1 #1"}, p.got())
	p.cut()
	r.pass(61 * time.Minute)
	require.EqualValues(t, 1, r.Stats().Removed)
}

// Many sessions that are due together are removed in portions.
func TestManyUnusedSessions(t *testing.T) {
	r := newRig(t, expiring)
	for i := range 250 {
		r.connect(kept(fmt.Sprint(i))).cut()
	}
	r.pass(time.Hour)
	require.EqualValues(t, 100, r.Stats().Removed)
	r.pass(time.Second)
	require.EqualValues(t, 250, r.Stats().Removed)
	require.Empty(t, r.disk.sessions)
}

// Without session.expiry nothing is stored or kept for it.
func TestUnusedSessionsStay(t *testing.T) {
	r := newRig(t)
	r.subscribed(kept("a"), 1, "t").cut()
	require.False(t, r.disk.sessions[r.disk.number("a")].Left)
	r.pass(10 * 365 * 24 * time.Hour)
	require.NotZero(t, r.disk.number("a"))
}
