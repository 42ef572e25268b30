package conn

import "time"

// goodbye is how long a CONNECT waits for the end of an earlier connection of its client.
const goodbye = time.Second

// letGo waits until the earlier connection of a client has ended, if the client has closed its own end of that: what it
// has sent there comes first. If that was DISCONNECT, its will must not be published by the takeover [MQTT-3.14.4-3].
func (s *Server) letGo(id string) {
	old := s.holder(id)
	if old == nil || !left(old.conn) {
		return
	}
	s.mu.Lock()
	if k, _ := s.core.Holder(id).(*connection); k != old {
		s.mu.Unlock()
		return
	}
	if old.awaited == nil {
		old.awaited = make(chan struct{})
	}
	ended := old.awaited
	s.mu.Unlock()
	t := time.NewTimer(goodbye)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C: // it may be held up by others, or by its rate
	case <-s.closing.Done():
	}
}

// holder returns the connection that has the session of a client; nil: there is none.
func (s *Server) holder(id string) *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _ := s.core.Holder(id).(*connection)
	return c
}
