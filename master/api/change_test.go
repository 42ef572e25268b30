package api_test

import (
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/master/history"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

var sum = strings.Repeat("0a", 32)

func (s *system) StartService(ctx context.Context, name string) error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.Manager.StartService(ctx, name)
}

func (s *system) StopService(_ context.Context, name string, by masterapi.By) error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.Manager.StopService(name, by)
}

func (s *system) RestartService(ctx context.Context, name string) error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.Manager.RestartService(ctx, name)
}

func (s *system) Plan(r masterapi.PlanRequest, by masterapi.By) (masterapi.Plan, error) {
	reason := masterapi.PlanReason{Path: "services[0].env.X", Old: "1", New: "2", Line: 3}
	return masterapi.Plan{
		Version: fmt.Sprint(len(r.Application)), Changed: true, Errors: []string{"no agent"}, Warnings: []string{by.String()},
		Services: []masterapi.PlannedChange{
			{Name: "a", Action: masterapi.ActionPlanRestart, Reasons: []masterapi.PlanReason{reason}},
		},
		Volumes: []masterapi.NamedChange{{Name: "v", Action: masterapi.ActionAdded}},
	}, s.failure()
}

func (s *system) Revert(r masterapi.RevertRequest, _ masterapi.By) (masterapi.Reverted, error) {
	return masterapi.Reverted{Number: max(r.Number, 1), Version: "v1"}, s.failure()
}

func (s *system) History() []masterapi.HistoryEntry {
	_ = s.failure()
	uid := 7
	return []masterapi.HistoryEntry{{Number: 1, Began: time.Now(), Result: masterapi.ResultRunning, SHA256: sum,
		By: masterapi.By{UID: &uid}}}
}

func (s *system) Details(number int) (masterapi.HistoryDetails, error) {
	if err := s.failure(); err != nil {
		return masterapi.HistoryDetails{}, err
	}
	return masterapi.HistoryDetails{
		HistoryEntry: masterapi.HistoryEntry{Number: number, Result: masterapi.ResultEnded, SHA256: sum}, Before: 1,
		Plan: &masterapi.Plan{Services: []masterapi.PlannedChange{}},
	}, nil
}

func (s *system) UpdateState(ctx context.Context, after int) masterapi.UpdateState {
	_ = s.failure()
	<-ctx.Done()
	return masterapi.UpdateState{Running: true, Type: masterapi.UpdateApp, Trace: "t", Seen: after}
}

// Each documented answer of the routes with which persons change what runs.
func (r *rig) expectChanges() {
	failed, busy := errors.New("disk full"), fmt.Errorf("update: %w", masterapi.ErrBusy)
	refused := fmt.Errorf("%w: no such file", masterapi.ErrRefused)
	missing := fmt.Errorf("%w: application 9: %w", masterapi.ErrRefused, history.ErrNotFound)
	large := `{"application":"` + strings.Repeat("x", 10<<20) + `"}`
	long := `{"trace":"` + strings.Repeat("x", 5000) + `"}`
	uid := fmt.Sprint(os.Geteuid())
	if uid == "0" {
		uid = "root"
	}
	const get, post, put = nethttp.MethodGet, nethttp.MethodPost, nethttp.MethodPut
	entry := masterapi.PathHistoryEntry
	for _, c := range []struct {
		fails        error
		status       int
		code, part   string
		method, path string
		body         string
	}{
		{nil, 200, "", `"line":3`, post, masterapi.PathPlan, `{"path":"x"}`},
		{nil, 200, "", uid, post, masterapi.PathPlan, `{"path":"x"}`},
		{nil, 400, "bad_request", "", post, masterapi.PathPlan, `{`},
		{nil, 413, "too_large", "", post, masterapi.PathPlan, large},
		{refused, 422, "refused", "no such file", post, masterapi.PathPlan, `{"path":"x"}`},
		{failed, 500, "failed", "disk full", post, masterapi.PathPlan, `{"path":"x"}`},

		{nil, 200, "", `{"number":3,"version":"v1"}`, post, masterapi.PathRevert, `{"number":3}`},
		{nil, 400, "bad_request", "", post, masterapi.PathRevert, `[]`},
		{nil, 400, "bad_request", "trace: has 5000 bytes", post, masterapi.PathRevert, long},
		{missing, 404, "not_found", "application 9", post, masterapi.PathRevert, `{}`},
		{busy, 409, "busy", "try again later", post, masterapi.PathRevert, `{}`},
		{nil, 413, "too_large", "1048576", post, masterapi.PathRevert, `{"x":"` + strings.Repeat("x", http.MaxBody) + `"}`},
		{refused, 422, "refused", "no such file", post, masterapi.PathRevert, `{}`},
		{failed, 500, "failed", "disk full", post, masterapi.PathRevert, `{}`},

		{nil, 200, "", `"result":"running"`, get, masterapi.PathHistory, ""},
		{nil, 200, "", `"number":2`, get, entry(2), ""},
		{nil, 400, "bad_request", "x is no number of the history", get, masterapi.PathHistory + "/x", ""},
		{nil, 400, "bad_request", "use 1 or more", get, entry(0), ""},
		{missing, 404, "not_found", "application 9", get, entry(9), ""},
		{failed, 500, "failed", "disk full", get, entry(1), ""},

		{nil, 200, "", `"seen":4`, get, masterapi.PathUpdateState(4, 0), ""},
		{nil, 200, "", `"seen":0`, get, masterapi.PathUpdate, ""},
		{nil, 400, "bad_request", "wait: is 61; use a whole number from 0 to 60", get, masterapi.PathUpdate + "?wait=61", ""},
		{nil, 400, "bad_request", "after: is -1", get, masterapi.PathUpdate + "?after=-1", ""},
	} {
		r.system.set(c.fails, false)
		r.asPerson(c.status, c.code, c.part, c.method, c.path, c.body)
	}
	for _, action := range []string{masterapi.ActionStop, masterapi.ActionStart, masterapi.ActionRestart} {
		for _, c := range []struct {
			fails      error
			status     int
			code, part string
			service    string
		}{
			{nil, 200, "", "", "f"},
			{nil, 404, "not_found", "service (ghost) not found", "ghost"},
			{nil, 404, "not_found", `did you mean \"socket\"?`, "sockett"},
			{busy, 409, "busy", "try again later", "f"},
			{failed, 500, "failed", "disk full", "f"},
			{masterapi.ErrEnding, 503, "ending", "try again later", "f"},
		} {
			r.system.set(c.fails, false)
			r.asPerson(c.status, c.code, c.part, post, masterapi.PathServiceAction(c.service, action), "")
			if action == masterapi.ActionStop && c.status == 200 {
				r.expect(409, "stopped", "is stopped by hand, by "+uid, "all", put,
					masterapi.PathInstance("f", "f.x.9", masterapi.ActionStart), "{}")
				r.asPerson(200, "", `"stopped":{"since":`, get, masterapi.PathInspect, "")
			}
		}
	}
	r.system.set(nil, true)
	for _, path := range []string{masterapi.PathHistory, masterapi.PathUpdate} {
		r.asPerson(500, "internal", "internal error", get, path, "")
	}
	r.system.set(nil, false)
	// Services may not send the text of an application.
	r.expect(403, "forbidden", "application: is for persons", "all", put, masterapi.PathUpdate, `{"application":"x"}`)
	require.NotEmpty(r.t, r.system.History())
}

// Persons may send an application of the size that a file may have, and no more.
func TestLargeApplication(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(filepath.Dir(r.admin), "large.sock")
	handler := api.NewAdmin(r.system, r.system, func(http.Peer) error { return nil }, nil, log.Discard())
	s := http.NewServer(http.ServerConfig{Address: "unix://" + path}, handler)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	defer func() { cancel(); require.NoError(t, <-done) }()
	c, err := http.NewClient(http.ClientConfig{Address: "unix://" + path})
	require.NoError(t, err)
	defer c.Close()
	var p masterapi.Plan
	text := strings.Repeat("\n", 4<<20)
	require.NoError(t, c.PostJSON(t.Context(), masterapi.PathPlan, masterapi.PlanRequest{Application: text}, &p))
	require.Equal(t, fmt.Sprint(4<<20), p.Version)
	require.NoError(t, c.Put(t.Context(), masterapi.PathUpdate, masterapi.UpdateRequest{Application: text}, nil))
	text += text
	err = c.PostJSON(t.Context(), masterapi.PathPlan, masterapi.PlanRequest{Application: text}, &p)
	require.ErrorContains(t, err, "body is larger than")
}
