//go:build unix

package functiontest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/baetyl/baetyl/internal/certtest"
)

func testTLS(t *testing.T, target Target) {
	set := certtest.New(t)
	files := map[string]string{}
	for name, path := range map[string]string{
		"ca.pem": set.Server.CA, "server.pem": set.Server.Cert, "server.key": set.Server.Key,
	} {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		files[name] = string(data)
	}
	pair, err := tls.LoadX509KeyPair(set.Client.Cert, set.Client.Key)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM([]byte(files["ca.pem"])))
	start := func(t *testing.T, config string, client *tls.Config) *Runtime {
		o := target.Options(config)
		for name, content := range files {
			o.Files["etc/baetyl/"+name] = content
		}
		client.RootCAs, client.ServerName = pool, "127.0.0.1"
		o.TLS = credentials.NewTLS(client)
		return Start(t, o)
	}
	server := "server: {key: etc/baetyl/server.key, cert: etc/baetyl/server.pem"
	t.Run("server certificate", func(t *testing.T) {
		r := start(t, server+"}", &tls.Config{})
		assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
		for range 40 { // each with its own handshake
			other := tls.Config{RootCAs: pool}
			r.dial(t, credentials.NewTLS(&other))
			assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
		}
		stop(t, r)
	})
	t.Run("both certificates", func(t *testing.T) {
		r := start(t, server+", ca: etc/baetyl/ca.pem}", &tls.Config{Certificates: []tls.Certificate{pair}})
		assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
		stop(t, r)
	})
	t.Run("client certificate missing", func(t *testing.T) {
		r := start(t, server+", ca: etc/baetyl/ca.pem}", &tls.Config{})
		_, err := r.Call(t, "echo", `{"id":1}`)
		assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		stop(t, r)
	})
	t.Run("client certificate of another authority", func(t *testing.T) {
		foreign := certtest.New(t).Client
		other, err := tls.LoadX509KeyPair(foreign.Cert, foreign.Key)
		require.NoError(t, err)
		r := start(t, server+", ca: etc/baetyl/ca.pem}", &tls.Config{
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &other, nil },
		})
		_, err = r.Call(t, "echo", `{"id":1}`)
		assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		stop(t, r)
	})
	t.Run("TLS before 1.2", func(t *testing.T) {
		r := start(t, server+"}", &tls.Config{})
		old := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		_, err := tls.Dial("tcp", r.Addr, old)
		assert.Error(t, err)
		stop(t, r)
	})
}

// testPlain: an address of the file that other hosts can reach, without TLS, is said once.
func testPlain(t *testing.T, target Target) {
	for _, c := range []struct{ address, keys, want string }{
		{"127.0.0.1:0", "", ""},
		{"localhost:0", ", insecure: true", ""},
		{"0.0.0.0:0", "", "server.address: other hosts can reach 0.0.0.0:0, which is plain tcp"},
		{"0.0.0.0:0", ", insecure: true", "other hosts can reach 0.0.0.0:0, which is plain tcp, as server.insecure says"},
	} {
		o := target.Options("server: {address: '" + c.address + "'" + c.keys + "}")
		o.NoAddr = true
		r := launch(t, o)
		r.wait(t, "it to serve", func() bool { return strings.Contains(r.Output(), " at "+c.address) })
		out := r.Output()
		assert.Equal(t, c.want != "", strings.Contains(out, "other hosts"), out)
		assert.Contains(t, out, c.want)
		assert.Equal(t, c.want != "" && c.keys == "", strings.Contains(out, "WARNING"), out)
		stop(t, r)
	}
}
