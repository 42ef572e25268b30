package log

import (
	"sync"
	"time"
)

// Quota limits lines that others can cause: to so many of one key in a minute, such as a client or an address, and to
// so many of all. What it remembers is limited with them. Its methods may be called from any goroutine.
type Quota[K comparable] struct {
	Each int // lines of a key in a minute
	All  int // lines in a minute; it remembers at most twice as many keys

	mu    sync.Mutex
	since time.Time // the minute began
	lines int       // in it
	keys  map[K]*quotaKey
	rest  uint64 // lines left out whose key is forgotten
}

type quotaKey struct {
	lines  int    // in this minute
	hidden uint64 // lines left out since the last one that was not
	recent bool   // of this minute
}

// Line tells whether a line may be logged, and how many have been left out since the last one that was: those of the
// same key, and those whose key is forgotten.
func (q *Quota[K]) Line(key K, now time.Time) (ok bool, hidden uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.keys == nil || now.Sub(q.since) >= time.Minute {
		q.begin(now)
	}
	x := q.keys[key]
	if x == nil {
		if q.lines >= q.All {
			q.rest++
			return false, 0
		}
		x = &quotaKey{}
		q.keys[key] = x
	}
	x.recent = true
	if x.lines >= q.Each || q.lines >= q.All {
		x.hidden++
		return false, 0
	}
	x.lines++
	q.lines++
	hidden = x.hidden + q.rest
	x.hidden, q.rest = 0, 0
	return true, hidden
}

// NotLogged returns l with how many lines have been left out before the next one, if there were some: see Quota.Line.
func NotLogged(l Logger, hidden uint64) Logger {
	if hidden > 0 {
		return l.WithField("not_logged", hidden)
	}
	return l
}

// begin starts a minute. A key whose lines were left out is remembered for one minute more.
func (q *Quota[K]) begin(now time.Time) {
	if q.keys == nil {
		q.keys = map[K]*quotaKey{}
	}
	q.since, q.lines = now, 0
	for key, x := range q.keys {
		if x.hidden == 0 || !x.recent {
			q.rest += x.hidden
			delete(q.keys, key)
		}
		x.lines, x.recent = 0, false
	}
}
