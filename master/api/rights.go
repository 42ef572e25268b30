package api

import (
	nethttp "net/http"
	"slices"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// maxRunning is how many requests of a service run at a time, so that no few services can take all connections.
const maxRunning = 64

// begin counts a request of the service c; done ends it. A person has no limit.
func (h *handler) begin(c caller) (done func(), err error) {
	if c.person {
		return func() {}, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running[c.name] >= maxRunning {
		return nil, http.Errorf(nethttp.StatusTooManyRequests, "too_many",
			"%d requests of service (%s) are running; try again later", maxRunning, c.name)
	}
	h.running[c.name]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.running[c.name]--; h.running[c.name] == 0 {
			delete(h.running, c.name)
		}
	}, nil
}

// caller is who sends a request.
type caller struct {
	name   string // of a service; uid and pid of a person
	person bool
	known  bool     // a service whose token is right
	rights []string // of a service
}

// service is the caller that proves itself by its token.
func (h *handler) service(r *nethttp.Request) (caller, error) {
	c := caller{name: r.Header.Get(masterapi.HeaderUsername)}
	rights, ok := h.services.Authenticate(c.name, r.Header.Get(masterapi.HeaderPassword))
	if !ok {
		return c, http.Errorf(nethttp.StatusUnauthorized, "unauthorized", "account unauthorized")
	}
	c.known, c.rights = true, rights
	return c, nil
}

// person is the caller at the admin socket, whose server has judged it (persons).
func person(r *nethttp.Request) (caller, error) {
	p, ok := http.PeerOf(r.Context())
	if !ok {
		return caller{}, http.Errorf(nethttp.StatusForbidden, "forbidden", "it is not known who asks")
	}
	return caller{name: p.String(), person: true}, nil
}

// allow tells why c may not use route on the service target, which is empty where no service is named.
func (c caller) allow(route masterapi.Route, target string) error {
	if c.person {
		return nil
	}
	if route.Admin {
		return http.Errorf(nethttp.StatusForbidden, "forbidden",
			"service (%s) may not %s: that is for persons, at %s", c.name, route.Does, masterapi.AdminSocket)
	}
	if !slices.Contains(c.rights, route.Right) {
		return http.Errorf(nethttp.StatusForbidden, "forbidden",
			"service (%s) may not %s: add %q to api: of service %s in application.yml", c.name, route.Does, route.Right, c.name)
	}
	if route.Own && c.name != target {
		return http.Errorf(nethttp.StatusForbidden, "forbidden",
			"service (%s) may not %s for service (%s): only for itself", c.name, route.Does, target)
	}
	return nil
}
