package api

import (
	"errors"
	nethttp "net/http"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// A caller whose requests have lines in the log does not fill it: so many are written each minute, and the others
// counted. Those of one route, and those that are refused, take nothing from others.
const (
	refusedLogged = 10
	changesLogged = 100
	linesEvery    = time.Minute
	// a failure that is the same as the one before is written again after so long
	sameEvery = time.Hour
)

// note writes what became of a request, refused or failed with e: of one that changes something always, of others when
// it was not served.
func (h *handler) note(l log.Logger, route masterapi.Route, by caller, e *http.Error) {
	kind, most, outcome := route.Name, changesLogged, "done"
	switch {
	case e == nil && !route.Changes:
		l.Debugf("request served")
		return
	case e == nil:
	case e.Status >= nethttp.StatusInternalServerError:
		kind, outcome = kind+" failed", "failed"
	default:
		kind, most, outcome = "refused", refusedLogged, "refused"
	}
	reason := ""
	if outcome == "failed" {
		reason = quotable(e.Message, maxMessage)
	}
	before, last, ok := h.lines.next(line{by.who, kind}, reason, most, time.Now())
	if !ok {
		return
	}
	if route.Changes {
		l = l.WithField("outcome", outcome)
	}
	if before > 0 {
		l = l.WithField("left_out_before", before)
	}
	if last {
		l = l.WithField("more", "left out for up to a minute")
	}
	if e == nil {
		l.Infof("request served")
		return
	}
	l.WithField("status", e.Status).WithError(errors.New(quotable(e.Message, maxMessage))).Warnf("request %s", outcome)
}

// lines counts those of each caller and kind. Its zero value is ready.
type lines struct {
	mu    sync.Mutex // guards what follows
	begin time.Time  // of the minute
	of    map[line]*count
}

type line struct{ who, kind string }

type count struct {
	logged, more int
	reason       string // of the line that was written last
	written      time.Time
}

// next counts a line of which most are written in a minute; a reason, which is why a request failed, is not written
// again and again. The line is written when ok is true, with how many were left out before it; last tells that the next
// one of this minute is not.
func (s *lines) next(of line, reason string, most int, now time.Time) (before int, last, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[line]*count{}
	}
	if now.Sub(s.begin) >= linesEvery {
		s.begin = now
		for key, c := range s.of {
			if c.logged = 0; c.more == 0 && (c.reason == "" || now.Sub(c.written) >= sameEvery) {
				delete(s.of, key)
			}
		}
	}
	c := s.of[of]
	if c == nil {
		c = &count{}
		s.of[of] = c
	}
	same := reason != "" && c.reason == reason && now.Sub(c.written) < sameEvery
	if same || c.logged == most {
		c.more++
		return 0, false, false
	}
	c.logged++
	c.reason, c.written = reason, now
	before, c.more = c.more, 0
	return before, c.logged == most, true
}

// peerOf is who sends the request, as far as the kernel knows: user and process, or an address.
func peerOf(r *nethttp.Request) string {
	if peer, ok := http.PeerOf(r.Context()); ok {
		return peer.String()
	}
	return r.RemoteAddr
}

// Bytes of texts that a caller has sent, or has a part in, that a line of the log can bear.
const (
	maxQuoted  = 200
	maxMessage = 600
)

// quotable cuts a text to most bytes.
func quotable(text string, most int) string {
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
