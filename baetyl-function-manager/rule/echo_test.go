package rule

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/mqtt"
)

func message(payload string) *call {
	return &call{d: &mqtt.Delivery{Message: mqtt.Message{Payload: []byte(payload)}}}
}

// A message that goes round makes eight rounds freely, then one after 2 s, 4 s … 1 m. Others are not held.
func TestEcho(t *testing.T) {
	e, now := newEcho(), time.Unix(1000, 0)
	payload := func(n int) string { return fmt.Sprint("changes with each round ", n) }
	var delays []time.Duration
	for n := range 16 {
		now = now.Add(10 * time.Millisecond)
		c := message(payload(n))
		h, first := e.arrived(c, now)
		require.Equal(t, h != nil, first)
		if h != nil {
			other, _ := e.arrived(message("another"), now)
			require.Nil(t, other)
			delays = append(delays, h.delay)
			now = now.Add(h.delay)
			require.Equal(t, []*call{c}, e.release(h, now))
		}
		e.published([]byte(payload(n+1)), c, now)
	}
	require.Equal(t, []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
		32 * time.Second, time.Minute, time.Minute}, delays)
	// One that the function does not change makes a thousand rounds.
	for n := range freeRounds + 1 {
		c := message("same")
		h, _ := e.arrived(c, now)
		require.Equal(t, n > freeRounds, h != nil)
		e.published([]byte("same"), c, now)
	}
	h, first := e.arrived(message("same"), now)
	require.True(t, h != nil && first)
	// A ring that takes longer than a second is none.
	for n := range 30 {
		c := message("slow")
		h, _ := e.arrived(c, now.Add(time.Duration(n)*2*time.Second))
		require.Nil(t, h)
		e.published([]byte("slow"), c, now.Add(time.Duration(n)*2*time.Second))
	}
}

// A device that sends the same payload each 0.6 s is held once, and then trusted for a while.
func TestEchoOfADevice(t *testing.T) {
	e, now, holds := newEcho(), time.Unix(1000, 0), 0
	var h *hold
	for range 5000 {
		now = now.Add(600 * time.Millisecond)
		if h != nil && now.Sub(h.since) >= h.delay {
			for _, c := range e.release(h, now) {
				e.published(c.d.Payload, c, now)
			}
			h = nil
		}
		c := message("on")
		got, first := e.arrived(c, now)
		if first {
			holds++
			h = got
			require.Equal(t, 2*time.Second, h.delay)
		}
		if got == nil {
			e.published(c.d.Payload, c, now)
		}
	}
	require.LessOrEqual(t, holds, 3, "in 50 minutes")
}

// What is remembered is limited.
func TestEchoForgets(t *testing.T) {
	e, now := newEcho(), time.Unix(1000, 0)
	for n := range 5000 {
		e.published(fmt.Append(nil, n), message("x"), now)
	}
	require.LessOrEqual(t, len(e.results), echoMemory)
	c := message("4999")
	e.arrived(c, now)
	require.Equal(t, changed, c.rounds)
}

// A message that is held keeps its place.
func TestHeldInLine(t *testing.T) {
	l := newLines(func() int { return 4 }, func() int { return 1 })
	a, b, c := &call{}, &call{held: true}, &call{}
	for _, m := range []*call{a, b, c} {
		l.add("k", true, m)
	}
	require.Same(t, a, l.next())
	require.Nil(t, l.next())
	l.release(b)
	require.Same(t, b, l.next())
	require.Same(t, c, l.next())
}
