package http

import (
	"context"
	"encoding/json"
	nethttp "net/http"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// ContentLines is the type of a stream of JSON values, one a line.
const ContentLines = "application/x-ndjson"

// unreadLimit is how long a stream waits for a reader that takes nothing. Then it ends, and says why in its last line,
// if the reader takes that within the same time.
const unreadLimit = 30 * time.Second

// streamQueue is how many writes wait for a reader.
const streamQueue = 16

// Codes of the last line of a stream that another one may go on with.
const (
	CodeUnread = "unread" // the client took nothing for too long
	CodeEnding = "ending" // the server ends
)

var (
	errUnread = Errorf(nethttp.StatusRequestTimeout, CodeUnread, "the stream was not read for %s", unreadLimit)
	errEnding = Errorf(nethttp.StatusServiceUnavailable, CodeEnding, "the program that sends the stream ends")
)

// streamError is the last line of a stream of lines that did not end well.
type streamError struct {
	Error masterapi.Error `json:"error"`
}

// Stream is an answer without an end in sight. One goroutine at a time uses it.
//
//	Send or Write ─► queue of 16 ─► goroutine ─► client
//
// Send and Write wait for a client that is slow, so a source that must not wait has a bounded queue of its own, and
// counts what it leaves out.
type Stream struct {
	w       nethttp.ResponseWriter
	content string
	unread  time.Duration // unreadLimit; of tests: less
	timer   *time.Timer
	ctx     context.Context // ends when the client has gone, or the server ends
	end     context.CancelCauseFunc
	queue   chan []byte
	written chan struct{} // closed when the goroutine has ended; nil: nothing was sent
}

type endlessKey struct{} // of the context of a stream in that of its request

// endless are the contexts that a stream has instead of that of its request, which has a time limit.
type endless struct {
	conn, server context.Context
	conns        *sync.WaitGroup // of the server
}

// ServeStream answers r with the stream that run sends; content is its type, ContentLines for Send. The context of run
// has no time limit: it ends when the client goes, when it takes nothing for 30 seconds, and when the server ends.
//
// An error of run before anything was sent is returned, and nothing was answered. Later it is the last line of a stream
// of lines, and breaks another one off, so that the client sees that it is not whole. Then, and when the client has
// gone, ServeStream returns nil.
func ServeStream(w nethttp.ResponseWriter, r *nethttp.Request, content string,
	run func(ctx context.Context, s *Stream) error) error {
	return serveStream(w, r, content, unreadLimit, run)
}

func serveStream(w nethttp.ResponseWriter, r *nethttp.Request, content string, unread time.Duration,
	run func(ctx context.Context, s *Stream) error) error {
	ctx := r.Context()
	if e, ok := ctx.Value(endlessKey{}).(endless); ok {
		ctx = e.conn
		var stop context.CancelCauseFunc
		ctx, stop = context.WithCancelCause(ctx)
		defer stop(nil)
		defer context.AfterFunc(e.server, func() { stop(errEnding) })()
	}
	s := &Stream{w: w, content: content, unread: unread, queue: make(chan []byte, streamQueue)}
	s.ctx, s.end = context.WithCancelCause(ctx)
	defer s.end(nil)
	err := run(s.ctx, s)
	if s.written == nil && err != nil {
		return err
	}
	s.Open()
	return s.finish(err)
}

// Open sends the head of the answer, for a stream that may have nothing to send for a while.
func (s *Stream) Open() {
	if s.written != nil {
		return
	}
	s.written = make(chan struct{})
	s.timer = time.NewTimer(s.unread)
	s.w.Header().Set("Content-Type", s.content)
	s.w.Header().Set("X-Content-Type-Options", "nosniff")
	s.w.WriteHeader(nethttp.StatusOK)
	go s.write()
}

// Send sends v as a line of JSON. An error means that the stream is over: run returns it.
func (s *Stream) Send(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.put(append(line, '\n'))
}

// Write sends bytes as they are.
func (s *Stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.put(append([]byte(nil), p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *Stream) put(p []byte) error {
	s.Open()
	if err := context.Cause(s.ctx); err != nil {
		return err
	}
	select {
	case s.queue <- p:
		return nil
	default:
	}
	s.timer.Reset(s.unread)
	select {
	case s.queue <- p:
		return nil
	case <-s.timer.C:
		s.end(errUnread)
		return errUnread
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// write writes what is in the queue until that is closed. It runs alone with s.w.
func (s *Stream) write() {
	defer close(s.written)
	control := nethttp.NewResponseController(s.w)
	flush := func() error {
		// Only a recorder of tests has no deadline. The last line has its time after that of the ones before.
		_ = control.SetWriteDeadline(time.Now().Add(3 * s.unread))
		return control.Flush()
	}
	err := flush()
	for p := range s.queue {
		if err != nil {
			continue
		}
		_ = control.SetWriteDeadline(time.Now().Add(3 * s.unread))
		if _, err = s.w.Write(p); err == nil && len(s.queue) == 0 {
			err = flush()
		}
		if err != nil {
			s.end(err)
		}
	}
}

// finish sends why run has ended, and waits until all is sent.
func (s *Stream) finish(err error) error {
	if cause := context.Cause(s.ctx); cause != nil { // what run returns then only follows from that
		err = cause
	}
	whole := err == nil
	if !whole && s.content == ContentLines {
		e := ErrorOf(err, nil)
		last, _ := json.Marshal(streamError{masterapi.Error{Code: e.Code, Message: e.Message}}) // two texts: cannot fail
		s.timer.Reset(s.unread)
		select {
		case s.queue <- append(last, '\n'):
			whole = true
		case <-s.timer.C:
		}
	}
	close(s.queue)
	s.timer.Stop()
	over := func() { _ = nethttp.NewResponseController(s.w).SetWriteDeadline(time.Unix(1, 0)) }
	if !whole && s.ctx.Err() != nil { // the client has gone, or takes nothing
		over()
	}
	<-s.written
	if !whole {
		over() // net/http cannot write the end of the answer then, so it closes the connection
	}
	return nil
}
