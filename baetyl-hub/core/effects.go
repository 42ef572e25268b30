package core

import (
	"math"
	"slices"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// Effects are what events ask for.
type Effects struct {
	// Send: write Data to the socket, then call Written. At most one is open for each client. Data belongs to the caller
	// until Written.
	Send []Send
	// Close: when what was sent is written, or after a second, close the socket. Its reader then calls Closed.
	Close []*Client
	// Resume: the client is not Paused any more: call Receive with what is left.
	Resume []*Client
	// Load: read messages of a session from the store, then call Read.
	Load []Load
}

// Send is what goes to a connection.
type Send struct {
	Client *Client
	Data   []byte
}

// Load asks the store for messages of a session.
type Load struct {
	Session uint64 // number of the session
	From    uint64 // position of the first one
	Max     int    // messages, at most

	s      *Session
	to     *Client
	stored uint64 // Session.stored
}

// Effects moves what the events since the last call ask for into fx. It uses the memory of what fx had before.
func (c *Core) Effects(fx *Effects) {
	clear(fx.Send)
	clear(fx.Close)
	clear(fx.Resume)
	clear(fx.Load)
	*fx, c.fx = c.fx, Effects{fx.Send[:0], fx.Close[:0], fx.Resume[:0], fx.Load[:0]}
	for i, cl := range c.pending {
		c.pending[i] = nil
		cl.listed = false
		if cl.sending {
			continue
		}
		if data := cl.next(c.moment()); len(data) > 0 {
			fx.Send = append(fx.Send, Send{cl, data})
			cl.sending = true
		}
	}
	c.pending = c.pending[:0]
}

// Batch is what is stored together.
type Batch struct {
	Records record.Batch
	ops     []op
	ended   int        // of ops
	saved   []*Session // whose progress is among the records
}

// op continues, in the order of the batch, when it is stored: a publication, or a function that gets nil, or the reason
// why nothing of the batch counts.
type op struct {
	p    *publication
	done func(err error)
}

// Room tells how many bytes the store may still take. It comes before Batch, not while a batch is being written.
func (c *Core) Room(bytes int64) {
	c.room = bytes - int64(len(c.batch.Records.Data))
	for _, b := range c.full {
		c.room -= int64(len(b.Records.Data))
	}
}

// Batch returns what is to be stored now; nil: nothing, or the last one is not Stored yet. The next batch fills
// meanwhile. Without Records there is nothing to write: Stored may follow at once.
func (c *Core) Batch() *Batch {
	b := c.batch
	if len(c.full) > 0 {
		b = c.full[0]
	}
	if c.writing != nil || len(b.ops) == 0 && b.Records.Len() == 0 && !c.urgent && !c.stopping {
		return nil
	}
	c.urgent = false
	for i, s := range c.dirty {
		c.dirty[i] = nil
		s.dirty = false
		if !s.dead {
			b.saved = append(b.saved, s)
			s.save(b)
		}
	}
	c.dirty = c.dirty[:0]
	if len(b.ops) == 0 && b.Records.Len() == 0 {
		return nil
	}
	if c.writing = b; b == c.batch {
		c.batch = c.empty()
	} else {
		c.full = slices.Delete(c.full, 0, 1)
	}
	return b
}

// empty returns a batch to fill.
func (c *Core) empty() *Batch {
	b := c.spare
	if c.spare = nil; b == nil {
		b = &Batch{}
	}
	return b
}

// fullBatch is the size in bytes from which on a batch takes nothing more. To read a message of a batch, the store
// reads all of it.
const fullBatch = 768 << 10

// add appends what continues when the batch with its records is stored.
func (c *Core) add(o op) {
	c.batch.ops = append(c.batch.ops, o)
	if len(c.batch.Records.Data) >= fullBatch {
		c.full = append(c.full, c.batch)
		c.batch = c.empty()
	}
}

// Stored continues with what waits for a batch: with err nil it is stored, else nothing of it counts. What came
// meanwhile fails with it: it may follow from what is lost now, and a later message of a publisher must not overtake.
// It stops after a quantum of work: with more the caller calls it again, after others, with the same arguments.
func (c *Core) Stored(b *Batch, err error) (more bool) {
	if err == nil {
		if !c.conclude(b, nil, c.quantum) {
			return true
		}
		c.writing = nil
	} else {
		c.writing = nil
		next := append(c.full, c.batch)
		c.full, c.batch = nil, &Batch{}
		for _, x := range append([]*Batch{b}, next...) {
			c.conclude(x, err, math.MaxInt)
		}
	}
	c.spare = b
	return false
}

// conclude ends a batch and makes it empty. Not ended: more than quantum is to be done.
func (c *Core) conclude(b *Batch, err error, quantum int) (ended bool) {
	for c.work = 0; b.ended < len(b.ops); b.ended++ {
		if c.work >= quantum {
			return false
		}
		o := b.ops[b.ended]
		b.ops[b.ended] = op{}
		c.work += costly
		if o.p != nil {
			c.work += costly * len(o.p.to)
			c.finish(o.p, err)
		} else {
			o.done(err)
		}
	}
	for i, s := range b.saved {
		b.saved[i] = nil
		c.saved(s, err)
	}
	b.ops, b.ended, b.saved = b.ops[:0], 0, b.saved[:0]
	if b.Records.Reset(); cap(b.Records.Data) > largeBatch {
		*b = Batch{}
	}
	return true
}

// largeBatch is the size in bytes of a batch whose memory is given back.
const largeBatch = 4 << 20

// later calls done when all that was decided before is stored, and with it what write adds to the batch. write may be
// nil.
func (c *Core) later(write func(b *record.Batch), done func(err error)) {
	if write == nil && len(c.batch.ops) == 0 && len(c.full) == 0 && c.writing == nil {
		done(nil)
		return
	}
	if write != nil {
		write(&c.batch.Records)
	}
	c.add(op{done: done})
}
