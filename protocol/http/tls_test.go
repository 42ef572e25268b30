package http_test

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/certtest"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/log"
)

// With ca only clients with a certificate get an answer; each client verifies the name of the server.
func TestClientCertificateIsRequired(t *testing.T) {
	ours, stranger := certtest.New(t), certtest.New(t).Client
	client := ours.Client
	stranger.CA = client.CA
	s, _ := serve(t, http.ServerConfig{Address: "https://0.0.0.0:0", Config: ours.Server}, echo())
	get := func(host string, c cert.Config) error {
		_, port, err := net.SplitHostPort(s.Addr().String())
		require.NoError(t, err)
		cli, err := http.NewClient(http.ClientConfig{Address: "https://" + host + ":" + port, Config: c})
		require.NoError(t, err)
		defer cli.Close()
		return cli.Get(t.Context(), "/empty", nil)
	}
	require.NoError(t, get("127.0.0.1", client))
	require.ErrorContains(t, get("127.0.0.1", cert.Config{CA: client.CA}), "certificate required")
	require.ErrorContains(t, get("127.0.0.1", cert.Config{Insecure: true}), "certificate required")
	require.Error(t, get("127.0.0.1", stranger))
	require.ErrorContains(t, get("127.0.0.2", client), "x509")
	client.Insecure = true
	require.NoError(t, get("127.0.0.2", client))
}

// A server at plain tcp that other hosts can reach says so once, when it begins to listen.
func TestPlainTCPIsSaid(t *testing.T) {
	server := certtest.New(t).Server
	both := server
	both.Insecure = true
	for _, c := range []struct {
		address string
		cert.Config
		want string
	}{
		{"tcp://127.0.0.1:0", cert.Config{}, ""},
		{"unix://" + shortDir(t) + "/s", cert.Config{Insecure: true}, ""},
		{"tcp://0.0.0.0:0", cert.Config{}, "level=warning msg=\"server.address: other hosts can reach 0.0.0.0:0"},
		{"tcp://:0", cert.Config{Insecure: true}, "level=info msg=\"other hosts can reach :0"},
		{"tcp://:0", server, ""},
		{"https://:0", both, "server.insecure: has no effect"},
	} {
		var text strings.Builder
		o := http.Options{Log: log.NewTo(&text, log.Config{})}
		s := http.NewServerWith(http.ServerConfig{Address: c.address, Config: c.Config}, o, echo())
		require.NoError(t, s.Listen())
		require.NoError(t, s.Close())
		if c.want == "" {
			require.Empty(t, text.String())
			continue
		}
		require.Contains(t, text.String(), c.want)
		require.Equal(t, 1, strings.Count(text.String(), "\n"))
	}
}
