package manager

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/certtest"
	"github.com/baetyl/baetyl/internal/mqtttest"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/cert"
)

// The gRPC server with ca serves only clients with a certificate. Plain tcp that other hosts can reach goes on, and is
// said, as a warning unless it is meant.
func TestServerOverTLS(t *testing.T) {
	hub, c := startHub(t).address, certtest.New(t)
	for _, s := range []struct{ host, keys, want string }{
		{"127.0.0.1", fmt.Sprintf(", ca: '%s', cert: '%s', key: '%s'", c.Server.CA, c.Server.Cert, c.Server.Key), ""},
		{"0.0.0.0", "", "level=warning msg=\"server.address: other hosts can reach 0.0.0.0:"},
		{"0.0.0.0", ", insecure: true", "level=info msg=\"other hosts can reach 0.0.0.0:"},
	} {
		port := mqtttest.FreePort(t)
		m := start(t, hub, fmt.Sprintf(simple, 1, "1m")+fmt.Sprintf("server: {address: '%s:%d'%s}\n", s.host, port, s.keys))
		call := func(c cert.Config) error {
			address := fmt.Sprintf("127.0.0.1:%d", port)
			cli, err := rpc.NewClient(rpc.ClientConfig{Address: address, Timeout: 20 * time.Second, Config: c, FailFast: true})
			require.NoError(t, err)
			defer cli.Close()
			_, err = cli.Call(t.Context(), &rpc.Message{FunctionName: "f", Payload: []byte("hello")})
			return err
		}
		if s.want != "" {
			require.NoError(t, call(cert.Config{}))
			require.Contains(t, m.stderr.String(), s.want)
			continue
		}
		require.NoError(t, call(c.Client))
		require.Error(t, call(cert.Config{CA: c.Client.CA}))
		require.Error(t, call(cert.Config{}))
		require.NotContains(t, m.stderr.String(), "other hosts")
	}
}
