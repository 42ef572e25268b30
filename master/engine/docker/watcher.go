//go:build unix

package docker

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

const (
	noteLimit  = 10 * time.Minute // that Warnings names what has happened, or was put right
	stopLimit  = time.Minute      // within that the events of one `docker stop` come
	linesLimit = 5                // of the log, about one instance in linesTime
	linesTime  = time.Minute
)

// subject is an instance that Run compares, from its start until Stop. Fields without a comment are not changed.
type subject struct {
	instance *instance
	box      *sandbox
	plan     plan
	limits   container.Resources // limitsOf
	started  string              // State.StartedAt of the container, the last that is known; Run's
	paused   time.Time           // since when Run has found it paused; zero: it has not. Run's
	findings []finding           // of the last comparison; guarded by the watcher
}

// watcher is what Run knows of the instances. Its methods may be called from any goroutine.
type watcher struct {
	changed chan struct{} // has room for one: something is due earlier than it was

	mu       sync.Mutex // guards what follows
	subjects map[string]*subject
	due      map[string]time.Time // when each is compared, by the id of its container
	past     map[string]*past     // by instance: the next container of a name goes on with it
}

// past is what has happened to the containers of one instance.
type past struct {
	notes []note
	lines []time.Time // of the log, within linesTime
}

type note struct {
	finding
	at    time.Time // the last time
	times int
}

func newWatcher() watcher {
	return watcher{
		changed:  make(chan struct{}, 1),
		subjects: map[string]*subject{}, due: map[string]time.Time{}, past: map[string]*past{},
	}
}

// add has an instance compared, soon for the first time.
func (w *watcher) add(s *subject) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subjects[s.instance.id] = s
	w.dueBy(s.instance.id, time.Now().Add(eventInterval))
}

// leave ends that: the instance is stopped.
func (w *watcher) leave(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.subjects, id)
	delete(w.due, id)
}

func (w *watcher) watches(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.subjects[id] != nil
}

func (w *watcher) has(s *subject) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.subjects[s.instance.id] == s
}

// dueBy has a container compared at a time, if it is not due before. The caller holds mu.
func (w *watcher) dueBy(id string, at time.Time) {
	if have, ok := w.due[id]; ok && !at.Before(have) {
		return
	}
	w.due[id] = at
	select {
	case w.changed <- struct{}{}:
	default: // it is known already
	}
}

// allDue has all compared: some events may not have been heard.
func (w *watcher) allDue() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.subjects {
		w.dueBy(id, time.Now())
	}
}

// next is how long nothing is due.
func (w *watcher) next(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := compareInterval
	for _, at := range w.due {
		next = min(next, at.Sub(now))
	}
	return next
}

// takeDue returns what is due; each is due again after the interval. What has happened too long ago is forgotten.
func (w *watcher) takeDue(now time.Time) (out []*subject) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, at := range w.due {
		if !at.After(now) {
			out = append(out, w.subjects[id])
			w.due[id] = now.Add(compareInterval)
		}
	}
	for name, p := range w.past {
		p.notes = slices.DeleteFunc(p.notes, func(n note) bool { return now.Sub(n.at) > noteLimit })
		p.lines = slices.DeleteFunc(p.lines, func(at time.Time) bool { return now.Sub(at) > linesTime })
		if len(p.notes)+len(p.lines) == 0 {
			delete(w.past, name)
		}
	}
	return out
}

// heard takes an event of the daemon. It returns an instance and what is to be logged of it; nil: nothing is.
func (w *watcher) heard(m events.Message, now time.Time) (*instance, finding) {
	id := m.Actor.ID
	if m.Type == events.NetworkEventType {
		id = m.Actor.Attributes["container"]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.subjects[id]
	if s == nil || strings.HasPrefix(string(m.Action), "exec_") { // of a command, as each check of its health
		return nil, finding{}
	}
	w.dueBy(id, now.Add(eventInterval))
	f := finding{kind: isStopped, text: "stopped by another docker client"}
	if !stops(m) || isClosed(s.instance.ended) {
		return nil, f
	}
	p := w.pastOf(s)
	if slices.ContainsFunc(p.notes, func(n note) bool { return n.same(f) && now.Sub(n.at) < stopLimit }) {
		return nil, f
	}
	p.add(f, now)
	if !p.line(now) {
		return nil, f
	}
	return s.instance, f
}

// stopSignals are those of `docker stop` and `docker kill`, if nothing else is said.
var stopSignals = []string{"9", "15"}

// stops tells whether somebody ends a container.
func stops(m events.Message) bool {
	return m.Action == events.ActionStop || m.Action == events.ActionKill &&
		slices.Contains(stopSignals, m.Actor.Attributes["signal"])
}

// settlePause returns what was found without a pause that may be that of `docker commit`; the container is compared
// again when it may not.
func (w *watcher) settlePause(s *subject, found []finding, now time.Time) []finding {
	n := slices.IndexFunc(found, func(f finding) bool { return f.kind == isPaused })
	switch {
	case n < 0:
		s.paused = time.Time{}
		return found
	case s.paused.IsZero():
		s.paused = now
	}
	if until := s.paused.Add(pauseLimit); now.Before(until) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.subjects[s.instance.id] == s {
			w.dueBy(s.instance.id, until)
		}
		return slices.Delete(found, n, n+1)
	}
	return found
}

// tells keeps a finding, and tells whether it is to be logged: it is new, and not one too many. past: it is no
// difference any more.
func (w *watcher) tells(s *subject, f finding, past bool, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pastOf(s)
	if past {
		p.add(f, now)
	} else if slices.ContainsFunc(s.findings, f.same) {
		return false
	}
	return p.line(now)
}

// found keeps what does not hold for the warnings.
func (w *watcher) found(s *subject, open []finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.findings = open
}

// warnings are what does not hold of a container, and what has happened to its instance lately.
func (w *watcher) warnings(id, instance string, now time.Time) (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.subjects[id]; s != nil {
		for _, f := range s.findings {
			out = append(out, f.String())
		}
	}
	if p := w.past[instance]; p != nil {
		for _, n := range p.notes {
			if now.Sub(n.at) <= noteLimit {
				out = append(out, n.String())
			}
		}
	}
	return out
}

// pastOf is what has happened to an instance. The caller holds mu.
func (w *watcher) pastOf(s *subject) *past {
	name := s.instance.record.Instance
	if w.past[name] == nil {
		w.past[name] = &past{}
	}
	return w.past[name]
}

// add keeps the last of its kind.
func (p *past) add(f finding, now time.Time) {
	n := slices.IndexFunc(p.notes, func(n note) bool { return n.kind == f.kind && n.network == f.network })
	if n < 0 {
		p.notes = append(p.notes, note{})
		n = len(p.notes) - 1
	}
	p.notes[n] = note{f, now, p.notes[n].times + 1}
}

func (n note) String() string {
	text := fmt.Sprintf("%s (at %s)", n.finding, n.at.Format(time.TimeOnly))
	if n.times > 1 {
		text = fmt.Sprintf("%s (%d times, last at %s)", n.finding, n.times, n.at.Format(time.TimeOnly))
	}
	return text
}

// line tells whether one more may stand in the log.
func (p *past) line(now time.Time) bool {
	p.lines = slices.DeleteFunc(p.lines, func(at time.Time) bool { return now.Sub(at) > linesTime })
	if len(p.lines) >= linesLimit {
		return false
	}
	p.lines = append(p.lines, now)
	return true
}
