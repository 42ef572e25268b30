package masterapi_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// What stands here went out to devices: modules of every version call these paths.
func TestRoutes(t *testing.T) {
	var patterns []string
	names := map[string]bool{}
	for _, r := range masterapi.Routes {
		patterns = append(patterns, r.Pattern())
		require.False(t, names[r.Name], r.Name)
		names[r.Name] = true
		require.NotEmpty(t, r.Does, r.Name)
		require.NotEqual(t, r.Admin, r.Right != "", "%s: for whom is it?", r.Name)
	}
	require.Equal(t, []string{
		"GET /v1/system/inspect",
		"PUT /v1/system/update",
		"GET /v1/ports/available",
		"PUT /v1/services/{service}/instances/{instance}/start",
		"PUT /v1/services/{service}/instances/{instance}/stop",
		"PUT /v1/services/{service}/instances/{instance}/report",
		"POST /v1/system/restart",
		"POST /v1/system/reload", "POST /v1/system/prune",
	}, patterns)
}

// Whatever a name holds, it stays one segment of the path.
func TestPathInstance(t *testing.T) {
	require.Equal(t, "/v1/services/s/instances/s.i1/stop", masterapi.PathInstance("s", "s.i1", masterapi.ActionStop))
	require.Equal(
		t,
		"/v1/services/svc%25s%2Fx/instances/a%20b/start",
		masterapi.PathInstance("svc%s/x", "a b", masterapi.ActionStart),
	)
	odd := masterapi.PathInstance("{instance}", "../{service}?", masterapi.ActionReport)
	require.Equal(t, "/v1/services/%7Binstance%7D/instances/..%2F%7Bservice%7D%3F/report", odd)
	require.Equal(t, 6, strings.Count(odd, "/"))
}
