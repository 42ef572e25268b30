//go:build unix

package docker

import (
	"io"
	"strings"
	"time"

	"github.com/baetyl/baetyl/utils/logfile"
)

// place is how far the output of an instance is in the file of its service. What the daemon gives is in order within a
// stream and has times in nanoseconds (podman: in seconds); the file has milliseconds. So the daemon is asked from the
// millisecond of the last line on, and what the file has of that millisecond is passed over. Where the last line does
// not come first, as after a clock that was set back before it, the daemon's lines are read twice, at first to find
// where it comes last. So they are when one comes that is older than the last one: the clock was set back, or the
// daemon has rotated its files and sends lines again (20.10 does, to who follows).
type place struct {
	streams [2]progress   // stdout, stderr
	back    time.Duration // that the clock was set back since the last line, or more; 0: not
	lost    bool          // the last line has to be found
}

// progress is where one stream is.
type progress struct {
	at       time.Time // of the last line, in milliseconds; zero: none
	lines    []string  // with that time, as far as the file has them in one line (partCap)
	passing  bool      // lines are passed over, until one is new
	passed   int       // of lines
	seen     int       // lines of the daemon, while the last one is looked for
	skip     int       // of them, up to the last one of the file
	met      bool      // that one is among them
	sure     bool      // the next line was found to be new
	exact    time.Time // of the last line that was read here; zero: none was
	complete bool      // of a search: nothing further back matters
}

var streamNames = [2]string{logfile.Stdout, logfile.Stderr}

// partCap is what the file has in one line (logfile).
const partCap = 64 << 10

// read asks the daemon for its lines since a time, and calls line with each that is new until there are no more. ask
// may be told not to wait for further lines.
func (p *place) read(ask func(since string, follow bool) (io.ReadCloser, error),
	line func(stream int, at time.Time, text string),
) error {
	for {
		since := p.since()
		if p.lost {
			said, err := ask(since, false)
			if err != nil {
				return err
			}
			err = frames(said, p.compare)
			_ = said.Close()
			if err != nil {
				return err
			}
			p.lost = false
		}
		said, err := ask(since, true)
		if err != nil {
			return err
		}
		err = frames(said, func(stream int, at time.Time, text string) {
			if p.take(stream, at, text) {
				line(stream, at, text)
			} else if p.lost {
				_ = said.Close()
			}
		})
		_ = said.Close()
		if !p.lost {
			return err
		}
	}
}

// since is when the daemon is asked from; from there on take passes over what is in the file.
func (p *place) since() string {
	first := p.streams[0].at
	for n := range p.streams {
		s := &p.streams[n]
		s.passing, s.passed, s.seen, s.skip, s.met, s.sure = true, 0, 0, 0, false, false
		if s.at.Before(first) {
			first = s.at
		}
	}
	p.lost = p.lost || p.back > 0
	if first.IsZero() {
		return ""
	}
	return first.Add(-p.back).Format(time.RFC3339Nano)
}

// last is the time of the last line; zero: there is none.
func (p *place) last() time.Time {
	if p.streams[1].at.After(p.streams[0].at) {
		return p.streams[1].at
	}
	return p.streams[0].at
}

// linesSince returns the last lines that are no older than a time.
func (p *place) linesSince(began time.Time) []string {
	first, second := p.streams[0], p.streams[1]
	if second.at.Before(first.at) {
		first, second = second, first
	}
	var out []string
	for _, s := range []progress{first, second} {
		unit := time.Millisecond
		if whole(s.at) {
			unit = time.Second
		}
		if !s.at.Before(began.Truncate(unit)) {
			out = append(out, s.lines...)
		}
	}
	return out
}

// compare searches for the last line of the file among those of the daemon.
func (p *place) compare(stream int, at time.Time, text string) {
	s := &p.streams[stream]
	s.passing, s.sure = false, true
	s.seen++
	at, text = at.Truncate(time.Millisecond), text[:min(len(text), partCap)]
	if !at.Equal(s.at) {
		if s.passed = 0; at.Before(s.at) && s.skip == s.seen-1 && !s.met {
			s.skip = s.seen // as long as it was not met, the time decides
		}
		return
	}
	before := s.passed
	switch {
	case s.pass(text):
		s.skip, s.met = s.seen, true
	case s.passed > before: // the file has half of it
		s.skip, s.met = s.seen-1, true
	}
}

// take tells whether a line is new, and remembers it then.
func (p *place) take(stream int, at time.Time, text string) bool {
	s := &p.streams[stream]
	exact := at
	at, text = at.Truncate(time.Millisecond), text[:min(len(text), partCap)]
	switch {
	case p.lost:
		return false
	case s.skip > 0:
		s.skip--
		return false
	case s.sure:
	case !s.passing && s.again(exact, text):
		p.lost, p.back = true, s.exact.Sub(exact)+time.Millisecond
		return false
	case !s.passing:
	case s.passed == 0 && at.Before(s.at), at.Equal(s.at) && s.pass(text):
		return false
	case s.passed == 0 && len(s.lines) > 0:
		p.lost = true
		return false
	}
	s.passing, s.sure, s.exact, p.back = false, false, exact, 0
	if !at.Equal(s.at) {
		s.at, s.lines = at, s.lines[:0]
	}
	s.lines = append(s.lines, text)
	return true
}

// again tells whether a line may be one that was read already. Where times are whole seconds, many lines have the same.
func (s *progress) again(at time.Time, text string) bool {
	return at.Before(s.exact) || at.Equal(s.exact) && !whole(at) && s.lines[len(s.lines)-1] == text
}

// whole tells whether a time is one of whole seconds, as podman gives lines. One of nanoseconds hardly ever is.
func whole(at time.Time) bool { return at.Nanosecond() == 0 }

// pass tells whether the next line of that millisecond in the file is text. A master that was killed while it wrote has
// left half of the line there, before the whole one or without it.
func (s *progress) pass(text string) bool {
	for s.passed < len(s.lines) && s.lines[s.passed] != text && strings.HasPrefix(text, s.lines[s.passed]) {
		s.passed++
	}
	if s.passed == len(s.lines) || s.lines[s.passed] != text {
		return false
	}
	s.passed++
	return true
}
