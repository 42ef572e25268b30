package hub_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	"github.com/baetyl/baetyl/internal/certtest"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// running is a hub whose log can be read and whose configuration can be changed.
type running struct {
	*hub.Hub
	out *mqtttest.Output
	dir string
}

func parse(t testing.TB, yml string) (c config.Config) {
	t.Helper()
	require.NoError(t, conf.Parse("service.yml", []byte(yml), &c))
	return c
}

func run(t *testing.T, yml string) *running {
	t.Helper()
	r := &running{out: &mqtttest.Output{}, dir: t.TempDir()}
	cfg := parse(t, yml)
	cfg.Storage.Dir = r.dir
	var err error
	r.Hub, err = hub.Open(cfg, log.NewTo(r.out, log.Config{}))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-ended) })
	return r
}

// secured is the configuration of a hub with a certificate and further keys beside it.
func secured(server cert.Config, more string) string {
	return fmt.Sprintf(`
listen: ['ssl://0.0.0.0:0']
metrics: {address: ''}
certificate: {ca: '%s', cert: '%s', key: '%s'%s}
principals:
- {username: test, password: secret, permissions: [{action: pub, permit: ['#']}]}
- {username: two-way-tls, permissions: [{action: pub, permit: ['#']}]}
- {username: client, permissions: [{action: pub, permit: ['#']}]}
`, server.CA, server.Cert, server.Key, more)
}

// mosquitto's client, with and without a certificate: the hub asks for one; with certificate.require it insists.
func TestMosquittoWithCertificates(t *testing.T) {
	program := requires.Command(t, "mosquitto_pub", "apt-get install mosquitto-clients")
	ours, theirs := certtest.New(t), certtest.New(t)
	account := []string{"-u", "test", "-P", "secret"}
	device := []string{"-u", "two-way-tls", "--cert", ours.Client.Cert, "--key", ours.Client.Key}
	stranger := []string{"-u", "two-way-tls", "--cert", theirs.Client.Cert, "--key", theirs.Client.Key}
	for _, c := range []struct {
		more    string
		host    string
		args    []string
		success bool
	}{
		{"", "127.0.0.1", account, true},
		{"", "127.0.0.1", device, true},
		{"", "127.0.0.1", []string{"-u", "two-way-tls"}, false},
		{"", "127.0.0.1", stranger, false},
		{"", "127.0.0.2", account, false}, // the client verifies who answers
		{", require: true", "127.0.0.1", account, false},
		{", require: true", "127.0.0.1", append(device[2:], account...), true},
		{", require: true", "localhost", device, true},
		{", require: true", "127.0.0.1", stranger, false},
		{", username: cn", "127.0.0.1", device[2:], true}, // the client's certificate says who it is
		{", username: cn", "127.0.0.1", append([]string{"-u", "client"}, device[2:]...), true},
		{", username: cn", "127.0.0.1", device, false},
		{", username: cn", "127.0.0.1", account, true},
		{", username: cn", "127.0.0.1", append(device[2:], account...), true},
		{"", "127.0.0.1", device[2:], false},
	} {
		r := run(t, secured(ours.Server, c.more))
		_, port, err := net.SplitHostPort(r.Addrs()[0].String())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		all := []string{"-h", c.host, "-p", port, "--cafile", ours.Client.CA, "-q", "1", "-t", "t", "-m", "x"}
		out, err := exec.CommandContext(ctx, program, append(all, c.args...)...).CombinedOutput()
		cancel()
		require.Equal(t, c.success, err == nil, "%q at %s with %q: %s", c.more, c.host, c.args, out)
	}
}

// What a reload changes holds for sessions of TLS that clients resume: without a certificate, and with one of a CA
// that is not trusted any more, none goes on.
func TestReloadOfCertificates(t *testing.T) {
	ours, theirs := certtest.New(t), certtest.New(t)
	pair, err := tls.LoadX509KeyPair(ours.Client.Cert, ours.Client.Key)
	require.NoError(t, err)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r := run(t, secured(ours.Server, ""))
		_, port, err := net.SplitHostPort(r.Addrs()[0].String())
		require.NoError(t, err)
		trust, err := cert.Client(cert.Config{CA: ours.Client.CA})
		require.NoError(t, err)
		trust.MaxVersion, trust.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
		device := trust.Clone()
		device.Certificates, device.ClientSessionCache = []tls.Certificate{pair}, tls.NewLRUClientSessionCache(1)
		login := func(c *tls.Config, user, password string) bool {
			conn, err := tls.Dial("tcp", "localhost:"+port, c)
			if err != nil {
				return false
			}
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
			_, err = conn.Write(hello(user, password))
			require.NoError(t, err)
			answer := make([]byte, 4)
			_, err = io.ReadFull(conn, answer)
			return err == nil && answer[3] == 0
		}
		require.True(t, login(trust, "test", "secret"))
		require.True(t, login(device, "two-way-tls", ""))
		require.NoError(t, r.Reload(parse(t, secured(ours.Server, ", require: true"))))
		require.False(t, login(trust, "test", "secret"))
		require.True(t, login(device, "two-way-tls", ""))
		other := ours.Server
		other.CA = theirs.Server.CA
		require.NoError(t, r.Reload(parse(t, secured(other, ""))))
		require.True(t, login(trust, "test", "secret"))
		require.False(t, login(device, "two-way-tls", ""))
		require.NoError(t, r.Reload(parse(t, secured(ours.Server, ", username: cn"))))
		require.False(t, login(device, "two-way-tls", "") || login(trust, "", ""))
		require.True(t, login(device, "", "") && login(device, "client", "") && login(trust, "test", "secret"))
	}
}

// hello is a CONNECT with a clean session and the user as client id; an empty password is none.
func hello(user, password string) []byte {
	text := func(s string) string { return string([]byte{0, byte(len(s))}) + s }
	flags, rest := byte(0x82), text(user)+text(user)
	if password != "" {
		flags, rest = 0xc2, rest+text(password)
	}
	body := text("MQTT") + string([]byte{4, flags, 0, 60}) + rest
	return append([]byte{0x10, byte(len(body))}, body...)
}
