package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// large are messages that fill batches, more than one.
func large(n int) (list []packet.Generic, acks []string) {
	for i := range n {
		list = append(list, pub(packet.ID(i+1), 1, "t", fmt.Sprint(i, " ", strings.Repeat("x", 30000))))
		acks = append(acks, fmt.Sprintf("puback %d", i+1))
	}
	return list, acks
}

// However much comes at once, a batch stays small, and the order is that of what came.
func TestFullBatches(t *testing.T) {
	r := newRig(t)
	s, p := r.subscribed(kept("s"), 1, "t"), r.connect(connect("p"))
	s.cut()
	r.hold()
	p.send(pub(100, 1, "t", "first"))
	list, acks := large(90)
	p.send(list...)
	r.holdWrite, r.holdRead = false, true
	for range 5 {
		require.Less(t, len(r.writing.Records.Data), 1<<20)
		r.stored()
		if r.writing = r.Batch(); r.writing == nil {
			break
		}
	}
	require.Nil(t, r.writing)
	r.run()
	p.is(append([]string{"puback 100"}, acks...)...)
	got := r.waiting("s")
	require.Len(t, got, 91)
	for i, e := range got[1:] {
		require.True(t, strings.HasPrefix(string(e.Message.Payload), fmt.Sprint(i, " ")))
	}
}

// When a write fails, all batches behind it fail too: nothing may overtake.
func TestFullBatchesFail(t *testing.T) {
	r := newRig(t)
	s, p := r.subscribed(kept("s"), 1, "t"), r.connect(connect("p"))
	s.cut()
	r.hold()
	p.send(pub(100, 1, "t", "first"))
	list, _ := large(90)
	p.send(list...)
	r.fail = errDisk
	r.stored()
	r.fail = nil
	r.release()
	p.isClosed()
	require.Empty(t, r.waiting("s"))
	p = r.connect(connect("p"))
	p.publish(0, 1)
	require.Len(t, r.waiting("s"), 1)
}

// Room counts what waits in all batches.
func TestRoomOfFullBatches(t *testing.T) {
	r := newRig(t)
	s, p, q := r.subscribed(kept("s"), 1, "t"), r.connect(connect("p")), r.connect(connect("q"))
	s.cut()
	r.hold()
	p.send(pub(100, 1, "t", "first"))
	list, _ := large(60)
	p.send(list...)
	r.Room(2 << 20)
	q.send(list...)
	r.stored()
	r.release()
	require.Len(t, r.waiting("s"), 1+(2<<20)/30100)
	q.got()
	require.True(t, q.closed)
}

// What follows from a large batch comes in pieces, in order, so that others have their turn. Nothing new is written
// before its end.
func TestStoredGivesWay(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.ConnectionsMax, o.Ingress = 1000, 1000 })
	s, p := r.subscribed(kept("s"), 1, "many"), r.connect(connect("p"))
	for i := range 199 {
		r.subscribed(connect(fmt.Sprint("s", i)), 1, "many")
	}
	r.holdWrite = true
	var acks []string
	for i := range 30 {
		p.send(pub(packet.ID(i+1), 1, "many", "x"))
		acks = append(acks, fmt.Sprintf("puback %d", i+1))
	}
	r.stored() // the batch of the first one
	r.run()
	p.is(acks[0])
	acks = acks[1:]
	pieces := 0
	for ; r.writing != nil; pieces++ {
		require.Nil(t, r.Batch(), "a batch before the end of the one before")
		r.stored()
		r.run()
		got := p.got()
		require.NotEmpty(t, got)
		require.Equal(t, acks[:len(got)], got)
		acks = acks[len(got):]
	}
	require.InDelta(t, 3, pieces, 1)
	require.Empty(t, acks)
	require.Len(t, s.got(), 30)
	r.release()
}
