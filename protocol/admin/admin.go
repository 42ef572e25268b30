// Package admin serves the admin interface of a module: what the module has, for persons, and what they can do with it,
// as HTTP and JSON over a unix socket in the run folder of its instance.
//
//	person ─► host, peer? (403) ─► route? (404, 405) ─► parameters, body? (400) ─► the module ─► JSON, or one error shape
//	   └─ through the master: masterapi.HeaderCaller says who that is     └► and a line in the log, if it was a POST
//
// It knows nothing of what the routes do. protocol/hubapi and protocol/functionapi are two sets of them.
package admin

import (
	"context"
	"errors"
	"maps"
	nethttp "net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
)

// Limits of an interface: how long a request may take, how many connections there are, and how many of them may be
// streams, which have no such time.
const (
	Timeout    = time.Minute
	maxConns   = 32
	maxStreams = 8
)

// Route is what is done at a path. One of Call and Stream is set.
type Route struct {
	Method string   // GET; or POST, which has a line in the log
	Params []string // names of the query; each may stand once
	// Call answers; nil as an answer is an empty body. It runs in the goroutine of the request.
	Call func(*Request) (any, error)
	// Stream sends lines of JSON until ctx, or what it has to send, ends.
	Stream func(ctx context.Context, r *Request, to *http.Stream) error
}

// Request is a request whose sender, path and query are good.
type Request struct {
	*nethttp.Request
	Query map[string]string
	note  map[string]string // about an action, for the log
}

// Note adds a field to the line in the log about this request. It is cut to MaxQuoted bytes.
func (r *Request) Note(name, value string) { r.note[name] = value }

// Interface is what a module has for persons.
type Interface struct {
	Module   string           // what it is: masterapi.ModuleHub, or a name of its own
	Routes   map[string]Route // by path; New adds masterapi.PathModule
	Meanings []http.Meaning   // of errors of Call; others are failures of the server
	Metrics  nethttp.Handler  // answers GET masterapi.PathMetrics, for the master; nil: there are no numbers
	Log      log.Logger
}

type handler struct {
	Interface
	admit   func(http.Peer) error
	streams atomic.Int64 // that run
	strange atomic.Int64 // when somebody was refused, and logged, last: in ns of Unix time
}

// New returns the handler of an interface. admit tells why a peer may not use it; nil: it may.
func New(i Interface, admit func(http.Peer) error) nethttp.Handler {
	i.Meanings = append(slices.Clip(i.Meanings),
		http.Meaning{Err: context.DeadlineExceeded, Status: nethttp.StatusServiceUnavailable, Code: "busy"},
		http.Meaning{Err: context.Canceled, Status: nethttp.StatusServiceUnavailable, Code: "busy"})
	routes := map[string]Route{}
	maps.Copy(routes, i.Routes)
	i.Routes = routes
	i.Routes[masterapi.PathModule] = Route{Method: nethttp.MethodGet, Call: func(*Request) (any, error) {
		return masterapi.ModuleKind{Module: i.Module}, nil
	}}
	return &handler{Interface: i, admit: admit}
}

// Server returns the server of the interface at the socket of c; nil: there is none. Serve runs it.
func Server(c Config, i Interface) *http.Server {
	address, mode := c.socket()
	if address == "" {
		return nil
	}
	if !http.CanTellPeers {
		i.Log.Warnf("there is no admin interface: this system does not tell who opens a unix socket")
		return nil
	}
	p, missing := http.FindPersons("admin.group", c.Group, nil)
	if missing != "" {
		i.Log.Infof("%s", missing)
	}
	return http.NewServerWith(http.ServerConfig{Address: address, Timeout: Timeout}, http.Options{
		Name: "admin", Mode: mode, Group: p.Socket(), MaxConns: maxConns, Log: i.Log,
	}, New(i, p.Admit))
}

// Serve serves the interface until ctx ends. The module works without it, so an error is a warning in the log.
func Serve(ctx context.Context, s *http.Server, l log.Logger) error {
	err := s.Listen()
	if err == nil {
		err = s.Serve(ctx)
	}
	if err != nil {
		l.WithError(err).Warnf("there is no admin interface (admin.address); the module goes on without it")
		<-ctx.Done()
	}
	return nil
}

// ServeHTTP implements http.Handler of net/http.
func (h *handler) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	defer func() {
		if p := recover(); p != nil {
			h.Log.Errorf("request panicked: %v\n%s", p, debug.Stack())
			http.WriteError(w, http.Errorf(nethttp.StatusInternalServerError, "internal", "internal error"))
		}
	}()
	who, err := h.identify(r)
	if err != nil {
		http.WriteError(w, err)
		return
	}
	at, ok := h.Routes[r.URL.Path]
	switch {
	case h.Metrics != nil && r.URL.Path == masterapi.PathMetrics && r.Method == nethttp.MethodGet:
		h.Metrics.ServeHTTP(w, r)
		return
	case !ok:
		http.WriteError(w, http.Errorf(nethttp.StatusNotFound, "not_found", "no such path: %s; use one of %s",
			Quote(r.URL.Path), strings.Join(h.paths(), ", ")))
		return
	case at.Method != r.Method:
		w.Header().Set("Allow", at.Method)
		http.WriteError(w, http.Errorf(nethttp.StatusMethodNotAllowed, "method_not_allowed", "use %s %s", at.Method,
			r.URL.Path))
		return
	}
	x := &Request{Request: r, note: map[string]string{}}
	var out any
	failed := x.parse(at.Params)
	switch {
	case failed != nil:
	case at.Stream != nil:
		if failed = h.stream(w, x, at.Stream); failed == nil {
			return
		}
	default:
		out, failed = at.Call(x)
	}
	e := h.answerTo(failed)
	if r.Method == nethttp.MethodPost {
		h.audit(who, x, e)
	}
	if e != nil {
		http.WriteError(w, e)
		return
	}
	http.WriteJSON(w, nethttp.StatusOK, out)
}

// stream answers with a stream. An error means that nothing was answered.
func (h *handler) stream(w nethttp.ResponseWriter, r *Request,
	run func(context.Context, *Request, *http.Stream) error) error {
	defer h.streams.Add(-1)
	if h.streams.Add(1) > maxStreams {
		return http.Errorf(nethttp.StatusTooManyRequests, "too_many", "%d streams run; end one of them first", maxStreams)
	}
	return http.ServeStream(w, r.Request, http.ContentLines, func(ctx context.Context, to *http.Stream) error {
		return run(ctx, r, to)
	})
}

// identify returns who asks, if that is a person who may, under a name that the socket may have.
func (h *handler) identify(r *nethttp.Request) (who caller, e *http.Error) {
	if host := addr.Host(r.Host); !addr.Expected(host, nil) {
		return who, http.Errorf(nethttp.StatusForbidden, "forbidden", "%s is no name of this socket; use http://%s/",
			Quote(host), h.Module)
	}
	p, ok := http.PeerOf(r.Context())
	if !ok {
		return who, http.Errorf(nethttp.StatusForbidden, "forbidden", "it is not known who asks; use the unix socket")
	}
	if err := h.admit(p); err != nil {
		now := time.Now().UnixNano()
		if last := h.strange.Load(); now-last > int64(time.Minute) && h.strange.CompareAndSwap(last, now) {
			h.Log.WithError(err).Warnf("request refused at the admin socket; more are not logged for a minute")
		}
		return who, http.Errorf(nethttp.StatusForbidden, "forbidden", "%s", err)
	}
	who.peer = p.String()
	if p.UID == 0 || p.UID == os.Geteuid() { // only the master speaks for others, and that is one of the two
		who.person = r.Header.Get(masterapi.HeaderCaller)
	}
	return who, nil
}

// caller is who asks, for the log.
type caller struct {
	peer   string // the process at the other end of the socket
	person string // for whom the master asks; empty: it is not the master
}

func (h *handler) paths() (list []string) {
	for p, at := range h.Routes {
		list = append(list, at.Method+" "+p)
	}
	slices.Sort(list)
	return list
}

// audit writes a line about a request that was to change something.
func (h *handler) audit(who caller, r *Request, e *http.Error) {
	l := h.Log.WithField("path", r.URL.Path).WithField("caller", who.peer)
	if who.person != "" {
		l = l.WithField("for", Cut(who.person, MaxQuoted))
	}
	for name, value := range r.note {
		l = l.WithField(name, Cut(value, MaxQuoted))
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

// answerTo returns the answer to an error, whose text is not long unless it is from here; nil: there is none.
func (h *handler) answerTo(err error) *http.Error {
	if err == nil {
		return nil
	}
	e := http.ErrorOf(err, h.Meanings)
	if !errors.Is(err, e) {
		e.Message = Cut(e.Message, maxMessage)
	}
	return e
}
