package router_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/router"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/baetyl-hub/store/storetest"
)

// rig is a router on a real store.
type rig struct {
	*router.Router
	t     *testing.T
	store *store.Store
}

func newRig(t *testing.T, static ...router.StaticRoute) *rig {
	t.Helper()
	st, err := store.Open(store.Options{Dir: t.TempDir(), Sync: store.SyncNone})
	require.NoError(t, err)
	r := &rig{Router: router.New(st), t: t, store: st}
	r.SetStatic(static)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- st.Run(ctx, r.Flush) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, st.Close())
	})
	return r
}

// fence is an op that is committed when all messages before it are delivered.
type fence chan struct{}

func (f fence) Write(*store.Tx) error { return nil }
func (f fence) Committed(error)       { close(f) }

func (r *rig) settle() {
	f := make(fence)
	require.True(r.t, r.store.Append(f))
	<-f
}

// publish publishes and returns a channel for the result.
func (r *rig) publish(m packet.Message) chan error {
	done := make(chan error, 1)
	batch := router.NewBatch(r.store)
	r.Publish(
		&router.Publication{
			Message: m,
			Route:   r.Route(m.Topic),
			Done:    func(_ *router.Publication, err error, _ *router.Batch) { done <- err },
		},
		&batch,
	)
	batch.Flush()
	return done
}

// send publishes and waits until it is delivered.
func (r *rig) send(m packet.Message) {
	r.t.Helper()
	require.NoError(r.t, <-r.publish(m))
	r.settle()
}

func (r *rig) subscribe(s *sink, qos packet.QOS, filters ...string) {
	var list []router.Subscription
	for _, f := range filters {
		list = append(list, router.Subscription{Filter: f, QOS: qos})
	}
	s.since = r.Subscribe(s, list, func() {})
	s.list = append(s.list, list...)
}

// sink is a subscriber that records what it gets, as text.
type sink struct {
	number   uint64
	position uint64
	full     bool
	list     []router.Subscription
	since    uint64

	mu  sync.Mutex
	got []string
}

func (s *sink) Number() uint64 { return s.number }

func (s *sink) Reserve() (uint64, bool) {
	if s.full {
		return 0, false
	}
	s.position++
	return s.position - 1, true
}

func (s *sink) SendNow(frames []byte, n int, _ *router.Batch) router.Congested {
	for range n {
		var p packet.Publish
		size, err := p.Decode(frames)
		if err != nil {
			panic(err)
		}
		s.note(&p.Message, 0, p.Message.Retain)
		frames = frames[size:]
	}
	return nil
}

func (s *sink) Enqueue(e router.Entry, _ *router.Batch) {
	if e.Message != nil {
		s.note(e.Message, e.QOS, e.Retained)
	}
}

func (s *sink) note(m *packet.Message, qos packet.QOS, retained bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	flag := ""
	if retained {
		flag = " retained"
	}
	s.got = append(s.got, fmt.Sprintf("%s=%s at %d%s", m.Topic, m.Payload, qos, flag))
}

func (s *sink) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

func msg(topic, payload string, qos packet.QOS, retain bool) packet.Message {
	return packet.Message{Topic: topic, Payload: []byte(payload), QOS: qos, Retain: retain}
}

func TestEachSubscriberOnceAtItsBest(t *testing.T) {
	r := newRig(t)
	transient, durable := &sink{}, &sink{number: 7}
	r.subscribe(transient, 0, "a/b", "a/#")
	r.subscribe(transient, 2, "+/b")
	r.subscribe(durable, 1, "#", "a/b")
	r.send(msg("a/b", "m", 2, false))
	r.send(msg("a/b", "n", 0, false))
	r.send(msg("a/c", "o", 1, true))
	require.Equal(t, []string{"a/b=m at 2", "a/b=n at 0", "a/c=o at 0"}, transient.take())
	require.Equal(t, []string{"a/b=m at 1", "a/b=n at 0", "a/c=o at 1"}, durable.take())
	require.EqualValues(t, 2, durable.position) // only what is stored has a position
	require.EqualValues(t, 2, r.store.Stats().Messages.Load())
	require.EqualValues(t, 5, r.Stats().Subscriptions.Load())
	r.Unsubscribe(transient, []string{"a/b", "a/#", "+/b", "never"})
	r.Unsubscribe(durable, []string{"#", "a/b", "a/b"})
	require.Zero(t, r.Stats().Subscriptions.Load())
	r.send(msg("a/b", "p", 1, false))
	require.Empty(t, append(transient.take(), durable.take()...))
}

// Nothing is stored for a session whose queue is full; other sessions get the message.
func TestFullSession(t *testing.T) {
	r := newRig(t)
	full, other := &sink{number: 1, full: true}, &sink{number: 2}
	r.subscribe(full, 1, "a")
	r.send(msg("a", "m", 1, true))
	require.Zero(t, r.store.Stats().Messages.Load())
	r.subscribe(other, 1, "a")
	r.send(msg("a", "n", 1, false))
	require.Equal(t, []string{"a=n at 1"}, other.take())
	require.EqualValues(t, 1, r.store.Stats().Messages.Load())
	r.SendRetained(full, full.list, full.since)
	r.SendRetained(other, other.list, other.since)
	require.Equal(t, []string{"a=m at 1 retained"}, other.take())
	require.Empty(t, full.take())
}

// The members of a group get messages one after the other, durable and transient sessions alike.
func TestGroupTakesTurns(t *testing.T) {
	r := newRig(t)
	members := []*sink{{}, {number: 1}, {}}
	for _, s := range members {
		r.subscribe(s, 1, "$share/g/a/+")
	}
	other := &sink{}
	r.subscribe(other, 1, "$share/h/a/b", "a/b")
	for i := range 30 {
		r.send(msg("a/b", fmt.Sprint(i), 1, false))
		require.Len(t, other.take(), 2) // of its group, and its own
	}
	count := map[string]int{}
	for _, s := range members {
		got := s.take()
		require.Len(t, got, 10)
		for _, x := range got {
			count[x]++
		}
	}
	require.Len(t, count, 30)
	// A member that has left gets no messages.
	r.Unsubscribe(members[1], []string{"$share/g/a/+"})
	for i := range 10 {
		r.send(msg("a/b", fmt.Sprint(i), 0, false))
		require.Len(t, append(members[0].take(), members[2].take()...), 1)
		require.Empty(t, members[1].take())
	}
}

// A route is not Fresh after a subscription has changed.
func TestRouteFreshness(t *testing.T) {
	r := newRig(t)
	rt := r.Route("a")
	require.True(t, r.Fresh(rt))
	s := &sink{}
	r.subscribe(s, 0, "b") // any change counts
	require.False(t, r.Fresh(rt))
	rt = r.Route("a")
	r.Unsubscribe(s, []string{"b"})
	require.False(t, r.Fresh(rt))
	rt = r.Route("a")
	r.SetStatic([]router.StaticRoute{{Source: "a", Target: "c"}})
	require.False(t, r.Fresh(rt))
	require.False(t, r.Route("a").Direct())
	require.True(t, r.Route("b").Direct())
	// A publication with a route that is not Fresh is matched again.
	r.subscribe(s, 0, "a")
	batch := router.NewBatch(r.store)
	r.Publish(&router.Publication{Message: msg("a", "m", 0, false), Route: rt}, &batch)
	require.Equal(t, []string{"a=m at 0"}, s.take())
}

// A retained message is being stored while a client subscribes: the client gets it, as the last message.
func TestSubscribeWhileRetainedIsStored(t *testing.T) {
	for _, qos := range []packet.QOS{0, 1} {
		for number := range uint64(2) {
			r := newRig(t)
			r.send(msg("a", "old", qos, true))
			s := &sink{number: number}
			release := storetest.Hold(r.store)
			stored := r.publish(msg("a", "new", qos, true)) // matched before s subscribes
			r.subscribe(s, qos, "a")
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				r.SendRetained(s, s.list, s.since)
			}()
			release()
			require.NoError(t, <-stored)
			<-sent
			r.settle()
			got := s.take()
			require.NotEmpty(t, got, "quality %d, session %d", qos, number)
			require.Contains(t, got[len(got)-1], "a=new", "quality %d, session %d: %q", qos, number, got)
		}
	}
}

// A newer message is stored in the same batch in which the older retained one is queued for the subscriber.
func TestRetainedIsNotSentAfterNewer(t *testing.T) {
	for _, qos := range []packet.QOS{0, 1} {
		for number := range uint64(2) {
			for range 20 {
				r := newRig(t)
				r.send(msg("a", "1", qos, true))
				s := &sink{number: number}
				r.subscribe(s, qos, "a")
				release := storetest.Hold(r.store)
				second := r.publish(msg("a", "2", qos, true))
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					r.SendRetained(s, s.list, s.since)
				}()
				third := r.publish(msg("a", "3", qos, true))
				release()
				require.NoError(t, <-second)
				require.NoError(t, <-third)
				<-sent
				r.settle()
				last := byte('0')
				for _, x := range s.take() {
					require.GreaterOrEqual(t, x[2], last)
					last = x[2]
				}
				require.Equal(t, byte('3'), last)
			}
		}
	}
}

// A message that is published between SUBACK and the search for retained messages is delivered once, as a live one.
func TestRetainedIsNotSentTwice(t *testing.T) {
	for _, qos := range []packet.QOS{0, 1} {
		for number := range uint64(2) {
			r := newRig(t)
			s := &sink{number: number}
			r.subscribe(s, qos, "a")
			r.send(msg("a", "m", qos, true))
			r.SendRetained(s, s.list, s.since)
			require.Equal(t, []string{fmt.Sprintf("a=m at %d", qos)}, s.take())
			r.subscribe(s, qos, "a") // subscribing again brings it again
			r.SendRetained(s, s.list, s.since)
			require.Equal(t, []string{fmt.Sprintf("a=m at %d retained", qos)}, s.take())
		}
	}
}

// Static routes to one target are merged, a copy is not retained, and a cycle that the configuration missed ends.
func TestStaticRoutes(t *testing.T) {
	r := newRig(t,
		router.StaticRoute{Source: "a/#", Target: "t", TargetQOS: 1},
		router.StaticRoute{Source: "a/b", SourceQOS: 1, Target: "t", TargetQOS: 1},
		router.StaticRoute{Source: "t", SourceQOS: 1, Target: "u", TargetQOS: 0},
		router.StaticRoute{Source: "x", Target: "x"},
	)
	s := &sink{}
	r.subscribe(s, 2, "t", "u")
	r.send(msg("a/b", "m", 2, true))
	require.ElementsMatch(t, []string{"t=m at 1", "u=m at 0"}, s.take())
	r.send(msg("a/c", "n", 2, false))
	require.ElementsMatch(t, []string{"t=n at 0", "u=n at 0"}, s.take())
	late := &sink{}
	r.subscribe(late, 1, "t")
	r.SendRetained(late, late.list, late.since)
	require.Empty(t, late.take())
	r.send(msg("x", "round", 0, false))
}
