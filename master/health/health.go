// Package health decides from the results of probes whether an instance works. It is pure: results and times go in, a
// state and what to do next come out.
//
//	New, Resume ─► Due: which probe, when ─► Note: its result ─┬► Health: starting, healthy, unhealthy
//	                       ▲                                   └► Doom: why the instance is to be started anew
//	                       └───────────────────────────────────┘
//
// Startup comes before the others. A liveness probe, or one of startup, that has failed often enough in a row dooms the
// instance; one of readiness marks it. Until the first success of a probe it is asked more often than its interval
// says, so that a service counts as soon as it works; such failures count once in an interval.
package health

import (
	"fmt"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// MaxOutput is how many bytes of what a probe has to say are kept.
const MaxOutput = 4 << 10

// firstDelay is the least time between two probes before the first success.
const firstDelay = 250 * time.Millisecond

// order is that of questions that are due at the same time.
var order = []app.Kind{app.Startup, app.Liveness, app.Readiness}

// Result is what a probe has found.
type Result struct {
	OK      bool
	Unknown bool   // nobody could ask, through no fault of the instance: it counts for nothing
	Output  string // for people
}

// State is what is known of the health of one instance. It belongs to one goroutine.
type State struct {
	began     time.Time // of the instance
	spread    float64   // where its probes lie between those of others, in [0,1)
	questions map[app.Kind]*question
	last      app.Kind // that was asked last
	daemon    string   // status that somebody else has found out (Told); empty: nobody has
	output    string
	status    string
	since     time.Time     // of status
	stretch   time.Duration // of the last time that it was healthy, when it is not now
	doom      string
}

type question struct {
	app.Probe
	due      time.Time
	counted  time.Time // the last failure that counts, or when they begin to count
	failures int       // in a row, that count
	passed   bool      // the last thing known: it is fine
	failed   bool      // the last thing known: it is not; neither: nothing is known
}

// New returns the state of an instance that began to run then. spread in [0,1) is where its probes lie between those of
// others.
func New(probes map[app.Kind]app.Probe, began, now time.Time, spread float64) *State {
	if began.After(now) { // the clock was set back since
		began = now
	}
	s := &State{
		began: began, spread: spread, questions: map[app.Kind]*question{}, status: masterapi.HealthStarting, since: now,
	}
	for k, p := range probes {
		s.questions[k] = &question{
			Probe: p, due: now.Add(time.Duration(spread * float64(min(p.Interval, firstDelay)))),
			counted: began.Add(p.StartPeriod),
		}
	}
	return s
}

// Resume is New for an instance of which an earlier master has known was; nil: nothing.
func Resume(probes map[app.Kind]app.Probe, was *masterapi.Health, began, now time.Time, spread float64) *State {
	s := New(probes, began, now, spread)
	if was == nil || was.Status != masterapi.HealthHealthy && was.Status != masterapi.HealthUnhealthy {
		return s
	}
	s.status, s.output = was.Status, was.Output
	if was.Since != nil && was.Since.Before(now) {
		s.since = *was.Since
	}
	healthy := was.Status == masterapi.HealthHealthy
	for k, q := range s.questions {
		q.due = now.Add(time.Duration(spread * float64(q.Interval)))
		q.passed = healthy || k == app.Startup
		if q.failed = !q.passed; q.failed { // it has failed often enough already
			q.failures = q.Retries - 1
		}
	}
	return s
}

// Due returns the probe that is to be made next, and when; false: none is.
func (s *State) Due() (k app.Kind, at time.Time, ok bool) {
	for _, kind := range order {
		if q := s.questions[kind]; q != nil && s.asks(kind) && (!ok || q.due.Before(at)) {
			k, at, ok = kind, q.due, true
		}
	}
	return k, at, ok
}

// asks tells whether the question is asked now: that of startup until its success, the others after it.
func (s *State) asks(k app.Kind) bool {
	startup := s.questions[app.Startup]
	if startup == nil {
		return true
	}
	return startup.passed != (k == app.Startup)
}

// Probe returns what a kind asks.
func (s *State) Probe(k app.Kind) app.Probe { return s.questions[k].Probe }

// Note takes the result of a probe that has ended now. After Doom nothing changes any more.
func (s *State) Note(k app.Kind, r Result, now time.Time) {
	q := s.questions[k]
	if s.doom != "" {
		return
	}
	q.due = now.Add(q.Interval)
	if r.Unknown {
		return
	}
	s.last, s.output = k, clip(r.Output)
	if r.OK {
		if !q.passed { // from here on the probes of services that have started together lie apart
			q.due = q.due.Add(-time.Duration(s.spread / 2 * float64(q.Interval)))
		}
		q.passed, q.failed, q.failures = true, false, 0
		if k == app.Startup {
			s.release(now)
		}
		s.settle(now)
		return
	}
	known := q.passed || q.failed
	if known || now.Sub(q.counted) >= q.Interval {
		q.failures++
		q.counted = now
	}
	if !known && q.failures < q.Retries {
		q.due = now.Add(s.soon(q, now))
	}
	if q.failures >= q.Retries {
		q.passed, q.failed = false, true
		if k != app.Readiness {
			s.doom = fmt.Sprintf("%s: %s", k, times(q.failures))
			if line := masterapi.Line(s.output); line != "" {
				s.doom += ": " + line
			}
		}
	}
	s.settle(now)
}

// release begins the questions that have waited for that of startup.
func (s *State) release(now time.Time) {
	for k, q := range s.questions {
		if k != app.Startup {
			q.due = now
			if q.counted.Before(now) {
				q.counted = now
			}
		}
	}
}

// soon is the time until the next probe before the first success: a quarter of what has passed, and never more than to
// the time when the next failure counts.
func (s *State) soon(q *question, now time.Time) time.Duration {
	d := max(now.Sub(s.began)/4, firstDelay)
	if next := q.counted.Add(q.Interval).Sub(now); next > 0 {
		d = min(d, next)
	}
	return min(d, q.Interval)
}

// Told takes the status that somebody else has found out (masterapi.Health…), who counts failures too. An unhealthy
// instance is doomed.
func (s *State) Told(status string, output string, now time.Time) {
	if s.doom != "" {
		return
	}
	s.daemon, s.output = status, clip(output)
	if status == masterapi.HealthUnhealthy {
		s.doom = string(app.Liveness) + ": the health check of the container has failed"
		if line := masterapi.Line(s.output); line != "" {
			s.doom += ": " + line
		}
	}
	s.settle(now)
}

// settle notes when the status has become another one.
func (s *State) settle(now time.Time) {
	status := s.judge()
	if status == s.status {
		return
	}
	if s.status == masterapi.HealthHealthy {
		s.stretch = now.Sub(s.since)
	}
	s.status, s.since = status, now
}

func (s *State) judge() string {
	if s.daemon != "" {
		return s.daemon
	}
	all := true
	for _, q := range s.questions {
		if q.failed {
			return masterapi.HealthUnhealthy
		}
		all = all && q.passed
	}
	if all {
		return masterapi.HealthHealthy
	}
	return masterapi.HealthStarting
}

// Doom says why the instance is to be ended, as its restart policy says then; empty: it is not.
func (s *State) Doom() string { return s.doom }

// Healthy is how long the instance has been healthy, or had been when that ended.
func (s *State) Healthy(now time.Time) time.Duration {
	if s.status == masterapi.HealthHealthy {
		return now.Sub(s.since)
	}
	return s.stretch
}

// Health is what others see.
func (s *State) Health() *masterapi.Health {
	since := s.since.UTC()
	out := &masterapi.Health{Status: s.status, Since: &since, Output: s.output, Probe: string(s.last)}
	for _, q := range s.questions {
		out.Failures = max(out.Failures, q.failures)
	}
	return out
}

func times(n int) string {
	if n == 1 {
		return "a probe has failed"
	}
	return fmt.Sprintf("%d probes in a row have failed", n)
}

// clip keeps the beginning; what is no character becomes a question mark.
func clip(text string) string { return strings.ToValidUTF8(text[:min(len(text), MaxOutput)], "?") }
