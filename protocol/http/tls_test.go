package http_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/log"
)

// issued returns the certificate of a server at 127.0.0.1, that of a client of the same authority, and one of another.
func issued(t *testing.T) (server, client, stranger cert.Config) {
	t.Helper()
	dir := t.TempDir()
	issue := func(name string) (server, client cert.Config) {
		base := filepath.Join(dir, name)
		ca, err := cert.Issue(cert.Authority(name), nil, nil)
		require.NoError(t, err)
		s, err := cert.Issue(cert.ForServer("server", "127.0.0.1"), nil, ca)
		require.NoError(t, err)
		c, err := cert.Issue(cert.ForClient("client"), nil, ca)
		require.NoError(t, err)
		require.NoError(t, errors.Join(cert.WriteCertificate(base+".pem", ca.Leaf), cert.Write(base+"-s", s),
			cert.Write(base+"-c", c)))
		return cert.Config{CA: base + ".pem", Cert: base + "-s.pem", Key: base + "-s.key"},
			cert.Config{CA: base + ".pem", Cert: base + "-c.pem", Key: base + "-c.key"}
	}
	server, client = issue("ours")
	_, stranger = issue("theirs")
	stranger.CA = client.CA
	return server, client, stranger
}

// With ca only clients with a certificate get an answer; each client verifies the name of the server.
func TestClientCertificateIsRequired(t *testing.T) {
	server, client, stranger := issued(t)
	s, _ := serve(t, http.ServerConfig{Address: "https://127.0.0.1:0", Config: server}, echo())
	get := func(host string, c cert.Config) error {
		_, port, _ := strings.Cut(s.Addr().String(), ":")
		cli, err := http.NewClient(http.ClientConfig{Address: "https://" + host + ":" + port, Config: c})
		require.NoError(t, err)
		defer cli.Close()
		return cli.Get(t.Context(), "/empty", nil)
	}
	require.NoError(t, get("127.0.0.1", client))
	require.ErrorContains(t, get("127.0.0.1", cert.Config{CA: client.CA}), "certificate required")
	require.ErrorContains(t, get("127.0.0.1", cert.Config{Insecure: true}), "certificate required")
	require.Error(t, get("127.0.0.1", stranger))
	require.ErrorContains(t, get("localhost", client), "x509")
	client.Insecure = true
	require.NoError(t, get("localhost", client))
}

// A server at plain tcp that other hosts can reach says so once, when it begins to listen.
func TestPlainTCPIsSaid(t *testing.T) {
	server, _, _ := issued(t)
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
