package mqtt_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/256dpi/gomqtt/transport"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// authority makes certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.make("ca", nil)
	return a
}

// path is a file of the certificate called name, kind crt or key.
func (a *authority) path(name, kind string) string { return filepath.Join(a.dir, name+"."+kind) }

func (a *authority) make(name string, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	signer := a.key
	if parent == nil {
		parent, signer = c, key
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		c.ExtKeyUsage = nil
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	secret, err := x509.MarshalECPrivateKey(key)
	require.NoError(a.t, err)
	for file, block := range map[string]*pem.Block{a.path(name, "crt"): {Type: "CERTIFICATE", Bytes: der},
		a.path(name, "key"): {Type: "EC PRIVATE KEY", Bytes: secret}} {
		require.NoError(a.t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	}
	out, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return out, key
}

// serve answers CONNECT over a gomqtt server of any scheme.
func serve(t *testing.T, address string, secrets *tls.Config) string {
	t.Helper()
	s, err := transport.NewLauncher(transport.LaunchConfig{TLSConfig: secrets}).Launch(address)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					p, err := c.Receive()
					if err != nil {
						return
					}
					switch p := p.(type) {
					case *packet.Connect:
						c.Send(packet.NewConnack(), false)
					case *packet.Publish:
						c.Send(&packet.Puback{ID: p.ID}, false)
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { s.Close(); <-done })
	return s.Addr().String()
}

func TestSchemes(t *testing.T) {
	a := newAuthority(t)
	a.make("server", a.cert)
	a.make("client", a.cert)
	other := newAuthority(t)
	other.make("other", other.cert)
	ca := a.path("ca", "crt")
	pair := cert.Config{Cert: a.path("server", "crt"), Key: a.path("server", "key")}
	secrets, err := cert.Server(pair)
	require.NoError(t, err)
	pair.CA = ca
	mutual, err := cert.Server(pair)
	require.NoError(t, err)
	plain := serve(t, "tcp://127.0.0.1:0", nil)
	secure := serve(t, "tls://127.0.0.1:0", secrets)
	two := serve(t, "tls://127.0.0.1:0", mutual)
	web := serve(t, "ws://127.0.0.1:0", nil)
	wss := serve(t, "wss://127.0.0.1:0", secrets)
	port := func(address string) string { _, p, _ := net.SplitHostPort(address); return p }
	client := mqtt.ClientInfo{CA: ca, Cert: a.path("client", "crt"), Key: a.path("client", "key")}
	unknown := mqtt.ClientInfo{CA: ca, Cert: other.path("other", "crt"), Key: other.path("other", "key")}
	for _, c := range []struct {
		address string
		cfg     mqtt.ClientInfo
		fails   string
	}{
		{"tcp://" + plain, mqtt.ClientInfo{}, ""},
		{"mqtt://localhost:" + port(plain), mqtt.ClientInfo{}, ""},
		{"tcp://0.0.0.0:" + port(plain), mqtt.ClientInfo{}, ""},
		{"ssl://" + secure, mqtt.ClientInfo{CA: ca}, ""},
		{"tls://localhost:" + port(secure), mqtt.ClientInfo{CA: ca}, ""},
		{"mqtts://" + secure, mqtt.ClientInfo{Insecure: true}, ""},
		{"ssl://" + secure, mqtt.ClientInfo{}, "certificate signed by unknown authority"},
		{"ssl://" + secure, mqtt.ClientInfo{CA: other.path("ca", "crt")}, "certificate signed by unknown authority"},
		{"ssl://" + two, client, ""},
		{"ssl://" + two, mqtt.ClientInfo{CA: ca}, "certificate required"},
		{"ssl://" + two, unknown, "unknown certificate authority"},
		{"ws://" + web + "/mqtt?x=1", mqtt.ClientInfo{}, ""},
		{"ws://" + web, mqtt.ClientInfo{}, ""},
		{"wss://" + wss + "/mqtt", mqtt.ClientInfo{CA: ca}, ""},
		{"wss://" + wss, mqtt.ClientInfo{}, "certificate signed by unknown authority"},
	} {
		c.cfg.Address, c.cfg.ClientID = c.address, "c"
		cli, err := mqtt.Connect(context.Background(), c.cfg, nil)
		if c.fails != "" {
			require.ErrorContains(t, err, c.fails, c.address)
			continue
		}
		require.NoError(t, err, c.address)
		require.NoError(t, cli.Close())
		d := start(t, c.cfg, nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		m := mqtt.Message{Topic: "t", QOS: 1, Payload: []byte(strings.Repeat("x", 100000))}
		require.NoError(t, d.PublishWait(ctx, m), c.address)
		cancel()
		require.NoError(t, d.Close())
	}
}

// A peer that accepts the connection and sends nothing causes a timeout, at each stage.
func TestTimeouts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	waits := map[string]string{"tcp": "wait for CONNACK: timeout", "ssl": "TLS handshake", "ws": "websocket handshake"}
	for scheme, what := range waits {
		_, err := mqtt.Connect(
			context.Background(),
			mqtt.ClientInfo{Address: scheme + "://" + l.Addr().String(), ClientID: "c", Timeout: time.Second},
			nil,
		)
		require.ErrorContains(t, err, what, scheme)
	}
}

// Keys that leave a connection open to others are said once: that nothing is verified, and that there is no TLS.
func TestOpenConnectionsAreSaid(t *testing.T) {
	ca := newAuthority(t).path("ca", "crt")
	for _, c := range []struct {
		cfg  mqtt.ClientInfo
		want string
	}{
		{mqtt.ClientInfo{Address: "ssl://h", CA: ca}, ""},
		{mqtt.ClientInfo{Address: "tcp://h"}, ""},
		{mqtt.ClientInfo{Address: "wss://h", Insecure: true}, "the certificate of the peer is not verified"},
		{mqtt.ClientInfo{Address: "mqtt://h", CA: ca}, "have no effect: mqtt:// has no TLS"},
		{mqtt.ClientInfo{Address: "ws://h", Insecure: true}, "have no effect: ws:// has no TLS"},
	} {
		var text strings.Builder
		c.cfg.ClientID = "c"
		d, err := mqtt.NewDispatcher(c.cfg, mqtt.WithLogger(log.NewTo(&text, log.Config{})))
		require.NoError(t, err)
		require.NoError(t, d.Close())
		require.Equal(t, c.want != "", strings.Contains(text.String(), "level=warning"), text.String())
		require.Contains(t, text.String(), c.want)
	}
}

func TestConfigErrors(t *testing.T) {
	filters := []mqtt.TopicInfo{{Topic: "a"}, {Topic: "#/b"}}
	for want, c := range map[string]mqtt.ClientInfo{
		"address: is empty":                           {ClientID: "c"},
		`address: "http://x" has none of the schemes`: {ClientID: "c", Address: "http://x"},
		"the host is missing; write tcp://host:port":  {ClientID: "c", Address: "tcp://:1883"},
		"is not a name of a host":                     {ClientID: "c", Address: "tcp://a b"},
		`address: "tcp://xxxxx@h" has a user in it`:   {ClientID: "c", Address: "tcp://u:secret@h"},
		"clientid: is empty":                          {Address: "tcp://x"},
		"username: is empty, but password is set":     {Address: "tcp://x", ClientID: "c", Password: "p"},
		"keepalive: -1s is not within":                {Address: "tcp://x", ClientID: "c", KeepAlive: -time.Second},
		"subscriptions[1].topic: filter has # else":   {Address: "tcp://x", ClientID: "c", Subscriptions: filters},
		"ca: load ca: open nowhere.pem":               {Address: "ssl://x", ClientID: "c", CA: "nowhere.pem"},
		"cert: load cert nowhere.crt": {
			Address: "ssl://x", ClientID: "c", Cert: "nowhere.crt", Key: "nowhere.key",
		},
	} {
		_, err := mqtt.NewDispatcher(c)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
	var cfg struct {
		Hub mqtt.ClientInfo `yaml:"hub" json:"hub"`
	}
	require.NoError(t, conf.Parse("x", []byte("hub: {address: 'tcp://x:1'}"), &cfg))
	require.Equal(t, mqtt.ClientInfo{
		Address:     "tcp://x:1",
		Timeout:     30 * time.Second,
		Interval:    time.Minute,
		KeepAlive:   time.Minute,
		BufferSize:  10,
		MaxInflight: 20,
		Message:     mqtt.Limits{Length: mqtt.Length{Max: 4 << 20}},
	}, cfg.Hub)
	err := conf.Parse("x", []byte("hub: {subscriptions: [{topic: a, qos: 2}]}"), &cfg)
	require.ErrorContains(t, err, "hub.subscriptions[0].qos")
}

// The delay between attempts grows, and is short again after a connection that lasted.
func TestBackoffResets(t *testing.T) {
	var times []time.Time
	script := func(live time.Duration) func(net.Conn) {
		return func(c net.Conn) {
			times = append(times, time.Now())
			s := transport.NewNetConn(c)
			s.Receive()
			s.Send(packet.NewConnack(), false)
			if live > 0 {
				c.SetReadDeadline(time.Now().Add(live))
				s.Receive()
			}
		}
	}
	done := make(chan struct{})
	address := peer(t, script(0), script(0), script(2500*time.Millisecond), script(0), func(net.Conn) { close(done) })
	start(t, mqtt.ClientInfo{Address: address, ClientID: "c", Interval: time.Minute}, nil)
	<-done
	gap := func(i int) time.Duration { return times[i+1].Sub(times[i]) }
	// Delays are half a second, one, two …, more on a busy machine: only what is less than a delay allows is wrong.
	require.Greater(t, gap(0), 250*time.Millisecond)
	require.Greater(t, gap(1), 600*time.Millisecond)
	require.Less(t, gap(2)-2500*time.Millisecond, 1900*time.Millisecond, "after a healthy connection")
}

func TestWithContextGivesUpWaiting(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	d := start(t, mqtt.ClientInfo{Address: "tcp://127.0.0.1:1", ClientID: "c", BufferSize: 2}, nil, mqtt.WithContext(ctx))
	got := make(chan error, 1)
	go func() {
		for {
			if err := d.Publish(mqtt.TopicInfo{Topic: "t"}, nil); err != nil {
				got <- err
				return
			}
		}
	}()
	mqtttest.Until(t, "queue is full", func() bool { return d.Stats().Queued == 2 })
	cancel()
	require.ErrorIs(t, <-got, context.Canceled)
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/b", "a", false}, {"a", "a/b", false},
		{"+/b", "a/b", true}, {"+", "a", true}, {"+", "a/b", false}, {"a/+", "a", false}, {"a/+", "a/", true},
		{"#", "a/b/c", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "b", false}, {"a/+/#", "a", false},
		{"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"/+", "/a", true},
		{"+/+", "/a", true}, {"+", "/a", false},
	} {
		require.Equal(t, c.want, mqtt.Match(c.filter, c.topic), "%s %s", c.filter, c.topic)
	}
}

func FuzzTopics(f *testing.F) {
	for _, s := range []string{"a/b", "+/#", "#", "$SYS/#", "/", "a+", "\x00", "\xff"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, filter, topic string) {
		if mqtt.CheckTopic(topic) != nil {
			return
		}
		if mqtt.CheckFilter(topic) != nil {
			t.Fatal("each topic is a filter")
		}
		if !mqtt.Match(topic, topic) {
			t.Fatal("each topic matches itself")
		}
		if mqtt.CheckFilter(filter) == nil && mqtt.Match(filter, topic) &&
			strings.Count(filter, "/") > strings.Count(topic, "/")+1 {
			t.Fatal("a filter has at most one level more than what it matches")
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"tcp://h:1", "ssl://[::1]", "ws://h/mqtt?x", "tcp://u:p@h", "://", "tcp://%zz",
		"wss://0.0.0.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		mqtt.ClientInfo{Address: address, ClientID: "c"}.Check() // does not panic
	})
}
