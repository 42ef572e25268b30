// Package metricstest reads the numbers of a module as the master does, at its admin socket.
package metricstest

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Page returns the page at a unix socket. It fails the test for what promtool check metrics would say of it.
func Page(t testing.TB, socket string) string {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
	r, err := c.Get("http://module" + masterapi.PathMetrics)
	require.NoError(t, err)
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode, string(data))
	problems, err := promlint.New(strings.NewReader(string(data))).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	return string(data)
}
