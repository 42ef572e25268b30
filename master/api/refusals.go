package api

import (
	"sync"
	"time"
)

// A caller whose requests are refused fills no log: so many are written each minute, and the others counted.
const (
	refusalsLogged = 10
	refusalsEvery  = time.Minute
)

// refusals counts the refused requests of each caller; all that have no token are one. Its zero value is ready.
type refusals struct {
	mu    sync.Mutex // guards what follows
	begin time.Time  // of the minute
	of    map[string]*refused
}

type refused struct{ logged, more int }

// note counts a refused request. It is logged when ok is true, with how many were not logged before.
func (r *refusals) note(by caller, now time.Time) (more int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := by.name
	if !by.person && !by.known {
		who = ""
	}
	if now.Sub(r.begin) >= refusalsEvery || r.of == nil {
		r.begin = now
		for name, c := range r.of {
			if c.logged = 0; c.more == 0 {
				delete(r.of, name)
			}
		}
		if r.of == nil {
			r.of = map[string]*refused{}
		}
	}
	c := r.of[who]
	if c == nil {
		c = &refused{}
		r.of[who] = c
	}
	if c.logged == refusalsLogged {
		c.more++
		return 0, false
	}
	c.logged++
	more, c.more = c.more, 0
	return more, true
}

// quotable cuts a text that a caller has sent to what a line of the log can bear.
func quotable(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
