package conn

import (
	"sync"
	"time"
)

// Left is what tells whether a client has left.
var Left = left

// QueueOf is the lock that the connections of a user take one after the other.
func (s *Server) QueueOf(user string) *sync.Mutex { return s.queueOf(user) }

// SetIdleAfter changes when a client counts as idle, until the result is called. No server may run at both times.
func SetIdleAfter(d time.Duration) (restore func()) {
	was := idleAfter
	idleAfter = d
	return func() { idleAfter = was }
}
