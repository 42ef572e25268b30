package conn

import (
	"net"
	"runtime"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// Inspect lets f read the core for as long as it needs, if it calls pause between portions: then others go on. f must
// not change anything, nor wait.
func (s *Server) Inspect(f func(k *core.Core, pause func())) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began(time.Now())
	f(s.core, func() {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	})
}

// Line returns the network connection of a client, by its handle.
func Line(handle core.Handle) net.Conn { return handle.(*connection).conn }
