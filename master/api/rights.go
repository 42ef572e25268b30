package api

import (
	"fmt"
	nethttp "net/http"
	"slices"
	"strconv"

	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// maxRunning is how many requests of a service run at a time, so that no few services can take all connections.
const maxRunning = 64

// begin counts a request of c, a service or a visitor; done ends it. A person who is known has no limit.
func (h *handler) begin(c caller) (done func(), err error) {
	if c.person && !c.visitor {
		return func() {}, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running[c.name] >= maxRunning {
		return nil, http.Errorf(nethttp.StatusTooManyRequests, "too_many",
			"%d requests of %s are running; try again later", maxRunning, c.String())
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
	who    string // shares a limit of lines in the log: a service, a uid, or everybody who is not let in
	person bool
	rights []app.Right // of a service

	// of the page
	visitor bool          // nobody knows who it is: answers have less in them
	asked   *masterapi.By // who has logged in; nil: nobody, as at the admin socket
}

func (c caller) String() string {
	if c.person {
		return c.name
	}
	return "service (" + c.name + ")"
}

// service is the caller that proves itself by its token.
func (h *handler) service(r *nethttp.Request) (caller, error) {
	c := caller{name: r.Header.Get(masterapi.HeaderUsername)}
	rights, ok := h.services.Authenticate(c.name, r.Header.Get(masterapi.HeaderPassword))
	if !ok {
		return c, http.Errorf(nethttp.StatusUnauthorized, "unauthorized", "account unauthorized")
	}
	c.who, c.rights = c.name, rights
	return c, nil
}

// personBy returns what identifies the caller at the admin socket, whom admit has to let in.
func personBy(admit func(http.Peer) error) func(*nethttp.Request) (caller, error) {
	return func(r *nethttp.Request) (caller, error) {
		p, ok := http.PeerOf(r.Context())
		if !ok {
			return caller{person: true}, http.Errorf(nethttp.StatusForbidden, "forbidden", "it is not known who asks")
		}
		c := caller{name: p.String(), person: true}
		if err := admit(p); err != nil {
			return c, http.Errorf(nethttp.StatusForbidden, "forbidden", "%s", err)
		}
		c.who = strconv.Itoa(p.UID)
		return c, nil
	}
}

// allow tells why c may not use route on the service target, which is empty where no service is named.
func (c caller) allow(route masterapi.Route, target string) error {
	if c.person {
		return c.allowOnPage(route)
	}
	if route.Admin {
		return http.Errorf(nethttp.StatusForbidden, "forbidden",
			"service (%s) may not %s: that is for persons, at %s", c.name, route.Does, masterapi.AdminSocket)
	}
	if !app.Has(c.rights, route.Right) {
		return c.refuse(route.Does, app.With(c.rights, route.Right, target))
	}
	if route.Own && c.name != target {
		return http.Errorf(nethttp.StatusForbidden, "forbidden",
			"service (%s) may not %s for service (%s): only for itself", c.name, route.Does, target)
	}
	return nil
}

// allowOnPage tells why a person may not use route on the page.
func (c caller) allowOnPage(route masterapi.Route) error {
	switch {
	case c.visitor && slices.Contains(forVisitors, route.Name):
		return nil
	case c.visitor:
		return http.Errorf(nethttp.StatusUnauthorized, "unauthorized", "log in to %s: `baetyl ui` makes a link", route.Does)
	case c.asked == nil, route.Method == nethttp.MethodGet, slices.Contains(onPage, route.Name):
		return nil
	}
	return http.Errorf(nethttp.StatusForbidden, "forbidden", "the page may not %s: use the command line", route.Does)
}

// may is c as it starts or stops instances, judged by the service that they are of.
func (c caller) may(route masterapi.Route) *service.Caller {
	if c.person {
		return nil
	}
	return &service.Caller{Service: c.name, May: func(target app.Service) error {
		if app.HasFor(c.rights, route.Right, target) {
			return nil
		}
		return c.refuse(fmt.Sprintf("%s of service (%s)", route.Does, target.Name),
			app.With(c.rights, route.Right, target.Name))
	}}
}

// refuse names the line of application.yml with which c could do what it asked for.
func (c caller) refuse(does string, rights []app.Right) error {
	return http.Errorf(nethttp.StatusForbidden, "forbidden",
		"service (%s) may not %s: write %s at service %s in application.yml", c.name, does, app.Line(rights), c.name)
}
