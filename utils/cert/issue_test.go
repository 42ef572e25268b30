package cert_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/cert"
)

// What is issued and written is what Server and Client read, for the purpose that it was issued for and no other.
func TestIssue(t *testing.T) {
	dir := t.TempDir()
	ca, err := cert.Issue(cert.Authority("ca"), nil, nil)
	require.NoError(t, err)
	stranger, err := cert.Issue(cert.Authority("ca"), nil, nil)
	require.NoError(t, err)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	issue := func(name string, template *x509.Certificate, key *rsa.PrivateKey, issuer *tls.Certificate) cert.Config {
		pair, err := cert.Issue(template, nil, issuer)
		if key != nil {
			pair, err = cert.Issue(template, key, issuer)
		}
		require.NoError(t, err)
		base := filepath.Join(dir, name)
		require.NoError(t, cert.Write(base, pair))
		info, err := os.Stat(base + ".key")
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
		return cert.Config{CA: filepath.Join(dir, "ca.pem"), Cert: base + ".pem", Key: base + ".key"}
	}
	require.NoError(t, cert.WriteCertificate(filepath.Join(dir, "ca.pem"), ca.Leaf))
	server := issue("server", cert.ForServer("server", "localhost", "127.0.0.1"), nil, ca)
	client := issue("client", cert.ForClient("client"), key, ca)

	for name, c := range map[string]struct {
		server, client cert.Config
		host           string
		ok             bool
	}{
		"both":                 {server, client, "localhost", true},
		"by address":           {server, client, "127.0.0.1", true},
		"another host":         {server, client, "example.com", false},
		"client as server":     {client, client, "localhost", false},
		"server as client":     {server, server, "localhost", false},
		"client of another CA": {server, issue("x", cert.ForClient("client"), nil, stranger), "localhost", false},
		"server of another CA": {issue("y", cert.ForServer("server", "localhost"), nil, stranger), client,
			"localhost", false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.ok, handshake(t, c.server, c.client, c.host) == nil) })
	}
}

// A server with a CA takes only those whose certificate comes from it; without one it asks nobody. No server takes a
// version of TLS before 1.2.
func TestServer(t *testing.T) {
	base := filepath.Join(t.TempDir(), "x")
	ca, err := cert.Issue(cert.Authority("ca"), nil, nil)
	require.NoError(t, err)
	pair, err := cert.Issue(cert.ForServer("x", "localhost"), nil, ca)
	require.NoError(t, err)
	require.NoError(t, errors.Join(cert.WriteCertificate(base+".ca", ca.Leaf), cert.Write(base, pair)))
	c := cert.Config{Cert: base + ".pem", Key: base + ".key"}
	require.NoError(t, handshake(t, c, cert.Config{CA: base + ".ca"}, "localhost"))
	c.CA = base + ".ca"
	require.ErrorContains(t, handshake(t, c, cert.Config{CA: base + ".ca"}, "localhost"), "provide a certificate")
	for _, c := range []cert.Config{c, {Cert: c.Cert, Key: c.Key}} {
		s, err := cert.Server(c)
		require.NoError(t, err)
		require.EqualValues(t, tls.VersionTLS12, s.MinVersion)
	}
	for want, c := range map[string]cert.Config{
		"":                          {CA: "a", Cert: "b", Key: "c"},
		"cert: is empty, but key":   {CA: "a", Key: "c"},
		"key: is empty, but cert":   {Cert: "b"},
		"ca: needs the keys cert a": {CA: "a", Insecure: true},
	} {
		if err := c.CheckServer(); want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
	}
}

// Plain tcp that other hosts can reach is named, as a warning until the file says that it is meant.
func TestExposed(t *testing.T) {
	pair := cert.Config{Cert: "b", Key: "c"}
	meant := cert.Config{Insecure: true}
	for _, c := range []struct {
		cert.Config
		host, warning, info string
	}{
		{cert.Config{}, "127.0.0.1:1", "", ""},
		{meant, "localhost:1", "", ""},
		{cert.Config{}, "0.0.0.0:1", "server.address: other hosts can reach 0.0.0.0:1", ""},
		{cert.Config{}, ":1", "server.insecure: true", ""},
		{cert.Config{}, "device:1", "set server.cert and server.key", ""},
		{meant, "[::]:1", "", "as server.insecure says"},
		{pair, "0.0.0.0:1", "", ""},
		{cert.Config{Cert: "b", Key: "c", Insecure: true}, "0.0.0.0:1", "server.insecure: has no effect", ""},
	} {
		warning, info := c.Exposed(c.host)
		require.Equal(t, c.warning == "", warning == "", c.host)
		require.Equal(t, c.info == "", info == "", c.host)
		require.Contains(t, warning, c.warning)
		require.Contains(t, info, c.info)
	}
}

// handshake returns why a TLS connection between the two fails, or nil.
func handshake(t *testing.T, server, client cert.Config, host string) error {
	s, err := cert.Server(server)
	require.NoError(t, err)
	c, err := cert.Client(client)
	require.NoError(t, err)
	c.ServerName = host
	l, err := tls.Listen("tcp", "127.0.0.1:0", s)
	require.NoError(t, err)
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			err = conn.(*tls.Conn).Handshake()
		}
		done <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), c)
	if err == nil {
		defer conn.Close()
	}
	return errors.Join(err, <-done) // with TLS 1.3 the server alone knows of some refusals
}
