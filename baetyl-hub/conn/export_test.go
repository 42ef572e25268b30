package conn

import (
	"sync"
	"time"
)

// Left is what tells whether a client has left.
var Left = left

// QueueOf is the lock that the connections of a user take one after the other.
func (s *Server) QueueOf(user string) *sync.Mutex { return &s.queueOf(user).Mutex }

// SetIdleAfter changes when a client counts as idle, until the result is called. No server may run at both times.
func SetIdleAfter(d time.Duration) (restore func()) {
	was := idleAfter
	idleAfter = d
	return func() { idleAfter = was }
}

// Queue is that of a user.
type Queue = queue

// Work notes that the hub has worked for the user of a queue.
func (q *queue) Work(d time.Duration, shared bool) { q.work(d, shared) }

// Shared notes at a time that the hub works for a user, and tells whether it did so for another one lately.
func (s *Server) Shared(user string, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began(at)
	return s.shared(s.queueOf(user))
}

// SharedFor is how long a user counts as there.
const SharedFor = sharedFor
