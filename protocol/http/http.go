// Package http serves and calls the JSON APIs of the system over a unix socket or tcp, with TLS where a certificate is
// configured.
//
//	Client ──PUT /path, two headers, JSON──► unix socket or tcp ──► Server ──► handler
//	       ◄──JSON, or {"code", "message"} with a status of 400 or more──
//
// It promises that one server owns one socket (a second one gets an error, a stale or lost file is replaced), that the
// next server takes over what a keeper holds, that a body is at most MaxBody bytes, that no request holds a connection
// for ever, that nobody keeps others out by connections, and that credentials never follow a redirect. It knows nothing
// of routes or rights.
package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// MaxBody is the largest body of a request, in bytes.
const MaxBody = 1 << 20

// DefaultTimeout bounds one request where the configuration says nothing.
const DefaultTimeout = 5 * time.Minute

// Error is an answer with a status of 400 or more.
type Error struct {
	Status  int    // HTTP status
	Code    string // stable word, for example not_found; empty when the server sent no JSON
	Message string // for people
}

// Error has the form of 2019: [401] account unauthorized.
func (e *Error) Error() string { return fmt.Sprintf("[%d] %s", e.Status, e.Message) }

// Errorf makes an Error.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Meaning is what an error of a server's own means for who asks.
type Meaning struct {
	Err    error
	Status int
	Code   string // see Error
}

// ErrorOf returns the answer to an error: itself if it is an Error, or wraps one; else with the first of list that it
// is, or as a failure of the server.
func ErrorOf(err error, list []Meaning) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	for _, m := range list {
		if errors.Is(err, m.Err) {
			return &Error{Status: m.Status, Code: m.Code, Message: err.Error()}
		}
	}
	return &Error{Status: nethttp.StatusInternalServerError, Code: "failed", Message: err.Error()}
}

// WriteJSON answers with v as JSON, or with an empty body when v is nil.
func WriteJSON(w nethttp.ResponseWriter, status int, v any) {
	if v == nil {
		w.WriteHeader(status)
		return
	}
	body, err := json.Marshal(v)
	if err != nil {
		WriteError(w, Errorf(nethttp.StatusInternalServerError, "internal", "encode answer: %s", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// From here on the client is waited for, not the handler. Only a recorder of tests has no deadline.
	_ = nethttp.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // fails only when the client has gone
}

// WriteError answers with the one JSON shape of an error.
func WriteError(w nethttp.ResponseWriter, e *Error) {
	WriteJSON(w, e.Status, masterapi.Error{Code: e.Code, Message: e.Message})
}

// ReadJSON decodes the body of r, which is one JSON value, into out. An error is an *Error with status 400 or 413.
func ReadJSON(r *nethttp.Request, out any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *nethttp.MaxBytesError
		if errors.As(err, &tooLarge) {
			return Errorf(nethttp.StatusRequestEntityTooLarge, "too_large", "body is larger than %d bytes", tooLarge.Limit)
		}
		return Errorf(nethttp.StatusBadRequest, "bad_request", "read body: %s", err)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return Errorf(nethttp.StatusBadRequest, "bad_request", "read body: %s", err)
	}
	return nil
}

// readError makes an Error from an answer; servers that answer in plain text are understood too.
func readError(status int, body []byte) *Error {
	var e masterapi.Error
	if json.Unmarshal(body, &e) == nil && e.Message != "" {
		return &Error{Status: status, Code: e.Code, Message: e.Message}
	}
	text := strings.TrimSpace(string(body))
	if len(text) > 1024 { // a page of HTML from a proxy does not belong into a log line
		text = text[:1024] + "…"
	}
	if text == "" {
		text = strings.ToLower(nethttp.StatusText(status))
	}
	return &Error{Status: status, Message: text}
}
