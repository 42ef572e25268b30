package baetyl_test

import (
	"context"
	"encoding/json"
	nethttp "net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/http"
)

// refusals runs the module that makes every call, with env, and returns the error of each.
func refusals(t *testing.T, env ...string) map[string]any {
	env = append(env, "BAETYL_SERVICE_NAME=me", "BAETYL_SERVICE_INSTANCE_NAME=me.x")
	out, err := module(t, "master", "", env...).Output()
	require.NoError(t, err)
	var report map[string]any
	require.NoError(t, json.Unmarshal(out, &report))
	return report
}

// A call that is not allowed says what to write where, whichever way the module learns that it is not.
func TestCallsThatAreNotAllowed(t *testing.T) {
	answer := http.Errorf(403, "forbidden", "may not: write api: [report, ports] at service me in application.yml")
	var mu sync.Mutex // guards answer
	s := http.NewServer(http.ServerConfig{Address: "tcp://127.0.0.1:0"}, nethttp.HandlerFunc(
		func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			mu.Lock()
			defer mu.Unlock()
			http.WriteError(w, answer)
		}))
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	defer func() { cancel(); require.NoError(t, <-done) }()
	tcp := "BAETYL_MASTER_API_ADDRESS=tcp://" + s.Addr().String()
	const token, docker = "BAETYL_SERVICE_TOKEN=secret", "BAETYL_SERVICE_MODE=docker"
	socket := "BAETYL_MASTER_API_ADDRESS=unix://" + t.TempDir() + "/none.sock"
	calls := []string{"port", "inspect", "start", "stop", "report", "update"}

	said := refusals(t, tcp, token)
	for _, call := range calls {
		require.Contains(t, said[call], "write api: [report, ports] at service me in application.yml", call)
		require.NotContains(t, said[call], "token", call)
	}
	said = refusals(t, socket, token, docker)
	for call, right := range map[string]string{
		"port": "ports", "inspect": "inspect", "start": "start", "stop": "stop", "report": "report", "update": "update",
	} {
		require.Contains(t, said[call], "write api: ["+right+"] at service me in application.yml", call)
	}
	said = refusals(t, socket, token, "BAETYL_SERVICE_MODE=native")
	for _, call := range calls {
		require.NotContains(t, said[call], "api:", "the master is down")
	}
	mu.Lock()
	answer = http.Errorf(401, "unauthorized", "account unauthorized")
	mu.Unlock()
	const noToken = "this instance has no token, since it was started on demand"
	for name, said := range map[string]map[string]any{
		"native": refusals(t, tcp), "docker": refusals(t, socket, docker),
	} {
		for _, call := range calls {
			require.Contains(t, said[call], noToken, name)
			require.Contains(t, said[call], "replica: of service me in application.yml", name)
		}
	}
	said = refusals(t, tcp, token)
	for _, call := range calls {
		require.NotContains(t, said[call], noToken, "the token is of another master")
	}
}
