package rule

import (
	"bytes"
	"hash/maphash"
	"time"

	"github.com/baetyl/baetyl/utils/backoff"
)

const (
	// echoMemory is how many results a rule remembers, and how many payloads it trusts.
	echoMemory = 1024
	// echoTime is how soon a result has to come back to count as a round. A slower ring harms nobody.
	echoTime = time.Second
	// freeRounds is how many rounds a message makes freely, if the function does not change it: a client that waits for
	// each result and sends the same payload once more looks like a ring too.
	freeRounds = 1000
	// changed is what a round counts in which the function has changed the message: only a ring makes those.
	changed = freeRounds / 8
	// trustTime is how long a payload is trusted that also comes while it is held.
	trustTime = 10 * time.Minute
)

// delays are those of the rounds after the free ones.
var delays = backoff.Policy{Min: 2 * time.Second, Max: time.Minute}

// echo finds messages that go round: what the rule publishes comes back to it, through a bridge or another program,
// where the configuration does not show it. MQTT has no place for a count of hops, so it is kept here, for the payloads
// that were published last: a message with the same payload is their next round.
//
// A device that sends the same payload again and again looks like that too, if the function returns what it gets. But
// it goes on while the message is held, and a ring does not: so what comes in the second half of the delay shows that
// the payload can be trusted. It is pure logic with a clock, as lines is.
type echo struct {
	seed    maphash.Seed
	results map[uint64]round // by hash of the payload
	order   [echoMemory]uint64
	last    int // index in order
	held    map[uint64]*hold
	trusted map[uint64]time.Time // until when
}

// round is how often a message has come back, and when its last result was published.
type round struct {
	rounds int // changed ones count more
	holds  int // how often it was held
	at     time.Time
}

// hold is a payload whose messages wait, since it goes round.
type hold struct {
	sum   uint64
	since time.Time
	delay time.Duration
	calls []*call
}

func newEcho() *echo {
	return &echo{seed: maphash.MakeSeed(), results: map[uint64]round{}, held: map[uint64]*hold{},
		trusted: map[uint64]time.Time{}}
}

// published notes a result of c.
func (e *echo) published(payload []byte, c *call, now time.Time) {
	r := round{c.rounds + 1, c.holds, now}
	if !bytes.Equal(payload, c.d.Payload) {
		r.rounds = c.rounds + changed
	}
	sum := maphash.Bytes(e.seed, payload)
	if old, ok := e.results[sum]; ok {
		if now.Sub(old.at) <= echoTime { // copies of one message
			r.rounds, r.holds = max(r.rounds, old.rounds), max(r.holds, old.holds)
		}
		e.results[sum] = r
		return
	}
	delete(e.results, e.order[e.last])
	e.order[e.last] = sum
	e.last = (e.last + 1) % echoMemory
	e.results[sum] = r
}

// arrived notes a message, and how many rounds it has made. It returns the hold that the message waits for, nil if it
// need not; first: the caller calls release after its delay.
func (e *echo) arrived(c *call, now time.Time) (h *hold, first bool) {
	sum := maphash.Bytes(e.seed, c.d.Payload)
	h = e.held[sum]
	if h != nil && now.Sub(h.since) > h.delay/2 {
		e.trust(sum, now)
	}
	r, ok := e.results[sum]
	if !ok || now.Sub(r.at) > echoTime || now.Before(e.trusted[sum]) {
		return nil, false
	}
	c.rounds, c.holds = r.rounds, r.holds
	if c.rounds <= freeRounds {
		return nil, false
	}
	c.holds++
	if h == nil {
		h, first = &hold{sum: sum, since: now, delay: delays.Delay(c.holds-1, 0)}, true
		e.held[sum] = h
	}
	h.calls = append(h.calls, c)
	return h, first
}

func (e *echo) trust(sum uint64, now time.Time) {
	if len(e.trusted) >= echoMemory {
		clear(e.trusted)
	}
	e.trusted[sum] = now.Add(trustTime)
	delete(e.results, sum) // its rounds were none
}

// release ends a hold, and returns its messages, which may begin.
func (e *echo) release(h *hold, now time.Time) []*call {
	delete(e.held, h.sum)
	if now.Before(e.trusted[h.sum]) {
		for _, c := range h.calls {
			c.rounds, c.holds = 0, 0
		}
	}
	return h.calls
}
