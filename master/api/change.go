package api

import (
	"context"
	nethttp "net/http"
	"os/user"
	"strconv"
	"time"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
)

// maxApplication is the largest body with the text of an application, in bytes: the text may become longer in JSON.
const maxApplication = 2*conf.MaxSize + http.MaxBody

// Changes are the calls with which persons see and change what runs; master.Master implements it.
type Changes interface {
	// StartService, StopService and RestartService return when it is done: masterapi.ErrBusy, masterapi.ErrEnding,
	// those of service.Manager.
	StartService(ctx context.Context, name string) error
	StopService(ctx context.Context, name string, by masterapi.By) error
	RestartService(ctx context.Context, name string) error
	// Plan and Details change nothing: masterapi.ErrRefused, history.ErrNotFound.
	Plan(r masterapi.PlanRequest, by masterapi.By) (masterapi.Plan, error)
	History() []masterapi.HistoryEntry
	Details(number int) (masterapi.HistoryDetails, error)
	// Revert begins an update as System.Update does, with its errors and history.ErrNotFound.
	Revert(r masterapi.RevertRequest, by masterapi.By) (masterapi.Reverted, error)
	// UpdateState waits for a step behind the first after ones until ctx ends.
	UpdateState(ctx context.Context, after int) masterapi.UpdateState
}

// changes adds the routes of Changes.
func (h *handler) changes(route func(masterapi.Route, call)) {
	route(masterapi.RouteServiceStart, h.startService)
	route(masterapi.RouteServiceStop, h.stopService)
	route(masterapi.RouteServiceRestart, h.restartService)
	route(masterapi.RoutePlan, h.plan)
	route(masterapi.RouteRevert, h.revert)
	route(masterapi.RouteUpdateState, h.updateState)
	route(masterapi.RouteHistory, h.history)
	route(masterapi.RouteHistoryEntry, h.historyEntry)
}

func (h *handler) startService(r *nethttp.Request, _ caller) (any, error) {
	return nil, h.system.StartService(r.Context(), r.PathValue("service"))
}

func (h *handler) stopService(r *nethttp.Request, by caller) (any, error) {
	return nil, h.system.StopService(r.Context(), r.PathValue("service"), by.by(r))
}

func (h *handler) restartService(r *nethttp.Request, _ caller) (any, error) {
	return nil, h.system.RestartService(r.Context(), r.PathValue("service"))
}

func (h *handler) plan(r *nethttp.Request, by caller) (any, error) {
	var in masterapi.PlanRequest
	http.Allow(r, maxApplication)
	if err := http.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	return h.system.Plan(in, by.by(r))
}

func (h *handler) revert(r *nethttp.Request, by caller) (any, error) {
	var in masterapi.RevertRequest
	if err := http.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	if err := checkTrace(in.Trace); err != nil {
		return nil, err
	}
	return h.system.Revert(in, by.by(r))
}

func (h *handler) history(*nethttp.Request, caller) (any, error) {
	return masterapi.History{Entries: h.system.History()}, nil
}

func (h *handler) historyEntry(r *nethttp.Request, _ caller) (any, error) {
	text := r.PathValue("number")
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return nil, http.Errorf(nethttp.StatusBadRequest, "bad_request", "%s is no number of the history; use 1 or more",
			quotable(text, maxQuoted))
	}
	return h.system.Details(n)
}

func (h *handler) updateState(r *nethttp.Request, _ caller) (any, error) {
	after, err := number(r, masterapi.QueryAfter, 1<<30)
	if err != nil {
		return nil, err
	}
	wait, err := number(r, masterapi.QueryWait, int(masterapi.MaxWait/time.Second))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(wait)*time.Second)
	defer cancel()
	return h.system.UpdateState(ctx, after), nil
}

// number is that in the query of r, 0 where there is none.
func number(r *nethttp.Request, key string, most int) (int, error) {
	text := r.URL.Query().Get(key)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, http.Errorf(nethttp.StatusBadRequest, "bad_request", "%s: is %s; use a whole number from 0 to %d", key,
			quotable(text, maxQuoted), most)
	}
	return n, nil
}

func checkTrace(trace string) error {
	if len(trace) <= maxTrace {
		return nil
	}
	return http.Errorf(nethttp.StatusBadRequest, "bad_request", "trace: has %d bytes; use up to %d", len(trace), maxTrace)
}

// by is c as what it has done is remembered.
func (c caller) by(r *nethttp.Request) masterapi.By {
	if !c.person {
		return masterapi.By{Service: c.name}
	}
	if c.asked != nil {
		return *c.asked
	}
	p, ok := http.PeerOf(r.Context())
	if !ok {
		return masterapi.By{}
	}
	out := masterapi.By{UID: &p.UID}
	if u, err := user.LookupId(strconv.Itoa(p.UID)); err == nil {
		out.User = u.Username
	}
	return out
}
