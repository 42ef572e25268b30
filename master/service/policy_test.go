package service

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// The restart policy, case by case. decide is not exported, but easier to test than a running instance.
func TestDecide(t *testing.T) {
	boom := errors.New("boom")
	p := func(policy string, max int) app.Restart {
		return app.Restart{
			Policy: policy, Retry: app.Retry{Max: max},
			Backoff: app.Backoff{Min: time.Second, Max: 5 * time.Minute, Factor: 2},
		}
	}
	const middle = 0.5 // no jitter
	for name, c := range map[string]struct {
		policy   app.Restart
		exit     engine.Exit
		started  bool
		failures int
		want     decision
	}{
		"always restarts after success": {p("always", 0), engine.Exit{}, true, 0,
			decision{restart: true, after: time.Second, failures: 1, status: masterapi.StatusRestarting}},
		"delays grow": {p("always", 0), engine.Exit{Err: boom}, true, 3,
			decision{restart: true, after: 8 * time.Second, failures: 4, status: masterapi.StatusRestarting, reason: "boom"}},
		"delays are capped": {p("always", 0), engine.Exit{Err: boom}, true, 60,
			decision{restart: true, after: 5 * time.Minute, failures: 61, status: masterapi.StatusRestarting, reason: "boom"}},
		"a healthy run starts anew": {p("always", 3), engine.Exit{Err: boom, Ran: 5 * time.Minute}, true, 3,
			decision{restart: true, after: time.Second, failures: 1, status: masterapi.StatusRestarting, reason: "boom"}},
		"a shorter run does not": {p("always", 0), engine.Exit{Err: boom, Ran: 5*time.Minute - 1}, true, 3,
			decision{restart: true, after: 8 * time.Second, failures: 4, status: masterapi.StatusRestarting, reason: "boom"}},
		"given up after max": {p("always", 3), engine.Exit{Err: boom}, true, 3,
			decision{status: masterapi.StatusFailed, reason: "given up after 3 restarts: boom"}},
		"given up after successes too": {p("always", 3), engine.Exit{}, true, 3,
			decision{status: masterapi.StatusFailed, reason: "given up after 3 restarts"}},
		"cannot start, tried again": {p("always", 0), engine.Exit{Err: boom}, false, 0,
			decision{restart: true, after: time.Second, failures: 1, status: masterapi.StatusFailed, reason: "boom"}},
		"on-failure after failure": {p("on-failure", 0), engine.Exit{Err: boom}, true, 0,
			decision{restart: true, after: time.Second, failures: 1, status: masterapi.StatusRestarting, reason: "boom"}},
		"on-failure after success": {p("on-failure", 0), engine.Exit{}, true, 0, decision{status: masterapi.StatusExited}},
		"no after success":         {p("no", 0), engine.Exit{}, true, 0, decision{status: masterapi.StatusExited}},
		"no after failure": {p("no", 0), engine.Exit{Err: boom}, true, 0,
			decision{status: masterapi.StatusFailed, reason: "boom"}},
		"interrupted by the engine": {p("no", 3), engine.Exit{Err: boom, Interrupted: true}, true, 3,
			decision{restart: true, after: uncounted, failures: 3, status: masterapi.StatusStarting, reason: "boom"}},
		"interrupted with success": {p("on-failure", 0), engine.Exit{Interrupted: true}, true, 0,
			decision{restart: true, after: uncounted, status: masterapi.StatusStarting}},
		"the engine is away": {p("no", 3), engine.Exit{Err: fmt.Errorf("start: %w", engine.ErrUnavailable)}, false, 3,
			decision{restart: true, after: uncounted, failures: 3, status: masterapi.StatusStarting,
				reason: "start: " + engine.ErrUnavailable.Error()}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, decide(c.policy, c.exit, c.started, c.failures, middle))
		})
	}
}

func TestJitterIsATenth(t *testing.T) {
	p := app.Restart{Policy: "always", Backoff: app.Backoff{Min: time.Second, Max: time.Minute, Factor: 2}}
	low, high := decide(p, engine.Exit{}, true, 0, 0).after, decide(p, engine.Exit{}, true, 0, 0.999).after
	require.InDelta(t, 0.9, low.Seconds(), 0.01)
	require.InDelta(t, 1.1, high.Seconds(), 0.01)
}

func TestHealthyHasBounds(t *testing.T) {
	require.Equal(t, time.Minute, healthy(app.Backoff{Max: time.Second}))
	require.Equal(t, 5*time.Minute, healthy(app.Backoff{Max: 5 * time.Minute}))
	require.Equal(t, 10*time.Minute, healthy(app.Backoff{Max: time.Hour}))
}

func TestEnviron(t *testing.T) {
	got := environ(
		map[string]string{"A": "service", "B": "service", "C": "service", "BAETYL_SERVICE_TOKEN": "service"},
		map[string]string{
			"B":                               "dynamic",
			"C":                               "dynamic",
			"OPENEDGE_SERVICE_TOKEN":          "dynamic",
			"BAETYL_SERVICE_INSTANCE_ADDRESS": "a:1",
		},
		map[string]string{"C": "system", "BAETYL_SERVICE_NAME": "n"},
	)
	require.Equal(t, map[string]string{
		"A":                                 "service",
		"B":                                 "dynamic",
		"C":                                 "system",
		"BAETYL_SERVICE_NAME":               "n",
		"OPENEDGE_SERVICE_NAME":             "n",
		"BAETYL_SERVICE_INSTANCE_ADDRESS":   "a:1",
		"OPENEDGE_SERVICE_INSTANCE_ADDRESS": "a:1",
		"OPENEDGE_SERVICE_ADDRESS":          "a:1",
	}, got)
}
