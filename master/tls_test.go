package master_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
)

// With a certificate the API over tcp is TLS, its services are told so, and plain HTTP gets no token through.
func TestAPIOverTLS(t *testing.T) {
	borrowed := httptest.NewTLSServer(nil) // for its certificate for 127.0.0.1
	pair := borrowed.TLS.Certificates[0]
	borrowed.Close()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())

	d := newDevice(t)
	d.write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	d.write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	d.write(t, application.File, probe)
	d.server = fmt.Sprintf("{address: 'tcp://%s', cert: '%s', key: '%s'}", address, d.path("cert.pem"), d.path("key.pem"))
	d.boot(t)
	require.Eventually(t, func() bool { return d.fake.Env("probe") != nil }, time.Minute, time.Millisecond,
		"service probe was not started")
	env := d.fake.Env("probe")
	require.Equal(t, "https://"+address, env[masterapi.EnvAPIAddress])

	get := func(cfg http.ClientConfig) error {
		cfg.Username, cfg.Password = "probe", conf.Secret(env[masterapi.EnvServiceToken])
		c, err := http.NewClient(cfg)
		require.NoError(t, err)
		defer c.Close()
		return c.Get(t.Context(), masterapi.PathInspect, nil)
	}
	require.NoError(t,
		get(http.ClientConfig{Address: env[masterapi.EnvAPIAddress], Config: cert.Config{CA: d.path("cert.pem")}}))
	require.Error(t, get(http.ClientConfig{Address: env[masterapi.EnvAPIAddress]}), "an unknown CA")
	require.Error(t, get(http.ClientConfig{Address: "tcp://" + address}), "plain HTTP")
}
