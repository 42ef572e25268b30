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
		"GET /v1/health", "POST /v1/services/{service}/exec", "POST /v1/system/stop",
		"POST /v1/services/{service}/start", "POST /v1/services/{service}/stop", "POST /v1/services/{service}/restart",
		"POST /v1/system/plan", "POST /v1/system/revert", "GET /v1/system/update", "GET /v1/history",
		"GET /v1/history/{number}", "GET /v1/services", "GET /v1/services/{service}", "GET /v1/logs", "GET /v1/events",
		"POST /v1/system/backup", "POST /v1/system/support-bundle", "GET /v1/system/doctor",
		"GET /v1/modules", "GET /v1/services/{service}/admin/{path...}",
		"POST /v1/services/{service}/admin/{path...}",
		"POST /v1/ui/links",
	}, patterns)
}

// The path of a module follows the name of its service, whatever that holds.
func TestPathServiceAdmin(t *testing.T) {
	require.Equal(t, "/v1/services/hub/admin/v1/clients?limit=1", masterapi.PathServiceAdmin("hub", "/v1/clients?limit=1"))
	require.Equal(t, "/v1/services/a%2F..%2F%7Bpath...%7D/admin/v1", masterapi.PathServiceAdmin("a/../{path...}", "/v1"))
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
