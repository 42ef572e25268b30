package function_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/certtest"
	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/log"
)

// With ca only clients with a certificate are served; each client verifies the name of the server.
func TestClientCertificateIsRequired(t *testing.T) {
	ours, stranger := certtest.New(t), certtest.New(t).Client
	stranger.CA = ours.Client.CA
	s := ours.Server
	address, _ := serve(t, function.ServerConfig{CA: s.CA, Cert: s.Cert, Key: s.Key},
		func(_ context.Context, m *function.Message) (*function.Message, error) { return m, nil })
	call := func(address string, c cert.Config) error {
		cli := connect(t, function.ClientConfig{Address: address, Timeout: 20 * time.Second, Config: c, FailFast: true})
		_, err := cli.Call(t.Context(), &function.Message{})
		return err
	}
	require.NoError(t, call(address, ours.Client))
	require.NoError(t, call(strings.Replace(address, "127.0.0.1", "localhost", 1), ours.Client))
	for name, c := range map[string]cert.Config{
		"none": {CA: ours.Client.CA}, "none, nothing verified": {Insecure: true}, "of another authority": stranger,
		"of a server": s,
	} {
		require.Error(t, call(address, c), name)
	}
}

// Plain tcp that other hosts can reach is said, unless it is meant.
func TestPlainTCPIsSaid(t *testing.T) {
	for _, c := range []struct {
		cfg  function.ServerConfig
		want string
	}{
		{function.ServerConfig{Address: "127.0.0.1:1"}, ""},
		{function.ServerConfig{Address: ":1", Cert: "c", Key: "k"}, ""},
		{function.ServerConfig{Address: ":1"}, "level=warning msg=\"server.address: other hosts can reach :1"},
		{function.ServerConfig{Address: "device:1", Insecure: true}, "level=info msg=\"other hosts can reach device:1"},
	} {
		var text strings.Builder
		c.cfg.Announce(log.NewTo(&text, log.Config{}))
		require.Equal(t, c.want == "", text.String() == "", text.String())
		require.Contains(t, text.String(), c.want)
	}
}
