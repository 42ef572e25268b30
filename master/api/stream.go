package api

import (
	"context"
	nethttp "net/http"
	"sync"

	"github.com/baetyl/baetyl/protocol/http"
)

// Streams at a time, each with a goroutine and a queue: of one caller (a service, or the user of a person), and of all.
const (
	maxStreams    = 64
	maxStreamsOne = 16
)

// endless is an answer that takes as long as the caller wants. An error means that nothing was answered.
type endless interface {
	serve(w nethttp.ResponseWriter, r *nethttp.Request) error
}

// stream is an answer without an end in sight.
type stream struct {
	content string // http.ContentLines, or another type
	run     func(ctx context.Context, s *http.Stream) error
	close   func() // called at the end, also when run was not called; nil: there is nothing to close
}

// linesOf is a stream of JSON values.
func linesOf(run func(ctx context.Context, s *http.Stream) error) stream {
	return stream{content: http.ContentLines, run: run}
}

func (s stream) serve(w nethttp.ResponseWriter, r *nethttp.Request) error {
	return http.ServeStream(w, r, s.content, s.run)
}

// serveEndless serves e when the caller has not too many of them.
func (h *handler) serveEndless(w nethttp.ResponseWriter, r *nethttp.Request, by caller, e endless) error {
	if s, ok := e.(stream); ok && s.close != nil {
		defer s.close()
	}
	if !h.streams.begin(by.who) {
		return http.Errorf(nethttp.StatusTooManyRequests, "too_many",
			"too many streams are open: a caller may have %d, all together %d; end one, or try again later",
			maxStreamsOne, maxStreams)
	}
	defer h.streams.end(by.who)
	return e.serve(w, r)
}

// streams counts those that are open. Its zero value is ready.
type streams struct {
	mu  sync.Mutex // guards what follows
	all int
	of  map[string]int
}

func (s *streams) begin(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.of[who] >= maxStreamsOne {
		return false
	}
	if s.of == nil {
		s.of = map[string]int{}
	}
	s.all++
	s.of[who]++
	return true
}

func (s *streams) end(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[who]--; s.of[who] == 0 {
		delete(s.of, who)
	}
}
