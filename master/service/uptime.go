package service

import (
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// uptime counts how long a service was to run, and how long it did. Between two calls of settle nothing has changed, so
// that nobody has to look at intervals. The zero value is ready.
type uptime struct {
	mu                sync.Mutex // guards what follows; taken before service.mu and instance.mu
	at                time.Time  // up to which it is counted
	wanted, fine      bool       // since then
	expected, correct time.Duration
}

// settle counts the time up to now, and looks at how the service is from now on. Neither s.mu nor the mu of one of its
// instances is held.
func (s *service) settle() { s.upUntil(time.Now()) }

func (s *service) upUntil(now time.Time) (expected, correct time.Duration, fine bool) {
	u := &s.uptime
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.wanted {
		u.expected += now.Sub(u.at)
		if u.fine {
			u.correct += now.Sub(u.at)
		}
	}
	u.at, u.wanted, u.fine = now, s.stopped == nil && s.spec.Replica > 0 && s.ctx.Err() == nil, s.fine()
	return u.expected, u.correct, u.fine
}

// fine tells whether the service is as it should be: each of its instances is, those that others start too, and all
// replicas are there.
func (s *service) fine() bool {
	for n := range s.spec.Replica {
		if _, err := s.find(replicaName(s.spec.Name, n)); err != nil {
			return false
		}
	}
	for _, i := range s.list() {
		if !i.fine() {
			return false
		}
	}
	return true
}

// fine tells whether the instance runs, and is healthy where somebody checks, or has done its work and ended.
func (i *instance) fine() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch i.rec.Status {
	case masterapi.StatusRunning:
		h := i.shown()
		return h == nil || h.Status == masterapi.HealthHealthy
	case masterapi.StatusExited:
		return i.parts.restart.Policy != app.RestartAlways
	}
	return false
}
