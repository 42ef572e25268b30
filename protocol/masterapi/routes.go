package masterapi

import (
	nethttp "net/http"
	"net/url"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
)

// Version is the version of the API, the first segment of every path.
const Version = "v1"

// Route is one call of the API. What goes in and comes out of each: docs/api/master.yaml.
type Route struct {
	Name   string // operationId in docs/api/master.yaml
	Does   string // for people, after "may not": inspect the system
	Method string
	Path   string // with {service} and {instance} where a route names an instance
	Right  string // of the caller's service, without which the answer is 403 (protocol/app)
	Own    bool   // {service} has to be the caller's own service, or else the answer is 403
}

// The routes, each written down once: the master serves this table, and clients call its paths.
var (
	RouteInspect = Route{"inspectSystem", "inspect the system", nethttp.MethodGet, PathInspect, app.RightInspect, false}
	RouteUpdate  = Route{"updateSystem", "update the system", nethttp.MethodPut, PathUpdate, app.RightUpdate, false}
	RoutePorts   = Route{"getAvailablePort", "ask for a port", nethttp.MethodGet, PathPortAvailable, app.RightPorts, false}
	RouteStart   = Route{"startInstance", "start instances", nethttp.MethodPut, pathInstance + ActionStart, app.RightStart, false}
	RouteStop    = Route{"stopInstance", "stop instances", nethttp.MethodPut, pathInstance + ActionStop, app.RightStop, false}
	RouteReport  = Route{"reportInstance", "report", nethttp.MethodPut, pathInstance + ActionReport, app.RightReport, true}

	Routes = []Route{RouteInspect, RouteUpdate, RoutePorts, RouteStart, RouteStop, RouteReport}
)

// Paths that name no instance, ready to be called.
const (
	PathInspect       = "/" + Version + "/system/inspect"
	PathUpdate        = "/" + Version + "/system/update"
	PathPortAvailable = "/" + Version + "/ports/available"
)

// Actions on an instance, the last segment of their paths.
const (
	ActionStart  = "start"
	ActionStop   = "stop"
	ActionReport = "report"
)

const pathInstance = "/" + Version + "/services/{service}/instances/{instance}/"

// Pattern is the route as net/http.ServeMux takes it.
func (r Route) Pattern() string { return r.Method + " " + r.Path }

// PathInstance returns the path of an action (ActionStart, …) on an instance. Names are escaped.
func PathInstance(service, instance, action string) string {
	return strings.NewReplacer("{service}", url.PathEscape(service), "{instance}", url.PathEscape(instance)).Replace(pathInstance) + action
}
