package manager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baetyl/baetyl/baetyl-function-manager/function"
	"github.com/baetyl/baetyl/baetyl-function-manager/rule"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/functionapi"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/run"
)

// callLimit is how long a call of a person takes at most: less than admin.Timeout, so that the answer says why.
const callLimit = 55 * time.Second

// administer adds the admin interface.
func (m *manager) administer(g *run.Group, cfg admin.Config, l log.Logger) {
	l = l.WithField("api", "admin")
	get := func(call func() any) admin.Route {
		return admin.Route{Method: nethttp.MethodGet, Call: func(*admin.Request) (any, error) { return call(), nil }}
	}
	i := admin.Interface{Module: masterapi.ModuleFunctionManager, Metrics: m.page, Log: l, Routes: map[string]admin.Route{
		functionapi.Functions: get(m.listFunctions),
		functionapi.Rules:     get(m.listRules),
		functionapi.Call:      {Method: nethttp.MethodPost, Call: m.callOfPerson},
	}}
	s := admin.Server(cfg, i)
	if s != nil {
		g.Add("admin", func(ctx context.Context) error { return admin.Serve(ctx, s, l) })
	}
}

func (m *manager) listFunctions() any {
	list := functionapi.List[functionapi.Function]{Items: []functionapi.Function{}}
	for _, f := range m.functions {
		c, s := f.Config(), f.Stats()
		list.Items = append(list.Items, functionapi.Function{
			Name: c.Name, Service: c.Service, Min: c.Instance.Min, Max: c.Instance.Max, Concurrency: f.Concurrency(),
			Instances: s.Instances, Waiting: s.Waiting, Starts: s.ColdStarts, FailedStarts: s.Failed, Calls: s.Calls,
			CallSeconds: s.Busy.Seconds(), LastError: s.LastError,
		})
	}
	return list
}

func (m *manager) listRules() any {
	list := functionapi.List[functionapi.Rule]{Items: []functionapi.Rule{}}
	for _, r := range m.rules {
		c, s := r.Config(), r.Stats()
		list.Items = append(list.Items, functionapi.Rule{
			Subscribe: c.Subscribe.Topic, Function: r.Function(), Publish: c.Publish.Topic, Connected: s.Connected,
			InFlight: s.InFlight, Received: s.Received, Results: s.Results, Empty: s.Empty, Errors: s.Errors,
			Retries: s.Retries, Refused: s.Refused, Dropped: s.Dropped, Held: s.Held,
		})
	}
	return list
}

// callOfPerson calls a function, once.
func (m *manager) callOfPerson(r *admin.Request) (any, error) {
	var in functionapi.CallRequest
	var p admin.Payload
	fields := []admin.Field{
		{Name: "function", To: &in.Function}, {Name: "topic", To: &in.Topic}, {Name: "timeout_seconds", To: &in.Timeout},
	}
	if err := r.Read(append(fields, p.Fields()...)...); err != nil {
		return nil, err
	}
	r.Note("function", in.Function)
	payload, err := p.Bytes()
	if err != nil {
		return nil, err
	}
	r.Note("bytes", strconv.Itoa(len(payload)))
	limit := callLimit
	if in.Timeout != 0 {
		limit = time.Duration(in.Timeout * float64(time.Second))
	}
	if !(in.Timeout >= 0) || limit > callLimit {
		return nil, admin.Bad("timeout_seconds: %v; use up to %v", in.Timeout, callLimit.Seconds())
	}
	f := m.byName[in.Function]
	if f == nil {
		var names []string
		for _, f := range m.functions {
			names = append(names, f.Config().Name)
		}
		return nil, http.Errorf(nethttp.StatusNotFound, "not_found", "there is no function %s; functions has %s",
			admin.Quote(in.Function), admin.Cut(strings.Join(names, ", "), admin.MaxQuoted))
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	began := time.Now()
	out, err := f.Call(ctx, &rpc.Message{
		Topic: cmp.Or(in.Topic, functionapi.DefaultTopic), Payload: payload, Timestamp: began.Unix(),
		FunctionName: in.Function, FunctionInvokeID: rule.NewID(),
	})
	if err != nil {
		return nil, refusal(err, ctx, limit)
	}
	a := functionapi.CallAnswer{Size: len(out.Payload), Seconds: time.Since(began).Seconds()}
	a.Payload, a.Base64 = admin.PayloadOf(out.Payload)
	return a, nil
}

// refusal is the answer to a call that has failed.
func refusal(err error, ctx context.Context, limit time.Duration) *http.Error {
	s := status.Convert(err)
	code, word := nethttp.StatusBadGateway, "unavailable" // the instance has ended, or cannot be started
	message := s.Message()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		code, word, message = nethttp.StatusServiceUnavailable, "busy", fmt.Sprintf("no answer within %s", limit)
	case s.Code() == codes.DeadlineExceeded:
		code, word = nethttp.StatusServiceUnavailable, "busy"
	case function.OutcomeOf(err) == function.Overload:
		code, word = nethttp.StatusServiceUnavailable, "busy"
	case function.OutcomeOf(err) == function.Refused:
		code, word = nethttp.StatusUnprocessableEntity, "failed"
	}
	return http.Errorf(code, word, "%s", admin.Cut(message, maxReason))
}

// maxReason is how many bytes of the reason of a failed call an answer has: a function may give a stack.
const maxReason = 4 << 10
