//go:build unix

package native

import (
	"time"

	"github.com/baetyl/baetyl/utils/log"
)

// waitLimit is how long connections wait for the next life of an instance before they are closed.
const waitLimit = 30 * time.Second

// ended notes that an instance has ended, and forgets its notify socket.
func (s *sockets) ended(key instanceKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keeper != nil {
		_ = s.keepNotify(key, nil) // an error means that the keeper is gone, and with it all that it kept
	}
	of := s.of(key)
	of.runs = false
	s.await(key, of)
}

// reaped begins the wait for what no instance of an earlier master has, and ends notify sockets of what is not in keep.
func (s *sockets) reaped(keep map[instanceKey]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.notify {
		if !keep[key] {
			_ = f.Close()
			_ = s.keepNotify(key, nil) // as above
			delete(s.notify, key)
		}
	}
	for key, of := range s.all {
		if !of.runs {
			s.await(key, of)
		}
	}
}

// await lets connections wait for a while, and closes them after that. The caller holds mu.
func (s *sockets) await(key instanceKey, of *heritage) {
	if len(of.list) == 0 {
		if !of.runs {
			delete(s.all, key)
		}
		return
	}
	if of.timer != nil || of.stop != nil {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(s.wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if of.timer != timer {
			return // it runs again
		}
		of.timer = nil
		fds := make([]int, 0, len(of.list))
		for _, x := range of.list {
			fds = append(fds, number(x.file))
		}
		l := s.log.WithField(log.KeyService, key.service).WithField(log.KeyInstance, key.instance)
		stop, err := sendAway(fds)
		if err != nil {
			l.WithError(err).Warnf("cannot close connections to an instance that does not run: they wait")
			return
		}
		of.stop = stop
		l.Warnf("instance has not run for %s: connections to its ports are closed at once; no other program gets the ports "+
			"as long as the application has the instance", s.wait)
	})
	of.timer = timer
}

// rest ends what await has begun.
func (of *heritage) rest() {
	if of.timer != nil {
		of.timer.Stop()
		of.timer = nil
	}
	if of.stop != nil {
		of.stop()
		of.stop = nil
	}
}

// leave ends what goes on in this process, for the next master.
func (s *sockets) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.all {
		of.rest()
	}
}
