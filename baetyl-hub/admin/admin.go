// Package admin is the hub's admin interface: what the hub has, for persons, and a few things that they can do.
//
//	person ─► host, peer? (403) ─► route? (404, 405) ─► parameters, body? (400) ─┬► Lists   ─► JSON, or one error shape
//	                                                                             └► Actions ─► and a line in the log
//
// It serves the routes of protocol/hubapi. It knows no MQTT and no connections of it; docs/hub.md describes what it
// answers. At most mostLists lists are made at a time, so that those who ask take little from those who publish.
package admin

import (
	"context"
	"errors"
	nethttp "net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
)

// Lists are what the hub has. Methods are called from the goroutine of each request. The key is that of the next page;
// the zero value: there is none.
type Lists interface {
	Clients(q core.Query) ([]hubapi.Client, core.Key)
	Sessions(q core.Query) ([]hubapi.Session, core.Key)
	Subscriptions(q core.Query) ([]hubapi.Subscription, core.Key)
	Retained(q core.Query) ([]hubapi.RetainedMessage, core.Key)
	Counters() map[string]int64
	Access(user, client, action, topic string) hubapi.Decision
}

// Actions change something. Methods are called from the goroutine of each request, and return when it is done and
// stored, or the error of ctx. Errors: core.ErrNotFound, core.ErrChanging, core.ErrInvalid, core.ErrFull, others of the
// store.
type Actions interface {
	Kick(client, reason string) error
	DeleteSession(ctx context.Context, client string) error
	// DeleteRetained returns how many were deleted, also with an error.
	DeleteRetained(ctx context.Context, topic string) (int, error)
	DeleteRetainedMatching(ctx context.Context, filter string) (int, error)
	Publish(ctx context.Context, m *record.Message) error
}

// mostLists is how many lists are made at a time. Others wait.
const mostLists = 2

type handler struct {
	lists   Lists
	actions Actions
	admit   func(http.Peer) error
	log     log.Logger
	routes  map[string]route
	making  chan struct{} // lists, up to mostLists; full: the request waits until its time is over
	strange atomic.Int64  // when somebody was refused, and logged, last: in ns of Unix time
}

// route is what is done at a path.
type route struct {
	method string
	params []string // names of the query
	call   func(*request) (any, error)
}

// request is a request whose sender, path and query are good.
type request struct {
	*nethttp.Request
	query map[string]string
	note  map[string]string // about an action, for the log
}

// New returns the handler of all routes. admit tells why a peer may not use it; nil: it may.
func New(lists Lists, actions Actions, admit func(http.Peer) error, l log.Logger) nethttp.Handler {
	h := &handler{lists: lists, actions: actions, admit: admit, log: l, making: make(chan struct{}, mostLists)}
	h.routes = map[string]route{
		hubapi.Clients:        list(h, lists.Clients, "user", "client"),
		hubapi.Sessions:       list(h, lists.Sessions, "user", "client"),
		hubapi.Subscriptions:  list(h, lists.Subscriptions, "user", "client", "topic"),
		hubapi.Retained:       list(h, lists.Retained, "topic"),
		hubapi.Counters:       {nethttp.MethodGet, nil, func(*request) (any, error) { return lists.Counters(), nil }},
		hubapi.Access:         {nethttp.MethodGet, []string{"user", "client", "topic", "action"}, h.access},
		hubapi.Kick:           {nethttp.MethodPost, nil, h.kick},
		hubapi.DeleteSession:  {nethttp.MethodPost, nil, h.deleteSession},
		hubapi.DeleteRetained: {nethttp.MethodPost, nil, h.deleteRetained},
		hubapi.Publish:        {nethttp.MethodPost, nil, h.publish},
	}
	return h
}

// ServeHTTP implements http.Handler of net/http.
func (h *handler) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Errorf("request panicked: %v\n%s", p, debug.Stack())
			http.WriteError(w, http.Errorf(nethttp.StatusInternalServerError, "internal", "internal error"))
		}
	}()
	who, err := h.identify(r)
	if err != nil {
		http.WriteError(w, err)
		return
	}
	at, ok := h.routes[r.URL.Path]
	switch {
	case !ok:
		http.WriteError(w, http.Errorf(nethttp.StatusNotFound, "not_found", "no such path: %s; use one of %s",
			quote(r.URL.Path), strings.Join(h.paths(), ", ")))
		return
	case at.method != r.Method:
		w.Header().Set("Allow", at.method)
		http.WriteError(w, http.Errorf(nethttp.StatusMethodNotAllowed, "method_not_allowed", "use %s %s", at.method,
			r.URL.Path))
		return
	}
	x := &request{Request: r, note: map[string]string{}}
	var out any
	failed := x.parse(at.params)
	if failed == nil {
		out, failed = at.call(x)
	}
	e := answerTo(failed)
	if r.Method == nethttp.MethodPost {
		h.audit(who, x, e)
	}
	if e != nil {
		http.WriteError(w, e)
		return
	}
	http.WriteJSON(w, nethttp.StatusOK, out)
}

// identify returns who asks, if that is a person who may, under a name that the socket may have.
func (h *handler) identify(r *nethttp.Request) (who string, e *http.Error) {
	if host := addr.Host(r.Host); !addr.Expected(host, nil) {
		return "", http.Errorf(nethttp.StatusForbidden, "forbidden", "%s is no name of this socket; use http://hub/",
			quote(host))
	}
	p, ok := http.PeerOf(r.Context())
	if !ok {
		return "", http.Errorf(nethttp.StatusForbidden, "forbidden", "it is not known who asks; use the unix socket")
	}
	if err := h.admit(p); err != nil {
		now := time.Now().UnixNano()
		if last := h.strange.Load(); now-last > int64(time.Minute) && h.strange.CompareAndSwap(last, now) {
			h.log.WithError(err).Warnf("request refused at the admin socket; more are not logged for a minute")
		}
		return "", http.Errorf(nethttp.StatusForbidden, "forbidden", "%s", err)
	}
	return p.String(), nil
}

func (h *handler) paths() (list []string) {
	for p, at := range h.routes {
		list = append(list, at.method+" "+p)
	}
	slices.Sort(list)
	return list
}

// audit writes a line about a request that was to change something.
func (h *handler) audit(who string, r *request, e *http.Error) {
	l := h.log.WithField("path", r.URL.Path).WithField("caller", who)
	for name, value := range r.note {
		l = l.WithField(name, cut(value, maxQuoted))
	}
	if e == nil {
		l.WithField("outcome", "done").Infof("admin request")
		return
	}
	outcome := "refused"
	if e.Status >= nethttp.StatusInternalServerError {
		outcome = "failed"
	}
	l.WithField("outcome", outcome).WithField("status", e.Status).WithError(e).Warnf("admin request")
}

// meanings is the one place where errors become statuses.
var meanings = []http.Meaning{
	{Err: core.ErrNotFound, Status: nethttp.StatusNotFound, Code: "not_found"},
	{Err: core.ErrInvalid, Status: nethttp.StatusBadRequest, Code: "bad_request"},
	{Err: core.ErrChanging, Status: nethttp.StatusConflict, Code: "conflict"},
	{Err: core.ErrFull, Status: nethttp.StatusInsufficientStorage, Code: "full"},
	{Err: context.DeadlineExceeded, Status: nethttp.StatusServiceUnavailable, Code: "busy"},
	{Err: context.Canceled, Status: nethttp.StatusServiceUnavailable, Code: "busy"},
}

// answerTo returns the answer to an error, whose text is not long unless it is from here; nil: there is none.
func answerTo(err error) *http.Error {
	if err == nil {
		return nil
	}
	e := http.ErrorOf(err, meanings)
	if !errors.Is(err, e) {
		e.Message = cut(e.Message, maxMessage)
	}
	return e
}
