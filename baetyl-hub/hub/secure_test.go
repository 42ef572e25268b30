package hub_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
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

// authority makes a CA with a certificate of a hub at 127.0.0.1 and one of a client: <base>.ca.pem, .hub.pem, .dev.pem.
func authority(t *testing.T, base string) string {
	t.Helper()
	ca, err := cert.Issue(cert.Authority("ca"), nil, nil)
	require.NoError(t, err)
	server, err := cert.Issue(cert.ForServer("hub", "127.0.0.1", "localhost"), nil, ca)
	require.NoError(t, err)
	device, err := cert.Issue(cert.ForClient("device"), nil, ca)
	require.NoError(t, err)
	require.NoError(t, errors.Join(cert.WriteCertificate(base+".ca.pem", ca.Leaf), cert.Write(base+".hub", server),
		cert.Write(base+".dev", device)))
	return base
}

const secured = `
listen: ['ssl://127.0.0.1:0']
metrics: {address: ''}
certificate: {ca: '%s.ca.pem', cert: '%s.hub.pem', key: '%[2]s.hub.key'%s}
principals:
- {username: test, password: secret, permissions: [{action: pub, permit: ['#']}]}
- {username: two-way-tls, permissions: [{action: pub, permit: ['#']}]}
`

// mosquitto's client, with and without a certificate: the hub asks for one; with certificate.require it insists.
func TestMosquittoWithCertificates(t *testing.T) {
	program := requires.Command(t, "mosquitto_pub", "apt-get install mosquitto-clients")
	ours, theirs := authority(t, filepath.Join(t.TempDir(), "ours")), authority(t, filepath.Join(t.TempDir(), "theirs"))
	account := []string{"-u", "test", "-P", "secret"}
	device := []string{"-u", "two-way-tls", "--cert", ours + ".dev.pem", "--key", ours + ".dev.key"}
	stranger := []string{"-u", "two-way-tls", "--cert", theirs + ".dev.pem", "--key", theirs + ".dev.key"}
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
	} {
		r := run(t, strings.Replace(fmt.Sprintf(secured, ours, ours, c.more), "127.0.0.1:0", "0.0.0.0:0", 1))
		_, port, err := net.SplitHostPort(r.Addrs()[0].String())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		all := append([]string{"-h", c.host, "-p", port, "--cafile", ours + ".ca.pem", "-q", "1", "-t", "t", "-m", "x"}, c.args...)
		out, err := exec.CommandContext(ctx, program, all...).CombinedOutput()
		cancel()
		require.Equal(t, c.success, err == nil, "%q at %s with %q: %s", c.more, c.host, c.args, out)
	}
}

// What a reload changes holds for sessions of TLS that clients resume: without a certificate, and with one of a CA
// that is not trusted any more, none goes on.
func TestReloadOfCertificates(t *testing.T) {
	ours, theirs := authority(t, filepath.Join(t.TempDir(), "ours")), authority(t, filepath.Join(t.TempDir(), "theirs"))
	pair, err := tls.LoadX509KeyPair(ours+".dev.pem", ours+".dev.key")
	require.NoError(t, err)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r := run(t, fmt.Sprintf(secured, ours, ours, ""))
		trust, err := cert.Client(cert.Config{CA: ours + ".ca.pem"})
		require.NoError(t, err)
		trust.MaxVersion, trust.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
		device := trust.Clone()
		device.Certificates, device.ClientSessionCache = []tls.Certificate{pair}, tls.NewLRUClientSessionCache(1)
		login := func(c *tls.Config, user, password string) bool {
			conn, err := tls.Dial("tcp", r.Addrs()[0].String(), c)
			if err != nil {
				return false
			}
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
			_, err = conn.Write(hello(user, password))
			require.NoError(t, err)
			answer := make([]byte, 4)
			_, err = io.ReadFull(conn, answer)
			return err == nil && answer[3] == 0
		}
		require.True(t, login(trust, "test", "secret"))
		require.True(t, login(device, "two-way-tls", ""))
		require.NoError(t, r.Reload(parse(t, fmt.Sprintf(secured, ours, ours, ", require: true"))))
		require.False(t, login(trust, "test", "secret"))
		require.True(t, login(device, "two-way-tls", ""))
		require.NoError(t, r.Reload(parse(t, fmt.Sprintf(secured, theirs, ours, ""))))
		require.True(t, login(trust, "test", "secret"))
		require.False(t, login(device, "two-way-tls", ""))
	}
}

// hello is a CONNECT with a clean session; an empty password is none.
func hello(user, password string) []byte {
	flags, rest := byte(0x82), "\x00\x01c\x00"+string(rune(len(user)))+user
	if password != "" {
		flags, rest = 0xc2, rest+"\x00"+string(rune(len(password)))+password
	}
	body := "\x00\x04MQTT\x04" + string([]byte{flags, 0, 60}) + rest
	return append([]byte{0x10, byte(len(body))}, body...)
}
