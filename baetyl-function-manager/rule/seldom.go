package rule

import (
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/utils/log"
)

// seldomInterval is the least time between two log lines of a seldom.
const seldomInterval = time.Minute

// seldom counts what may happen often, and says so once a minute.
type seldom struct {
	count atomic.Uint64
	told  uint64    // count when the log last said so
	at    time.Time // when that was
}

// add counts one. text begins with how many there were since the last line, and ends with all since the start. It is
// called from one goroutine.
func (s *seldom) add(l log.Logger, text string, args ...any) {
	n := s.count.Add(1)
	if now := time.Now(); s.at.IsZero() || now.Sub(s.at) >= seldomInterval {
		l.Warnf(text, append(append([]any{n - s.told}, args...), n)...)
		s.told, s.at = n, now
	}
}
