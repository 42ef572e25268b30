package masterapi

import (
	nethttp "net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The routes with which persons see and change what runs.
var (
	RouteServiceStart = Route{
		Name: "startService", Does: "start services",
		Method: nethttp.MethodPost, Path: pathServiceAction + ActionStart, Admin: true, Changes: true,
	}
	RouteServiceStop = Route{
		Name: "stopService", Does: "stop services",
		Method: nethttp.MethodPost, Path: pathServiceAction + ActionStop, Admin: true, Changes: true,
	}
	RouteServiceRestart = Route{
		Name: "restartService", Does: "restart services",
		Method: nethttp.MethodPost, Path: pathServiceAction + ActionRestart, Admin: true, Changes: true,
	}
	RoutePlan = Route{
		Name: "planUpdate", Does: "plan updates",
		Method: nethttp.MethodPost, Path: PathPlan, Admin: true,
	}
	RouteRevert = Route{
		Name: "revertSystem", Does: "revert to another application",
		Method: nethttp.MethodPost, Path: PathRevert, Admin: true, Changes: true,
	}
	RouteUpdateState = Route{
		Name: "getUpdate", Does: "watch updates",
		Method: nethttp.MethodGet, Path: PathUpdate, Admin: true,
	}
	RouteHistory = Route{
		Name: "getHistory", Does: "read the history",
		Method: nethttp.MethodGet, Path: PathHistory, Admin: true,
	}
	RouteHistoryEntry = Route{
		Name: "getHistoryEntry", Does: "read the history",
		Method: nethttp.MethodGet, Path: PathHistory + "/{number}", Admin: true,
	}
)

// Their paths that name no service.
const (
	PathPlan    = "/" + Version + "/system/plan"
	PathRevert  = "/" + Version + "/system/revert"
	PathHistory = "/" + Version + "/history"

	pathServiceAction = "/" + Version + "/services/{service}/"
)

// ActionRestart is beside ActionStart and ActionStop what a person does to a service.
const ActionRestart = "restart"

// Of RouteUpdateState: how many steps the caller has seen, and how long it waits for another one, in whole seconds.
const (
	QueryAfter = "after"
	QueryWait  = "wait"

	MaxWait = time.Minute
)

// PathServiceAction returns the path of an action (ActionStart, …) on a service. The name is escaped.
func PathServiceAction(service, action string) string {
	return strings.Replace(pathServiceAction, "{service}", url.PathEscape(service), 1) + action
}

// PathHistoryEntry returns the path of an entry of the history.
func PathHistoryEntry(number int) string { return PathHistory + "/" + strconv.Itoa(number) }

// PathUpdateState returns the path that waits for the steps after the first ones.
func PathUpdateState(after int, wait time.Duration) string {
	return PathUpdate + "?" + url.Values{
		QueryAfter: {strconv.Itoa(after)}, QueryWait: {strconv.Itoa(int(wait / time.Second))},
	}.Encode()
}
