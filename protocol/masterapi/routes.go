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
	Admin  bool   // for persons alone, at AdminSocket; a service gets 403

	// Changes: each call has a line in the log that says who made it. A report changes no more than what inspect shows of
	// the caller itself
	Changes bool
}

// The routes, each written down once: the master serves this table, and clients call its paths.
var (
	RouteInspect = Route{
		Name: "inspectSystem", Does: "inspect the system",
		Method: nethttp.MethodGet, Path: PathInspect, Right: app.RightInspect,
	}
	RouteUpdate = Route{
		Name: "updateSystem", Does: "update the system",
		Method: nethttp.MethodPut, Path: PathUpdate, Right: app.RightUpdate, Changes: true,
	}
	RoutePorts = Route{
		Name: "getAvailablePort", Does: "ask for a port",
		Method: nethttp.MethodGet, Path: PathPortAvailable, Right: app.RightPorts,
	}
	RouteStart = Route{
		Name: "startInstance", Does: "start instances",
		Method: nethttp.MethodPut, Path: pathInstance + ActionStart, Right: app.RightStart, Changes: true,
	}
	RouteStop = Route{
		Name: "stopInstance", Does: "stop instances",
		Method: nethttp.MethodPut, Path: pathInstance + ActionStop, Right: app.RightStop, Changes: true,
	}
	RouteReport = Route{
		Name: "reportInstance", Does: "report",
		Method: nethttp.MethodPut, Path: pathInstance + ActionReport, Right: app.RightReport, Own: true,
	}
	RouteRestart = Route{
		Name: "restartMaster", Does: "restart the master",
		Method: nethttp.MethodPost, Path: PathRestart, Admin: true, Changes: true,
	}
	RouteReload = Route{
		Name: "reloadConfiguration", Does: "reload the configuration",
		Method: nethttp.MethodPost, Path: PathReload, Admin: true, Changes: true,
	}
	RouteHealth = Route{
		Name: "getHealth", Does: "ask for the health of services",
		Method: nethttp.MethodGet, Path: PathHealth, Admin: true,
	}
	RouteStopAll = Route{
		Name: "stopSystem", Does: "stop everything",
		Method: nethttp.MethodPost, Path: PathStop, Admin: true, Changes: true,
	}
	RoutePrune = Route{
		Name: "pruneSystem", Does: "remove what nobody uses",
		Method: nethttp.MethodPost, Path: PathPrune, Right: app.RightUpdate, Changes: true,
	}
	RouteExec = Route{
		Name: "execCommand", Does: "run commands in services",
		Method: nethttp.MethodPost, Path: pathService + ActionExec, Admin: true, Changes: true,
	}
	RouteBackup = Route{
		Name: "backUpSystem", Does: "back up the system",
		Method: nethttp.MethodPost, Path: PathBackup, Admin: true, Changes: true,
	}
	RouteSupportBundle = Route{
		Name: "collectSupportBundle", Does: "collect a support bundle",
		Method: nethttp.MethodPost, Path: PathSupportBundle, Admin: true, Changes: true,
	}
	RouteDoctor = Route{
		Name: "examineSystem", Does: "examine the system",
		Method: nethttp.MethodGet, Path: PathDoctor, Admin: true,
	}
	RouteServices = Route{
		Name: "listServices", Does: "list services",
		Method: nethttp.MethodGet, Path: PathServices, Admin: true,
	}
	RouteService = Route{
		Name: "getService", Does: "see a service",
		Method: nethttp.MethodGet, Path: PathServices + "/{service}", Admin: true,
	}
	RouteLogs = Route{
		Name: "readLogs", Does: "read logs",
		Method: nethttp.MethodGet, Path: PathLogs, Admin: true,
	}
	RouteEvents = Route{
		Name: "readEvents", Does: "read events",
		Method: nethttp.MethodGet, Path: PathEvents, Admin: true,
	}
	RouteModules = Route{
		Name: "listModules", Does: "list admin interfaces",
		Method: nethttp.MethodGet, Path: PathModules, Admin: true,
	}
	RouteServiceAdmin = Route{
		Name: "askService", Does: "ask the admin interface of a service",
		Method: nethttp.MethodGet, Path: pathServiceAdmin, Admin: true,
	}
	RouteServiceChange = Route{
		Name: "changeService", Does: "use the admin interface of a service",
		Method: nethttp.MethodPost, Path: pathServiceAdmin, Admin: true, Changes: true,
	}
	RouteLink = Route{
		Name: "makeLink", Does: "make links to the page",
		Method: nethttp.MethodPost, Path: PathLinks, Admin: true, Changes: true,
	}

	Routes = []Route{
		RouteInspect, RouteUpdate, RoutePorts, RouteStart, RouteStop, RouteReport, RouteRestart, RouteReload, RoutePrune,
		RouteHealth, RouteExec, RouteStopAll,
		RouteServiceStart, RouteServiceStop, RouteServiceRestart, RoutePlan, RouteRevert, RouteUpdateState, RouteHistory,
		RouteHistoryEntry,
		RouteServices, RouteService, RouteLogs, RouteEvents,
		RouteBackup, RouteSupportBundle, RouteDoctor,
		RouteModules, RouteServiceAdmin, RouteServiceChange, RouteLink,
	}
)

// Paths that name no instance, ready to be called.
const (
	PathInspect       = "/" + Version + "/system/inspect"
	PathUpdate        = "/" + Version + "/system/update"
	PathPortAvailable = "/" + Version + "/ports/available"
	PathRestart       = "/" + Version + "/system/restart"
	PathReload        = "/" + Version + "/system/reload"
	PathStop          = "/" + Version + "/system/stop"
	PathPrune         = "/" + Version + "/system/prune"
	PathHealth        = "/" + Version + "/health"
	PathBackup        = "/" + Version + "/system/backup"
	PathSupportBundle = "/" + Version + "/system/support-bundle"
	PathDoctor        = "/" + Version + "/system/doctor"
	PathModules       = "/" + Version + "/modules"
	PathLinks         = "/" + Version + "/ui/links"
)

// Paths of what persons look at.
const (
	PathServices = "/" + Version + "/services"
	PathLogs     = "/" + Version + "/logs"
	PathEvents   = "/" + Version + "/events"
)

// PathService is the path of RouteService for a service.
func PathService(service string) string { return PathServices + "/" + url.PathEscape(service) }

// Actions on an instance, the last segment of their paths.
const (
	ActionStart  = "start"
	ActionStop   = "stop"
	ActionReport = "report"
	ActionExec   = "exec" // in a service, not in an instance: QueryInstance names that
)

// What may follow a path after '?'; newer than the documents, and without effect on a master that does not know it.
const (
	QueryService  = "service"  // of PathPortAvailable, with QueryInstance: the instance that the address is for
	QueryInstance = "instance" //
	QuerySince    = "since"    // of PathLogs: RFC 3339; of PathEvents: that, or the number of the first event
	QueryUntil    = "until"    // of PathLogs: RFC 3339
	QueryTail     = "tail"     // of PathLogs: how many lines of each service; absent: all
	QueryFollow   = "follow"   // of PathLogs and PathEvents; true: also what comes
	QueryMeasured = "measured" // of PathServices; true: with processor time and memory, which takes up to 100 ms
	QueryKill     = "kill"     // of ActionStop; true: SIGKILL at once, for an instance that hangs
)

// PathAddress is PathPortAvailable for an instance: see PortAvailable.Address.
func PathAddress(service, instance string) string {
	return PathPortAvailable + "?" + url.Values{QueryService: {service}, QueryInstance: {instance}}.Encode()
}

const pathService = "/" + Version + "/services/{service}/"

// pathServiceAdmin ends with the path that the module serves at its admin socket (ServiceAdmin), without its slash.
const pathServiceAdmin = "/" + Version + "/services/{service}/admin/{path...}"

// PathServiceAdmin is a path of the admin interface of a service, path and query escaped already: /v1/clients?limit=1.
func PathServiceAdmin(service, path string) string {
	return strings.Replace(strings.TrimSuffix(pathServiceAdmin, "/{path...}"), "{service}", url.PathEscape(service), 1) +
		path
}

const pathInstance = "/" + Version + "/services/{service}/instances/{instance}/"

// Pattern is the route as net/http.ServeMux takes it.
func (r Route) Pattern() string { return r.Method + " " + r.Path }

// PathExec is the path of RouteExec. instance may be empty: the first that runs.
func PathExec(service, instance string) string {
	path := strings.Replace(pathService, "{service}", url.PathEscape(service), 1) + ActionExec
	if instance != "" {
		path += "?" + url.Values{QueryInstance: {instance}}.Encode()
	}
	return path
}

// PathInstance returns the path of an action (ActionStart, …) on an instance. Names are escaped.
func PathInstance(service, instance, action string) string {
	names := strings.NewReplacer("{service}", url.PathEscape(service), "{instance}", url.PathEscape(instance))
	return names.Replace(pathInstance) + action
}
