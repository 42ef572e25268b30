package metrics

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// A request under a name that is not the server's gets nothing, whatever it asks for.
func TestHostsOfRequests(t *testing.T) {
	s := &Server{Address: "metrics.device.example:9883", Hosts: []string{"other.example"}}
	h := s.meant(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for host, want := range map[string]int{
		"127.0.0.1:9883":              200,
		"[::1]:9883":                  200,
		"[::1]":                       200,
		"localhost:9883":              200,
		"baetyl-hub:9883":             200, // the name of a service
		"METRICS.device.example:9883": 200,
		"other.example.":              200,
		"":                            200, // HTTP 1.0
		"evil.example":                421,
		"evil.example:9883":           421,
		"127.0.0.1.evil.example":      421,
		"other.example.evil.example":  421,
		"a:b:c":                       421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, host)
		if want != 200 {
			require.Contains(t, w.Body.String(), "add the name to metrics.hosts")
		}
	}
}
