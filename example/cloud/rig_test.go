package main

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
)

const waitLimit = time.Minute

// fixture is a cloud in a temporary folder.
type fixture struct {
	*testing.T
	dir string
}

func newFixture(t *testing.T) fixture {
	f := fixture{t, filepath.Join(t.TempDir(), "data")}
	f.run("init", "--mqtt", freePort(t), "--https", freePort(t))
	return f
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// try runs a command line and returns what it prints, with its errors.
func (f fixture) try(args ...string) (string, bool) {
	var out bytes.Buffer
	status := execute(append([]string{"--data", f.dir}, args...), &out, &out)
	return out.String(), status == 0
}

func (f fixture) run(args ...string) string {
	f.Helper()
	out, ok := f.try(args...)
	require.True(f, ok, out)
	return out
}

func (f fixture) refused(reason string, args ...string) {
	f.Helper()
	out, ok := f.try(args...)
	require.False(f, ok, out)
	require.Contains(f, out, reason)
}

// serve runs `cloud serve` until the test ends.
func (f fixture) serve() {
	s, err := openStore(f.dir)
	require.NoError(f, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, s, io.Discard) }()
	f.Cleanup(func() {
		cancel()
		require.NoError(f, <-done)
	})
	eventually(f, "it listens", func() error {
		conn, err := net.Dial("tcp", "localhost:"+strconv.Itoa(s.HTTPS))
		if err == nil {
			conn.Close()
		}
		return err
	})
}

func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(waitLimit)
	for {
		err := check()
		if err == nil {
			return
		}
		require.True(t, time.Now().Before(deadline), "waited for: %s; the last answer was: %v", what, err)
		time.Sleep(20 * time.Millisecond)
	}
}

// write makes the files of an application.
func write(t testing.TB, dir string, files map[string]string) string {
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

const application = `version: v1
services:
- name: agent
  image: registry.example.com/baetyl-agent:1.0
  mounts: [{name: agent-conf, path: etc/baetyl}, {name: data, path: var/db/baetyl/data}]
volumes:
- {name: agent-conf, path: var/db/baetyl/agent-conf}
- {name: data, path: var/db/baetyl/data}
`

// agent is what a device has: the files of `device add`.
type agent struct {
	t      testing.TB
	name   string
	config mqtt.ClientInfo
	url    string
	client *http.Client
	key    *rsa.PrivateKey
	cert   *x509.Certificate
}

func (f fixture) addDevice(name string) *agent {
	dir := filepath.Join(f.TempDir(), "agent-conf")
	f.run("device", "add", name, dir)
	var c struct {
		Remote struct {
			MQTT   mqtt.ClientInfo
			HTTP   struct{ Address, CA, Cert, Key string }
			Desire struct{ Topic string }
		}
		Logger any
	}
	require.NoError(f, conf.Load(filepath.Join(dir, "service.yml"), &c))
	here := func(path string) string { return filepath.Join(dir, strings.TrimPrefix(path, "etc/baetyl/")) }
	m := c.Remote.MQTT
	m.CA, m.Cert, m.Key = here(m.CA), here(m.Cert), here(m.Key)
	m.Subscriptions = []mqtt.TopicInfo{{Topic: cloud.Topic(c.Remote.Desire.Topic, m.ClientID), QOS: 1}}
	h := c.Remote.HTTP
	settings, err := cert.Client(cert.Config{CA: here(h.CA), Cert: here(h.Cert), Key: here(h.Key)})
	require.NoError(f, err)
	text, err := os.ReadFile(m.Key)
	require.NoError(f, err)
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	require.NoError(f, err)
	leaf, err := readCertificate(m.Cert)
	require.NoError(f, err)
	return &agent{
		f,
		name,
		m,
		h.Address,
		&http.Client{Transport: &http.Transport{TLSClientConfig: settings, DisableKeepAlives: true}},
		key,
		leaf,
	}
}

// listen receives events as the agent does.
func (a *agent) listen() <-chan cloud.Event {
	d, err := mqtt.NewDispatcher(a.config)
	require.NoError(a.t, err)
	l := listener{make(chan cloud.Event, 10), make(chan struct{}, 10)}
	require.NoError(a.t, d.Start(l))
	a.t.Cleanup(func() { d.Close(); d.Wait() })
	next(a.t, l.connected)
	return l.events
}

type listener struct {
	events    chan cloud.Event
	connected chan struct{}
}

func (l listener) OnMessage(m *mqtt.Delivery) {
	if event, err := cloud.Parse(m.Payload); err == nil {
		l.events <- *event
	}
	m.Ack()
}

func (l listener) OnError(error)  {}
func (l listener) OnConnect(bool) { l.connected <- struct{}{} }

// next waits for what comes.
func next[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(waitLimit):
		t.Fatal("nothing comes")
		panic("not reached")
	}
}

// post sends a report; change may spoil it. It returns the status.
func (a *agent) post(r any, change func(h http.Header, body *string)) int {
	data, err := json.Marshal(r)
	require.NoError(a.t, err)
	sealed, err := cloud.Seal(a.key, data)
	require.NoError(a.t, err)
	header := http.Header{}
	header.Set(cloud.HeaderSerial, cloud.Serial(a.cert))
	header.Set(cloud.HeaderClientID, a.name)
	header.Set(cloud.HeaderKey, sealed.Key)
	body := sealed.Body
	if change != nil {
		change(header, &body)
	}
	req, err := http.NewRequest("POST", a.url+cloud.ReportURL, strings.NewReader(body))
	require.NoError(a.t, err)
	req.Header = header
	res, err := a.client.Do(req)
	require.NoError(a.t, err)
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// get fetches a part of a package.
func (a *agent) get(url, part string) (int, string) {
	req, err := http.NewRequest("GET", url, nil)
	require.NoError(a.t, err)
	if part != "" {
		req.Header.Set("Range", part)
	}
	res, err := a.client.Do(req)
	require.NoError(a.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(a.t, err)
	return res.StatusCode, string(data)
}

func reported(version string, trace string, steps ...string) cloud.Report {
	r := cloud.Report{OTA: map[string][]cloud.Progress{}}
	r.Software.ConfVersion = version
	for i, s := range steps {
		r.OTA[trace] = append(r.OTA[trace], cloud.Progress{Time: time.Unix(int64(1000+i), 0), Step: s, Trace: trace})
	}
	return r
}

// subscribe connects and subscribes as c says, and tells why it may not.
func subscribe(c mqtt.ClientInfo) error {
	client, err := mqtt.Connect(context.Background(), c, nil)
	if err != nil {
		return err
	}
	answered := errors.New("SUBACK")
	err = client.Serve(func(p packet.Generic) error {
		if ack, ok := p.(*packet.Suback); ok && ack.ReturnCodes[0] == packet.QOSFailure {
			return mqtt.ErrRefused
		}
		return answered
	})
	if errors.Is(err, answered) {
		return nil
	}
	return err
}
