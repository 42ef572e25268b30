package budget

import (
	"math"
	"time"

	"github.com/baetyl/baetyl/utils/conf"
)

// Rate is how much may be published in a second, as it stands in the configuration; 0: no limit.
type Rate struct {
	Messages int       `yaml:"rate" json:"rate" validate:"min=0"`
	Bytes    conf.Size `yaml:"bytes" json:"bytes"` // of packets, with their headers
}

// Or returns the rate, with what base has where it is 0.
func (r Rate) Or(base Rate) Rate {
	if r.Messages == 0 {
		r.Messages = base.Messages
	}
	if r.Bytes == 0 {
		r.Bytes = base.Bytes
	}
	return r
}

// burst is how much of a rate may be taken at once, after a while without use: that of a second.
const burst = time.Second

// Bucket says when a message is within a rate. What is taken is paid for with time: a message of a rate of 10 costs a
// tenth of a second, and there may be debts of a burst. Somebody without debts may always send a message, whatever its
// size. A nil Bucket has no limits. Its methods are for one goroutine at a time.
type Bucket struct {
	rate            Rate
	messages, bytes time.Time // when all that was taken is paid for
}

// NewBucket returns a bucket without debts; nil if there is no limit.
func NewBucket(r Rate) *Bucket {
	if r == (Rate{}) {
		return nil
	}
	return &Bucket{rate: r}
}

// SetRate changes the rate. Debts stay.
func (b *Bucket) SetRate(r Rate) { b.rate = r }

// Wait returns how long a message of so many bytes has to wait; 0: it is within the rate.
func (b *Bucket) Wait(now time.Time, size int) time.Duration {
	if b == nil {
		return 0
	}
	messages, bytes := b.rate.cost(size)
	return max(wait(b.messages.Sub(now), messages), wait(b.bytes.Sub(now), bytes))
}

// Take takes a message of so many bytes, which may have to wait.
func (b *Bucket) Take(now time.Time, size int) {
	if b == nil {
		return
	}
	messages, bytes := b.rate.cost(size)
	b.messages, b.bytes = pay(b.messages, now, messages), pay(b.bytes, now, bytes)
}

// cost is the time that a message of so many bytes costs.
func (r Rate) cost(size int) (messages, bytes time.Duration) {
	if r.Messages > 0 {
		messages = time.Second / time.Duration(r.Messages)
	}
	if r.Bytes > 0 {
		bytes = time.Duration(min(float64(size)*float64(time.Second)/float64(r.Bytes), math.MaxInt32*float64(time.Second)))
	}
	return messages, bytes
}

// wait is how long somebody with a debt has to wait for something.
func wait(debt, cost time.Duration) time.Duration {
	if cost == 0 {
		return 0
	}
	return max(0, max(0, debt)-max(0, burst-cost))
}

func pay(debt, now time.Time, cost time.Duration) time.Time {
	if debt.Before(now) {
		debt = now
	}
	return debt.Add(cost)
}
