package api

import (
	"context"
	nethttp "net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/baetyl/baetyl/master/logs"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func (h *handler) list(r *nethttp.Request, by caller) (any, error) {
	measured, err := flag(r.URL.Query(), masterapi.QueryMeasured)
	out := masterapi.Services{Services: h.services.Statuses(measured)}
	if by.visitor {
		out = forVisitor(out)
	}
	return out, err
}

// forVisitor leaves what somebody without a login may see: states, and what services take of the machine.
func forVisitor(all masterapi.Services) (out masterapi.Services) {
	for _, s := range all.Services {
		one := masterapi.ServiceStatus{State: s.State, Image: s.Image, Replica: s.Replica}
		one.Name = s.Name
		for _, i := range s.Instances {
			seen := masterapi.Instance{Name: i.Name, Status: i.Status, StartTime: i.StartTime, Restarts: i.Restarts,
				CPU: i.CPU, Mem: i.Mem}
			if i.Health != nil {
				seen.Health = &masterapi.Health{Status: i.Health.Status, Since: i.Health.Since}
			}
			one.Instances = append(one.Instances, seen)
		}
		out.Services = append(out.Services, one)
	}
	return out
}

func (h *handler) show(r *nethttp.Request, _ caller) (any, error) {
	return h.services.Status(r.PathValue("service"))
}

// maxLogged is how many services one stream of logs may have.
const maxLogged = 200

func (h *handler) logs(r *nethttp.Request, _ caller) (any, error) {
	in := r.URL.Query()
	q := logs.Query{Services: in[masterapi.QueryService], Tail: -1}
	var err error
	if q.Follow, err = flag(in, masterapi.QueryFollow); err != nil {
		return nil, err
	}
	if q.Since, err = moment(in, masterapi.QuerySince); err != nil {
		return nil, err
	}
	if q.Until, err = moment(in, masterapi.QueryUntil); err != nil {
		return nil, err
	}
	if text := in.Get(masterapi.QueryTail); text != "" {
		if q.Tail, err = strconv.Atoi(text); err != nil || q.Tail < 0 || q.Tail > logs.MaxTail {
			return nil, wrong(masterapi.QueryTail, text, "a number from 0 to "+strconv.Itoa(logs.MaxTail)+", or leave it out")
		}
	}
	if len(q.Services) > maxLogged {
		return nil, wrong(masterapi.QueryService, strconv.Itoa(len(q.Services))+" names", "up to "+strconv.Itoa(maxLogged))
	}
	read, err := h.system.Logs(q)
	if err != nil {
		return nil, err
	}
	return linesOf(func(ctx context.Context, s *http.Stream) error {
		s.Open()
		return read(ctx, func(l masterapi.LogLine) error { return s.Send(l) })
	}), nil
}

func (h *handler) events(r *nethttp.Request, _ caller) (any, error) {
	in := r.URL.Query()
	follow, err := flag(in, masterapi.QueryFollow)
	if err != nil {
		return nil, err
	}
	from, err := strconv.ParseUint(in.Get(masterapi.QuerySince), 10, 64)
	var since time.Time
	if err != nil {
		if since, err = moment(in, masterapi.QuerySince); err != nil {
			return nil, err
		}
	}
	ring := h.system.Events()
	return linesOf(func(ctx context.Context, s *http.Stream) error {
		s.Open()
		for {
			list, next := ring.Since(from)
			for _, e := range list {
				if e.Time.Before(since) {
					continue
				}
				if err := s.Send(e); err != nil {
					return err
				}
			}
			if from = next; !follow {
				return nil
			}
			select {
			case <-ring.Changed(from):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}), nil
}

// flag reads a query that is true or false; absent: false.
func flag(in url.Values, name string) (bool, error) {
	switch text := in.Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, wrong(name, text, "true or false")
	}
}

// moment reads a time; absent: the zero time.
func moment(in url.Values, name string) (time.Time, error) {
	text := in.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return at, wrong(name, text, "a time as 2026-11-30T01:02:03Z (RFC 3339)")
	}
	return at, nil
}

func wrong(name, text, allowed string) error {
	return http.Errorf(nethttp.StatusBadRequest, "bad_request", "%s: is %s; use %s", name, quotable(text, maxQuoted),
		allowed)
}
