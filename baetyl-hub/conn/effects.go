package conn

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// effects are what one event asks for and is not yet done when the lock is free.
type effects struct {
	core.Effects
	batch *core.Batch   // to be written by whoever has the effects; nil: none
	taken []*connection // to which all was written at once
}

var pool = sync.Pool{New: func() any { return new(effects) }}

const (
	// few is how many connections a goroutine writes to, one after the other, before others take their share.
	few = 8
	// bulk is the number of bytes from which on a connection writes for itself: meanwhile there may come more for it.
	bulk = 8 << 10
	// alone is the largest number of records in a batch that a reader writes itself: a publisher that waits for each
	// acknowledgement saves two switches of goroutines. Meanwhile it does not read.
	alone = 2
)

// roomAge is how long the store's answer about its room holds while nothing is written.
const roomAge = time.Second

// lock begins an event.
func (s *Server) lock() {
	now := time.Now()
	asked := s.asked.Load()
	old := now.UnixNano()-asked >= int64(roomAge) && s.asked.CompareAndSwap(asked, now.UnixNano())
	var room int64
	if old {
		room = s.store.Room(s.retained.Load()) // it may ask the file system
	}
	s.mu.Lock()
	s.began(now)
	if old && !s.storing {
		s.core.Room(room)
	}
}

// began tells the core the time. It runs with s.mu held.
func (s *Server) began(now time.Time) {
	if now.After(s.now) {
		s.now = now
	}
	s.core.At(s.now)
}

// unlock ends an event and takes its effects. A batch of at most alone records is left to the caller, others go to Run.
// From here on the connections know what they have to do; it does not matter who carries it out, and in which order.
func (s *Server) unlock(alone int) *effects {
	fx := pool.Get().(*effects)
	s.takeReports()
	if !s.storing {
		fx.batch = s.nextBatch(alone)
	}
	s.core.Effects(&fx.Effects)
	if n := s.core.RetainedBytes(); n != s.retained.Load() {
		s.retained.Store(n)
	}
	list := fx.Send[:0]
	for _, x := range fx.Send {
		if c := x.Client.Handle.(*connection); !c.broken {
			c.sending = x.Data
			list = append(list, x)
		}
	}
	fx.Send = list
	for i, c := range s.written {
		s.written[i] = nil
		c.drain()
	}
	s.written = s.written[:0]
	for _, cl := range fx.Resume {
		cl.Handle.(*connection).resume()
	}
	for _, cl := range fx.Close {
		cl.Handle.(*connection).resume()
	}
	s.loads = append(s.loads, fx.Load...)
	s.startLoads()
	if next := s.core.NextTick(); !next.IsZero() && (s.armed.IsZero() || next.Before(s.armed)) {
		s.armed = next
		select {
		case s.rearm <- struct{}{}:
		default: // runTimers will see it
		}
	}
	s.mu.Unlock()
	return fx
}

// nextBatch takes what is to be stored and hands it to Run, or returns it if it has at most alone records. What needs
// no disk continues at once.
func (s *Server) nextBatch(alone int) *core.Batch {
	for !s.ended {
		b := s.core.Batch()
		if b == nil {
			return nil
		}
		n := b.Records.Len()
		if n == 0 && !s.core.Stored(b, nil) {
			continue
		}
		s.storing = true
		if n > 0 && n <= alone && !s.ending {
			return b
		}
		s.batches <- b // with n of 0: Run carries on with what follows from it
		return nil
	}
	return nil
}

// carry carries out effects. It does not wait for a socket.
func (s *Server) carry(fx *effects) {
	b := fx.batch
	s.send(fx)
	if b == nil {
		return
	}
	fx, _ = s.commit(b) // the core has the error
	s.mu.Lock()
	if s.ending {
		s.batches <- nil
	}
	s.mu.Unlock()
	s.send(fx)
}

// commit writes a batch and tells the core.
func (s *Server) commit(b *core.Batch) (*effects, error) {
	var err error
	if b.Records.Len() > 0 {
		err = s.store.Write(&b.Records)
	}
	room := s.store.Room(s.retained.Load())
	s.lock()
	s.core.Room(room)
	for s.core.Stored(b, err) {
		s.send(s.unlock(0)) // others have the lock for a moment
		s.lock()
	}
	s.storing = false
	return s.unlock(0), err
}

// send writes what the sockets take at once, and starts writers for the rest. If there are many connections, other
// goroutines do their share.
func (s *Server) send(fx *effects) {
	s.stop(fx)
	if n := len(fx.Send); n > few {
		share := max(few, (n+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
		for part := range slices.Chunk(fx.Send[share:], share) {
			other := pool.Get().(*effects)
			other.Send = append(other.Send[:0], part...)
			go s.sendEach(other)
			clear(part)
		}
		fx.Send = fx.Send[:share]
	}
	s.sendEach(fx)
}

// sendEach writes what the sockets take at once, one after the other, and starts writers for the rest.
func (s *Server) sendEach(fx *effects) {
	for _, x := range fx.Send {
		c := x.Client.Handle.(*connection)
		n := 0
		if len(x.Data) <= bulk {
			n = c.writeNow(x.Data)
		}
		if n < len(x.Data) {
			go c.write(x.Data[n:])
		} else {
			fx.taken = append(fx.taken, c)
		}
	}
	if len(fx.taken) > 0 {
		if more := s.report(fx.taken...); more != nil {
			s.startWriters(more)
		}
	}
	fx.free()
}

// startWriters lets each connection write for itself: so nobody goes on and on for one that has always more.
func (s *Server) startWriters(fx *effects) {
	s.stop(fx)
	for _, x := range fx.Send {
		go x.Client.Handle.(*connection).write(x.Data)
	}
	fx.free()
}

// stop tells the connections that are to be closed.
func (s *Server) stop(fx *effects) {
	for _, cl := range fx.Close {
		cl.Handle.(*connection).stop()
	}
}

// free gives the memory of effects back.
func (fx *effects) free() {
	clear(fx.Send)
	clear(fx.Close)
	clear(fx.Resume)
	clear(fx.Load)
	clear(fx.taken)
	fx.Send, fx.Close, fx.Resume, fx.Load = fx.Send[:0], fx.Close[:0], fx.Resume[:0], fx.Load[:0]
	fx.taken, fx.batch = fx.taken[:0], nil
	pool.Put(fx)
}

// report tells the core that connections have written all that they were given, and returns what it decides; nil if
// another goroutine is about to tell it: one at a time waits for the lock with the reports of all.
func (s *Server) report(list ...*connection) *effects {
	s.reporting.Lock()
	first := len(s.reported) == 0
	s.reported = append(s.reported, list...)
	s.reporting.Unlock()
	if !first {
		return nil
	}
	s.lock()
	return s.unlock(0)
}

// takeReports tells the core what was reported. It runs with s.mu held.
func (s *Server) takeReports() {
	s.reporting.Lock()
	s.reported, s.written = s.written[:0], s.reported
	s.reporting.Unlock()
	for _, c := range s.written {
		c.sending = nil
		s.core.Written(c.client)
	}
}

// takeSend removes what c has to write from the effects and returns it.
func (fx *effects) takeSend(c *connection) []byte {
	for i, x := range fx.Send {
		if x.Client == c.client {
			fx.Send = slices.Delete(fx.Send, i, i+1)
			return x.Data
		}
	}
	return nil
}
