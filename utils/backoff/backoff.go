// Package backoff calculates how long to wait before the next attempt. It is a pure function: the caller sleeps.
package backoff

import (
	"math"
	"time"
)

// Policy describes growing delays: Min, Min·Factor, Min·Factor² … up to Max, each spread by ±Jitter.
type Policy struct {
	Min    time.Duration // delay before the first retry
	Max    time.Duration // longest delay
	Factor float64       // growth; less than 1 means 2
	Jitter float64       // share of the delay that is random, 0…1; 0 means none
}

// Delay returns the delay before retry n, counted from 0. random is a number in [0,1), for example rand.Float64(); it
// has no effect without Jitter. With Jitter the delay may exceed Max.
func (p Policy) Delay(n int, random float64) time.Duration {
	factor := p.Factor
	if factor < 1 {
		factor = 2
	}
	d := float64(p.Min) * math.Pow(factor, float64(max(n, 0)))
	if d > float64(p.Max) { // also when Pow overflowed to +Inf
		d = float64(p.Max)
	}
	d += d * p.Jitter * (2*random - 1)
	return time.Duration(d)
}
