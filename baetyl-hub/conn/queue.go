package conn

import (
	"sync"
	"time"
)

// queue is of one user. What the connections of a user have sent goes through it before it waits for Server.mu, so that
// a user with a thousand connections is no more often in front of another one than a user with a single connection.
//
// While other users are there too, a user has at most half of the time:
//
//	work of a user ─► more than slice? ─► others are there? ─► its queue rests for as long as it has worked
type queue struct {
	sync.Mutex
	worked time.Duration // for the user since its last rest; guarded by Mutex
}

const (
	// slice is how long the hub works for a user until the user gives way.
	slice = 500 * time.Microsecond
	// restMax is the longest rest.
	restMax = 5 * time.Millisecond
	// sharedFor is how long a user counts as there, after it has sent something.
	sharedFor = 100 * time.Millisecond
)

// work notes that the hub has worked for the user so long. It runs with the Mutex held. shared tells whether others are
// there.
func (q *queue) work(d time.Duration, shared bool) {
	q.worked += d
	if q.worked < slice {
		return
	}
	rest := min(q.worked, restMax)
	q.worked = 0
	if shared {
		time.Sleep(rest)
	}
}

// queueOf returns the queue of a user. There are as many as there were ever principals.
func (s *Server) queueOf(user string) *queue {
	q, ok := s.queues.Load(user)
	if !ok {
		q, _ = s.queues.LoadOrStore(user, &queue{})
	}
	return q.(*queue)
}

// shared notes that the hub works for the user of a queue, and tells whether it has done so for another one lately. It
// runs with s.mu held.
func (s *Server) shared(q *queue) bool {
	if s.latest != q {
		if s.latest != nil {
			s.switched = s.now
		}
		s.latest = q
	}
	return !s.switched.IsZero() && s.now.Sub(s.switched) < sharedFor
}
