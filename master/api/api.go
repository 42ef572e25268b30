// Package api is the master's RESTful API (documents: Baetyl Design, "RESTful API").
//
//	request ─► who is it? (401) ─► may it? (403) ─► Services or System ─► JSON, or one error shape
//
// It knows routes, headers and statuses, and nothing of how services run.
package api

import (
	"context"
	"encoding/json"
	"errors"
	nethttp "net/http"
	"strings"

	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// Services is what acts on instances; service.Manager implements it.
type Services interface {
	// Authenticate returns what the service may do; ok is false when token is not its token.
	Authenticate(service, token string) (rights []string, ok bool)
	StartInstance(ctx context.Context, service, instance string, vars map[string]string) error
	StopInstance(ctx context.Context, service, instance string) error
	Report(service, instance string, report map[string]json.RawMessage) error
}

// System is what concerns the whole; master.Master implements it.
type System interface {
	Inspect() *masterapi.Inspect
	// Update checks the request and begins it. What goes wrong later shows in Inspect.
	Update(r masterapi.UpdateRequest) error
	AvailablePort() (string, error)
}

type handler struct {
	services Services
	system   System
	log      log.Logger
}

// New returns the handler of all routes.
func New(services Services, system System, l log.Logger) nethttp.Handler {
	h := &handler{services, system, l.WithField("api", "server")}
	mux := nethttp.NewServeMux()
	mux.HandleFunc("/", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		http.WriteError(w, http.Errorf(nethttp.StatusNotFound, "not_found", "404 page not found: %s %s", r.Method, r.URL.Path))
	})
	for _, prefix := range prefixes {
		route := func(pattern, right string, f func(r *nethttp.Request) (any, error)) {
			method, path, _ := strings.Cut(pattern, " ")
			mux.HandleFunc(method+" "+prefix+path, h.serve(right, f))
			mux.HandleFunc(prefix+path, func(w nethttp.ResponseWriter, r *nethttp.Request) {
				w.Header().Set("Allow", method)
				http.WriteError(w, http.Errorf(nethttp.StatusMethodNotAllowed, "method_not_allowed", "use %s", method))
			})
		}
		route("GET /system/inspect", app.RightInspect, h.inspect)
		route("PUT /system/update", app.RightUpdate, h.update)
		route("GET /ports/available", app.RightPorts, h.port)
		route("PUT /services/{service}/instances/{instance}/start", app.RightStart, h.start)
		route("PUT /services/{service}/instances/{instance}/stop", app.RightStop, h.stop)
		route("PUT /services/{service}/instances/{instance}/report", app.RightReport, h.report)
	}
	return mux
}

// serve authenticates the caller, asks whether it may, and turns the outcome of f into an answer.
func (h *handler) serve(right string, f func(*nethttp.Request) (any, error)) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) {
		caller := r.Header.Get(masterapi.HeaderUsername)
		l := h.log.WithField("method", r.Method).WithField("path", r.URL.EscapedPath()).WithField("caller", caller)
		defer func() {
			if p := recover(); p != nil {
				l.Errorf("request panicked: %v", p)
				http.WriteError(w, http.Errorf(nethttp.StatusInternalServerError, "internal", "internal error"))
			}
		}()
		var out any
		err := error(http.Errorf(nethttp.StatusUnauthorized, "unauthorized", "account unauthorized"))
		if rights, ok := h.services.Authenticate(caller, r.Header.Get(masterapi.HeaderPassword)); ok {
			if err = allow(caller, rights, right, r.PathValue("service")); err == nil {
				out, err = f(r)
			}
		}
		if err != nil {
			e := statusOf(err)
			l.WithField("status", e.Status).WithError(err).Warnf("request refused")
			http.WriteError(w, e)
			return
		}
		l.Debugf("request served")
		http.WriteJSON(w, nethttp.StatusOK, out)
	}
}

// statusOf is the one place where errors become statuses.
func statusOf(err error) *http.Error {
	var e *http.Error
	if errors.As(err, &e) {
		return e
	}
	for _, m := range []struct {
		err    error
		status int
		code   string
	}{
		{service.ErrNotFound, nethttp.StatusNotFound, "not_found"},
		{service.ErrInvalid, nethttp.StatusBadRequest, "bad_request"},
		{service.ErrLimit, nethttp.StatusUnprocessableEntity, "limit_reached"},
		{service.ErrStopped, nethttp.StatusConflict, "conflict"},
		{masterapi.ErrBusy, nethttp.StatusConflict, "busy"},
		{masterapi.ErrRefused, nethttp.StatusUnprocessableEntity, "refused"},
	} {
		if errors.Is(err, m.err) {
			return &http.Error{Status: m.status, Code: m.code, Message: err.Error()}
		}
	}
	return &http.Error{Status: nethttp.StatusInternalServerError, Code: "failed", Message: err.Error()}
}

func (h *handler) inspect(*nethttp.Request) (any, error) { return h.system.Inspect(), nil }

func (h *handler) update(r *nethttp.Request) (any, error) {
	var in masterapi.UpdateRequest
	if err := http.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	return nil, h.system.Update(in)
}

func (h *handler) port(*nethttp.Request) (any, error) {
	p, err := h.system.AvailablePort()
	return masterapi.PortAvailable{Port: p}, err
}

func (h *handler) start(r *nethttp.Request) (any, error) {
	var vars map[string]string
	if err := http.ReadJSON(r, &vars); err != nil {
		return nil, err
	}
	return nil, h.services.StartInstance(r.Context(), r.PathValue("service"), r.PathValue("instance"), vars)
}

func (h *handler) stop(r *nethttp.Request) (any, error) {
	return nil, h.services.StopInstance(r.Context(), r.PathValue("service"), r.PathValue("instance"))
}

func (h *handler) report(r *nethttp.Request) (any, error) {
	var in map[string]json.RawMessage
	if err := http.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	if in == nil {
		return nil, http.Errorf(nethttp.StatusBadRequest, "bad_request", "read body: expected a JSON object, found null")
	}
	return nil, h.services.Report(r.PathValue("service"), r.PathValue("instance"), in)
}
