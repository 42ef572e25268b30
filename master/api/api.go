// Package api is the master's RESTful API (documents: Baetyl Design, "RESTful API").
//
//	of a service ─► token? (401) ─► right? (403) ─┬► Services or System ─► JSON, or one error shape
//	of a person ─► user or group? (403) ──────────┘                    └► who changed what: a line in the log
//
// It serves the table masterapi.Routes and nothing else. It knows headers and statuses, and nothing of how services
// run. docs/api/master.yaml describes what it answers; the tests hold each to the other.
package api

import (
	"context"
	"encoding/json"
	nethttp "net/http"
	"runtime/debug"
	"sync"

	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// maxTrace is the longest id of an update, in bytes: it is written in every line of the log of updates, whose readers
// take lines of 1 MiB (masterapi.ReadOTALog).
const maxTrace = 4 << 10

// Services are the calls that concern instances; service.Manager implements it, with the errors of its package. Its
// methods are called from the goroutine of each request.
type Services interface {
	// Authenticate returns what the service may do; ok is false when token is not its token.
	Authenticate(service, token string) (rights []app.Right, ok bool)
	StartInstance(ctx context.Context, service, instance string, vars map[string]string, may service.Judge) error
	StopInstance(ctx context.Context, service, instance string, may service.Judge) error
	Report(service, instance string, report map[string]json.RawMessage) error
}

// System are the calls that concern the whole device; master.Master implements it. Its methods are called from the
// goroutine of each request.
type System interface {
	Inspect() *masterapi.Inspect
	// Update checks the request and begins it: masterapi.ErrBusy, masterapi.ErrRefused. What goes wrong later shows
	// in Inspect. by is the service that asks, empty for a person.
	Update(r masterapi.UpdateRequest, by string) error
	AvailablePort() (string, error)
	// Restart begins to replace the master: masterapi.ErrRefused. who is for the log.
	Restart(who string) error
	// Reload reads the configuration again: masterapi.ErrRefused, and nothing has changed.
	Reload() (masterapi.Reloaded, error)
	// Prune removes what nobody uses any more. What could not be removed is in the answer.
	Prune(ctx context.Context, r masterapi.PruneRequest) masterapi.Pruned
}

type handler struct {
	services Services
	system   System
	log      log.Logger
	identify func(*nethttp.Request) (caller, error)

	lines   lines
	mu      sync.Mutex     // guards running
	running map[string]int // requests, by service
}

// New returns the handler of all routes, for services, which have a token.
func New(services Services, system System, l log.Logger) nethttp.Handler {
	h := &handler{services: services, system: system, log: l.WithField("api", "server"), running: map[string]int{}}
	h.identify = h.service
	return h.routes()
}

// NewAdmin returns the handler of all routes, for persons: whom admit lets in may do everything. It is called at each
// request, and its error is the message of a 403.
func NewAdmin(services Services, system System, admit func(http.Peer) error, l log.Logger) nethttp.Handler {
	h := &handler{services: services, system: system, log: l.WithField("api", "admin"), identify: personBy(admit)}
	return h.routes()
}

func (h *handler) routes() nethttp.Handler {
	mux := nethttp.NewServeMux()
	mux.HandleFunc("/", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		err := http.Errorf(nethttp.StatusNotFound, "not_found", "404 page not found: %s %s", r.Method, r.URL.Path)
		http.WriteError(w, err)
	})
	route := func(r masterapi.Route, f call) {
		for _, path := range paths(r) {
			mux.HandleFunc(r.Method+" "+path, h.serve(r, f))
			mux.HandleFunc(path, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
				w.Header().Set("Allow", r.Method)
				http.WriteError(w, http.Errorf(nethttp.StatusMethodNotAllowed, "method_not_allowed", "use %s", r.Method))
			})
		}
	}
	route(masterapi.RouteInspect, h.inspect)
	route(masterapi.RouteUpdate, h.update)
	route(masterapi.RoutePorts, h.port)
	route(masterapi.RouteStart, h.start)
	route(masterapi.RouteStop, h.stop)
	route(masterapi.RouteReport, h.report)
	route(masterapi.RouteRestart, h.restart)
	route(masterapi.RouteReload, h.reload)
	route(masterapi.RoutePrune, h.prune)
	return mux
}

// call carries out a request that by may make, as far as the route alone tells.
type call func(r *nethttp.Request, by caller) (any, error)

// serve authenticates the caller, checks its right, and turns the result of f into an answer and a line of the log.
func (h *handler) serve(route masterapi.Route, f call) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) {
		by, err := h.identify(r)
		l := h.log.WithField("method", r.Method).WithField("path", quotable(r.URL.EscapedPath(), maxQuoted)).
			WithField("caller", quotable(by.name, maxQuoted))
		if !by.person {
			l = l.WithField("peer", peerOf(r))
		}
		defer func() {
			if p := recover(); p != nil {
				l.Errorf("request panicked: %v\n%s", p, debug.Stack())
				http.WriteError(w, http.Errorf(nethttp.StatusInternalServerError, "internal", "internal error"))
			}
		}()
		var out any
		if err == nil {
			err = by.allow(route, r.PathValue("service"))
		}
		if err == nil {
			out, err = h.limited(by, r, f)
		}
		if err != nil {
			e := http.ErrorOf(err, meanings)
			h.note(l, route, by, e)
			http.WriteError(w, e)
			return
		}
		h.note(l, route, by, nil)
		http.WriteJSON(w, nethttp.StatusOK, out)
	}
}

// limited runs f if the caller does not run too much already.
func (h *handler) limited(by caller, r *nethttp.Request, f call) (any, error) {
	done, err := h.begin(by)
	if err != nil {
		return nil, err
	}
	defer done()
	return f(r, by)
}

// meanings is the one place where errors become statuses.
var meanings = []http.Meaning{
	{Err: service.ErrNotFound, Status: nethttp.StatusNotFound, Code: "not_found"},
	{Err: service.ErrInvalid, Status: nethttp.StatusBadRequest, Code: "bad_request"},
	{Err: service.ErrForbidden, Status: nethttp.StatusForbidden, Code: "forbidden"},
	{Err: service.ErrLimit, Status: nethttp.StatusUnprocessableEntity, Code: "limit_reached"},
	{Err: service.ErrStopped, Status: nethttp.StatusConflict, Code: "conflict"},
	{Err: masterapi.ErrBusy, Status: nethttp.StatusConflict, Code: "busy"},
	{Err: masterapi.ErrRefused, Status: nethttp.StatusUnprocessableEntity, Code: "refused"},
}

func (h *handler) inspect(*nethttp.Request, caller) (any, error) { return h.system.Inspect(), nil }

func (h *handler) update(r *nethttp.Request, by caller) (any, error) {
	var in masterapi.UpdateRequest
	if err := http.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	if len(in.Trace) > maxTrace {
		return nil, http.Errorf(nethttp.StatusBadRequest, "bad_request", "trace: has %d bytes; use up to %d",
			len(in.Trace), maxTrace)
	}
	service := by.name
	if by.person {
		service = ""
	}
	return nil, h.system.Update(in, service)
}

func (h *handler) port(*nethttp.Request, caller) (any, error) {
	p, err := h.system.AvailablePort()
	return masterapi.PortAvailable{Port: p}, err
}

func (h *handler) restart(r *nethttp.Request, _ caller) (any, error) {
	p, _ := http.PeerOf(r.Context()) // at the admin socket there is always one
	return nil, h.system.Restart("baetyl restart, " + p.String())
}

func (h *handler) reload(*nethttp.Request, caller) (any, error) { return h.system.Reload() }

func (h *handler) prune(r *nethttp.Request, _ caller) (any, error) {
	var in masterapi.PruneRequest
	if err := http.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	return h.system.Prune(r.Context(), in), nil
}

func (h *handler) start(r *nethttp.Request, by caller) (any, error) {
	var vars map[string]string
	if err := http.ReadJSON(r, &vars); err != nil {
		return nil, err
	}
	return nil, h.services.StartInstance(r.Context(), r.PathValue("service"), r.PathValue("instance"), vars,
		by.may(masterapi.RouteStart))
}

func (h *handler) stop(r *nethttp.Request, by caller) (any, error) {
	return nil, h.services.StopInstance(r.Context(), r.PathValue("service"), r.PathValue("instance"),
		by.may(masterapi.RouteStop))
}

func (h *handler) report(r *nethttp.Request, _ caller) (any, error) {
	var body json.RawMessage
	if err := http.ReadJSON(r, &body); err != nil {
		return nil, err
	}
	in, err := parseReport(body)
	if err != nil {
		return nil, http.Errorf(nethttp.StatusBadRequest, "bad_request", "read report: %s", err)
	}
	return nil, h.services.Report(r.PathValue("service"), r.PathValue("instance"), in)
}
