package metrics_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/master/metrics"
	"github.com/baetyl/baetyl/utils/cert"
)

func TestConfig(t *testing.T) {
	type config = metrics.Config
	secure := cert.Config{Cert: "c", Key: "k", CA: "a"}
	for _, c := range []struct {
		config
		wrong string // in the error; empty: there is none
	}{
		{config{}, ""},
		{config{Address: "127.0.0.1:9884"}, ""},
		{config{Address: "localhost:9884"}, ""},
		{config{Address: "[::1]:9884"}, ""},
		{config{Address: "0.0.0.0:9884", Config: secure}, ""},
		{config{Address: "0.0.0.0:9884", Config: cert.Config{Insecure: true}}, ""},
		{config{Address: "0.0.0.0:9884"}, "address: other hosts can reach 0.0.0.0:9884: listen on 127.0.0.1; or set cert, key and ca"},
		{config{Address: ":9884"}, "address: other hosts"},
		{config{Address: "0.0.0.0:9884", Config: cert.Config{Cert: "c", Key: "k"}}, "address: other hosts"},
		{config{Address: "http://127.0.0.1:1"}, `has a scheme; write host:port`},
		{config{Address: "127.0.0.1:1", Config: cert.Config{Cert: "c"}}, "key: is empty, but cert is set"},
	} {
		err := c.Validate()
		if c.wrong == "" {
			require.NoError(t, err, "%+v", c)
			continue
		}
		require.ErrorContains(t, err, c.wrong)
	}
}

// A reload takes the server to another address, ends it, and begins it again.
func TestSet(t *testing.T) {
	b := newBench(t)
	s := b.runs()
	before := b.base
	address := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	b.base = "http://" + address
	s.Set(metrics.Config{Address: address})
	b.answers()
	_, err := http.Get(before + "/healthz")
	require.Error(t, err)
	s.Set(metrics.Config{})
	mqtttest.Until(t, "nobody listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	s.Set(metrics.Config{Address: address})
	b.answers()
	b.page()
}

// With ca, only who has a certificate of it gets the numbers. A reload reads the files again.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, err := cert.Issue(cert.Authority("ca"), nil, nil)
	require.NoError(t, err)
	server, err := cert.Issue(cert.ForServer("s", "127.0.0.1"), nil, ca)
	require.NoError(t, err)
	client, err := cert.Issue(cert.ForClient("c"), nil, ca)
	require.NoError(t, err)
	files := cert.Config{
		CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key"),
	}
	require.NoError(t, cert.WriteCertificate(files.CA, ca.Leaf))

	b := newBench(t)
	s := b.runs()
	address := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	s.Set(metrics.Config{Address: address, Config: files}) // the certificate is not there yet
	mqtttest.Until(t, "the log says so", func() bool { return len(b.said.String()) > 0 })
	require.Contains(t, b.said.String(), "no metrics: metrics.address can't be opened")
	require.NoError(t, cert.Write(filepath.Join(dir, "server"), server))
	s.Set(metrics.Config{Address: address, Config: files})

	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	get := func(with ...tls.Certificate) (int, error) {
		c := http.Client{Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: with},
		}}
		r, err := c.Get("https://" + address + "/metrics")
		if err != nil {
			return 0, err
		}
		return r.StatusCode, r.Body.Close()
	}
	mqtttest.Until(t, "it answers who has a certificate", func() bool {
		status, err := get(*client)
		return err == nil && status == http.StatusOK
	})
	_, err = get()
	require.ErrorContains(t, err, "certificate required")
}
