package conn

import (
	"context"
	"sync"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

const (
	// readers is the largest number of reads of the store at a time.
	readers = 4
	// loadBytes is how many bytes of messages a read of the store brings, about.
	loadBytes = 256 << 10
)

// Run writes batches to the store and keeps the time, until ctx ends and the last batch is written. Close comes before.
func (s *Server) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() { s.runTimers(ctx) })
	for {
		select {
		case <-ctx.Done():
			s.finish()
			return nil
		case b := <-s.batches:
			fx, _ := s.commit(b) // the core has the error
			if len(s.batches) == 0 || len(fx.Send) == 0 {
				s.send(fx)
				continue
			}
			tasks.Go(func() { s.send(fx) }) // the disk need not wait for the sockets
		}
	}
}

// finish writes what is still to be stored, unless the disk fails. Nothing is stored afterwards.
func (s *Server) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	for s.storing {
		s.mu.Unlock()
		b := <-s.batches
		var err error
		if b != nil {
			var fx *effects
			fx, err = s.commit(b)
			s.send(fx)
		}
		s.mu.Lock()
		if err != nil {
			break
		}
	}
	s.ended = true
}

// runTimers calls Tick when the core wants it.
func (s *Server) runTimers(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.rearm:
		case <-t.C:
			s.lock()
			s.armed = time.Time{}
			s.core.Tick()
			s.carry(s.unlock(0))
		}
		s.mu.Lock()
		armed := s.armed
		s.mu.Unlock()
		if !armed.IsZero() {
			t.Reset(time.Until(armed))
		}
	}
}

// startLoads starts reads of the store that wait. It runs with s.mu held.
func (s *Server) startLoads() {
	for s.reading < readers && len(s.loads) > 0 {
		s.reading++
		go s.load(s.loads[0])
		s.loads = s.loads[1:]
	}
}

// load reads messages of a session.
func (s *Server) load(l core.Load) {
	entries, next, err := s.store.Read(l.Session, l.From, l.Max, loadBytes)
	s.lock()
	s.core.Read(l, entries, next, err)
	s.reading--
	s.left.Broadcast()
	s.carry(s.unlock(0))
}
