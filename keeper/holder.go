//go:build unix

package keeper

import (
	"net"
	"runtime"
	"time"
)

// Holder is the holding part alone, without a master of its own: for the tests of those who start processes.
type Holder struct {
	s      *Server
	thread chan struct{} // closed when the locked thread has ended
}

// NewHolder starts it. log gets what a keeper writes to the console.
func NewHolder(log func(level, format string, args ...any)) *Holder {
	h := &Holder{s: newServer(false, log), thread: make(chan struct{})}
	go func() {
		defer close(h.thread)
		runtime.LockOSThread() // stays locked: the thread ends with the goroutine, and what it has forked with it
		work(h.s.thread)
	}()
	go h.s.loop() // ends with Close
	return h
}

// Connect returns the connection of a master's Client. That of the one before ends.
func (h *Holder) Connect() (*net.UnixConn, error) {
	ours, theirs, err := connPair()
	if err != nil {
		return nil, err
	}
	h.s.post(func() { h.s.attach(ours) })
	return theirs, nil
}

// Close kills what is held.
func (h *Holder) Close() {
	empty := make(chan struct{})
	h.s.post(func() { h.s.killAll(empty) })
	select {
	case <-empty:
	case <-time.After(killTimeout):
	}
	h.s.post(func() { h.s.detach(); h.s.closeFiles(time.Second); h.s.over = true })
	<-h.s.ended
	close(h.s.thread)
	<-h.thread
}
