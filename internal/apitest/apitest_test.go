package apitest_test

import (
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/apitest"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// judged is a test that only notes what it is told.
type judged struct {
	testing.TB
	errors []string
}

func (j *judged) Errorf(format string, args ...any) {
	j.errors = append(j.errors, fmt.Sprintf(format, args...))
}

// A handler that does not do as documented fails its test, which says in what.
func TestTheCheckBites(t *testing.T) {
	spec := apitest.Load(t)
	start := masterapi.PathInstance("s", "i", masterapi.ActionStart)
	stop := masterapi.PathInstance("s", "i", masterapi.ActionStop)
	report := masterapi.PathInstance("s", "i", masterapi.ActionReport)
	escapes := masterapi.PathInstance("a/b", "c%d", masterapi.ActionStop)
	badName := masterapi.PathInstance("s", "..", masterapi.ActionStart)
	ports := masterapi.PathPortAvailable
	const refuse = "should have been refused"
	const ok, failure = `{"port":"1"}`, `{"code":"failed","message":"m"}`
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		answer, want       string
	}{
		"as documented":       {"GET", ports, "", 200, ok, ""},
		"documented error":    {"GET", ports, "", 500, failure, ""},
		"old path":            {"GET", strings.TrimPrefix(ports, "/v1"), "", 200, ok, ""},
		"a number as text":    {"GET", ports, "", 200, `{"port":1}`, "got number, want string"},
		"a key is missing":    {"GET", ports, "", 200, `{}`, "missing property 'port'"},
		"no JSON":             {"GET", ports, "", 200, `{`, "failed to decode response body"},
		"another status":      {"GET", ports, "", 409, failure, "status is not supported"},
		"an unknown code":     {"GET", ports, "", 500, `{"code":"x","message":"m"}`, "value must be one of"},
		"another error shape": {"GET", ports, "", 500, `{"error":"m"}`, "missing properties 'code', 'message'"},
		"a body of none":      {"PUT", stop, "", 200, `{}`, "documented as empty"},
		"a name that escapes": {"PUT", escapes, "", 200, "", ""},
		"a bad name passes":   {"PUT", badName, "{}", 200, "", refuse},
		"a bad body passes":   {"PUT", start, `{"a":1}`, 200, "", refuse},
		"a bad key passes":    {"PUT", report, `{"status":1}`, 200, "", refuse},
		"too many keys pass":  {"PUT", report, many(101), 200, "", refuse},
		"an unknown path":     {"GET", "/v1/nothing", "", 200, ok, "no operation is documented"},
		"an unknown method":   {"POST", ports, "", 200, ok, "no operation is documented"},
		"405 without Allow":   {"POST", ports, "", 405, `{"code":"method_not_allowed","message":"m"}`, "Allow"},
		"for persons alone":   {"POST", masterapi.PathRestart, "", 200, "", "a service got what is for persons"},
		"refused to services": {"POST", masterapi.PathRestart, "", 403, `{"code":"forbidden","message":"m"}`, ""},
		"404 of another kind": {"GET", "/v1/nothing", "", 404, `"page not found"`, "got string, want object"},
	} {
		t.Run(name, func(t *testing.T) {
			h := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
				if c.answer != "" {
					w.Header().Set("Content-Type", "application/json")
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.answer))
			})
			j := &judged{TB: t}
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			r.Header.Set(masterapi.HeaderUsername, "a")
			r.Header.Set(masterapi.HeaderPassword, "b")
			spec.Handler(j, h).ServeHTTP(httptest.NewRecorder(), r)
			if c.want == "" {
				require.Empty(t, j.errors)
				return
			}
			require.Len(t, j.errors, 1)
			require.Contains(t, j.errors[0], c.want)
		})
	}
	j := &judged{TB: t}
	open := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(ok))
	})
	spec.Handler(j, open).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", ports, nil))
	require.Len(t, j.errors, 1, "whoever has no token is served")
	j = &judged{TB: t}
	spec.Admin(j, open).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", ports, nil))
	require.Empty(t, j.errors, "a person has no token")
	require.NotContains(t, spec.Unseen(), masterapi.RoutePorts.Name+" 200")
	require.Contains(t, spec.Unseen(), masterapi.RoutePorts.Name+" 401")
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}
