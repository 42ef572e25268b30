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
	"io"
	"net"
	nethttp "net/http"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/events"
	"github.com/baetyl/baetyl/master/history"
	"github.com/baetyl/baetyl/master/logs"
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
	StartInstance(ctx context.Context, service, instance string, vars map[string]string, by *service.Caller) error
	StopInstance(ctx context.Context, service, instance string, by *service.Caller) error
	KillInstance(ctx context.Context, service, instance string, by *service.Caller) error
	// Names are the services that run, sorted.
	Names() []string
	// DialAdmin connects to the admin socket of a service, for persons.
	DialAdmin(ctx context.Context, service string) (net.Conn, error)
	// Address is where an instance listens if a service starts it; empty: at a port.
	Address(service, instance string) string
	Report(service, instance string, report map[string]json.RawMessage) error
	// Running is the instance that a command runs in.
	Running(ctx context.Context, service, instance string) (engine.Instance, error)
	// Statuses returns all services, and measures only if it is told to.
	Statuses(measured bool) []masterapi.ServiceStatus
	// Status returns one, with its definition without secrets.
	Status(service string) (masterapi.ServiceStatus, error)
}

// System are the calls that concern the whole device; master.Master implements it. Its methods are called from the
// goroutine of each request.
type System interface {
	Changes
	// Events are what has happened, for readers at their own pace.
	Events() *events.Ring
	// Logs checks q, and returns what reads it: service.ErrNotFound.
	Logs(q logs.Query) (func(ctx context.Context, send func(masterapi.LogLine) error) error, error)
	Inspect() *masterapi.Inspect
	// Update checks the request and begins it: masterapi.ErrBusy, masterapi.ErrRefused. What goes wrong later shows
	// in Inspect. by is who asks.
	Update(r masterapi.UpdateRequest, by masterapi.By) error
	AvailablePort() (string, error)
	// Restart begins to replace the master: masterapi.ErrRefused. who is for the log.
	Restart(who string) error
	// StopAll begins to stop everything. who is for the log.
	StopAll(who string) error
	// Reload reads the configuration again: masterapi.ErrRefused, and nothing has changed.
	Reload() (masterapi.Reloaded, error)
	// Health says how the services are.
	Health() masterapi.SystemHealth
	// Prune removes what nobody uses any more. What could not be removed is in the answer.
	Prune(ctx context.Context, r masterapi.PruneRequest) masterapi.Pruned
	// Backup writes a backup of the device to w: masterapi.ErrCollecting, ErrBusy.
	Backup(ctx context.Context, w io.Writer, r masterapi.BackupRequest) error
	// Bundle writes a support bundle to w: masterapi.ErrCollecting, ErrBusy.
	Bundle(ctx context.Context, w io.Writer) error
	// Examine returns what is wrong with the device, and what is not.
	Examine(ctx context.Context, network bool) masterapi.Examination
}

type handler struct {
	services Services
	system   System
	log      log.Logger
	identify func(*nethttp.Request) (caller, error)
	page     *Page // that links lead to; nil: there is none, or this is not for those who make links

	lines   lines
	streams streams
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
// request, and its error is the message of a 403. p is the page that links lead to; nil: there is none.
func NewAdmin(services Services, system System, admit func(http.Peer) error, p *Page, l log.Logger) nethttp.Handler {
	h := &handler{services: services, system: system, log: l.WithField("api", "admin"), identify: personBy(admit), page: p}
	return h.routes()
}

func (h *handler) routes() nethttp.Handler {
	mux := nethttp.NewServeMux()
	mux.HandleFunc("/", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		err := http.Errorf(nethttp.StatusNotFound, "not_found", "404 page not found: %s %s", r.Method, r.URL.Path)
		http.WriteError(w, err)
	})
	methods := map[string][]string{} // by path
	route := func(r masterapi.Route, f call) {
		for _, path := range paths(r) {
			mux.HandleFunc(r.Method+" "+path, h.serve(r, f))
			methods[path] = append(methods[path], r.Method)
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
	route(masterapi.RouteStopAll, h.stopAll)
	route(masterapi.RoutePrune, h.prune)
	h.changes(route)
	route(masterapi.RouteExec, h.exec)
	route(masterapi.RouteHealth, func(*nethttp.Request, caller) (any, error) { return h.system.Health(), nil })
	route(masterapi.RouteServices, h.list)
	route(masterapi.RouteService, h.show)
	route(masterapi.RouteLogs, h.logs)
	route(masterapi.RouteEvents, h.events)
	route(masterapi.RouteBackup, h.backup)
	route(masterapi.RouteSupportBundle, h.bundle)
	route(masterapi.RouteDoctor, h.examine)
	route(masterapi.RouteModules, h.modules)
	route(masterapi.RouteServiceAdmin, h.serviceAdmin)
	route(masterapi.RouteServiceChange, h.serviceAdmin)
	route(masterapi.RouteLink, h.page.link)
	for path, allowed := range methods {
		mux.HandleFunc(path, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			http.WriteError(w, http.Errorf(nethttp.StatusMethodNotAllowed, "method_not_allowed", "use %s",
				strings.Join(allowed, " or ")))
		})
	}
	return mux
}

// call carries out a request that by may make, as far as the route alone tells. What it returns is the answer: a
// stream, or what becomes JSON.
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
		long, endless := out.(endless)
		if endless && err == nil {
			err = h.serveEndless(w, r, by, long)
		}
		if err != nil {
			e := http.ErrorOf(err, meanings)
			h.note(l, route, by, e)
			http.WriteError(w, e)
			return
		}
		h.note(l, route, by, nil)
		if endless {
			return
		}
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
	{Err: history.ErrNotFound, Status: nethttp.StatusNotFound, Code: "not_found"},
	{Err: service.ErrNotFound, Status: nethttp.StatusNotFound, Code: "not_found"},
	{Err: service.ErrInvalid, Status: nethttp.StatusBadRequest, Code: "bad_request"},
	{Err: service.ErrForbidden, Status: nethttp.StatusForbidden, Code: "forbidden"},
	{Err: service.ErrLimit, Status: nethttp.StatusUnprocessableEntity, Code: "limit_reached"},
	{Err: service.ErrNoAdmin, Status: nethttp.StatusServiceUnavailable, Code: "unavailable"},
	{Err: service.ErrStopped, Status: nethttp.StatusConflict, Code: "conflict"},
	{Err: service.ErrNotRunning, Status: nethttp.StatusConflict, Code: "not_running"},
	{Err: service.ErrByHand, Status: nethttp.StatusConflict, Code: "stopped"},
	{Err: masterapi.ErrEnding, Status: nethttp.StatusServiceUnavailable, Code: "ending"},
	{Err: masterapi.ErrBusy, Status: nethttp.StatusConflict, Code: "busy"},
	{Err: masterapi.ErrCollecting, Status: nethttp.StatusConflict, Code: "busy"},
	{Err: masterapi.ErrRefused, Status: nethttp.StatusUnprocessableEntity, Code: "refused"},
}

func (h *handler) inspect(_ *nethttp.Request, by caller) (any, error) {
	all := h.system.Inspect()
	if by.visitor {
		all.Software.PWD = ""
		return masterapi.Inspect{Time: all.Time, Software: all.Software}, nil
	}
	return all, nil
}

func (h *handler) update(r *nethttp.Request, by caller) (any, error) {
	var in masterapi.UpdateRequest
	if by.person {
		http.Allow(r, maxApplication)
	}
	if err := http.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	if err := checkTrace(in.Trace); err != nil {
		return nil, err
	}
	if in.Application != "" && !by.person {
		return nil, http.Errorf(nethttp.StatusForbidden, "forbidden",
			"application: is for persons, at %s; write the file below var/db/baetyl, and send its path", masterapi.AdminSocket)
	}
	return nil, h.system.Update(in, by.by(r))
}

func (h *handler) port(r *nethttp.Request, by caller) (any, error) {
	q := r.URL.Query()
	if s, i := q.Get(masterapi.QueryService), q.Get(masterapi.QueryInstance); s != "" && !by.person {
		if address := h.services.Address(s, i); address != "" {
			return masterapi.PortAvailable{Address: address}, nil
		}
	}
	p, err := h.system.AvailablePort()
	return masterapi.PortAvailable{Port: p}, err
}

func (h *handler) restart(r *nethttp.Request, _ caller) (any, error) {
	p, _ := http.PeerOf(r.Context()) // at the admin socket there is always one
	return nil, h.system.Restart("baetyl restart, " + p.String())
}

func (h *handler) stopAll(r *nethttp.Request, _ caller) (any, error) {
	p, _ := http.PeerOf(r.Context()) // as above
	return nil, h.system.StopAll("baetyl stop, " + p.String())
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
	stop := h.services.StopInstance
	kill, err := flag(r.URL.Query(), masterapi.QueryKill)
	if err != nil {
		return nil, err
	}
	if kill {
		stop = h.services.KillInstance
	}
	return nil, stop(r.Context(), r.PathValue("service"), r.PathValue("instance"), by.may(masterapi.RouteStop))
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
