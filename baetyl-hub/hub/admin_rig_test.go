package hub_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/client"
	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// desk is a hub with its admin socket.
type desk struct {
	*running
	t    *testing.T
	path string
	http http.Client
}

func openDesk(t *testing.T, more string) *desk {
	t.Helper()
	path := filepath.Join(t.TempDir(), masterapi.ServiceAdmin)
	return openDeskAt(t, path, open+more+"admin: {address: 'unix://"+path+"'}\n")
}

// openDeskAt runs a hub that has its socket at path.
func openDeskAt(t *testing.T, path, yml string) *desk {
	t.Helper()
	d := &desk{t: t, path: path}
	d.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.path)
	}}
	d.running = run(t, yml)
	t.Cleanup(d.http.CloseIdleConnections)
	mqtttest.Until(t, "the admin socket is there", func() bool {
		conn, err := net.Dial("unix", d.path)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return d
}

// url is that of a user with all rights.
func (d *desk) url(i int) string {
	return []string{"tcp", "ws"}[i] + "://test:hahaha@" + d.Addrs()[i].String()
}

// ask returns status and body of the answer to a request.
func (d *desk) ask(method, path, body string) (int, string) {
	d.t.Helper()
	r, err := http.NewRequest(method, "http://hub"+path, strings.NewReader(body))
	require.NoError(d.t, err)
	a, err := d.http.Do(r)
	require.NoError(d.t, err)
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	require.NoError(d.t, err)
	require.Equal(d.t, "application/json", a.Header.Get("Content-Type"), string(b))
	return a.StatusCode, string(b)
}

func (d *desk) post(path string, in any) (status int, text string) {
	d.t.Helper()
	body, err := json.Marshal(in)
	require.NoError(d.t, err)
	return d.ask(http.MethodPost, path, string(body))
}

// list returns all pages of a list.
func list[T any](d *desk, path string, query ...string) (all []T) {
	d.t.Helper()
	v := url.Values{}
	for i := 0; i < len(query); i += 2 {
		v.Set(query[i], query[i+1])
	}
	for {
		status, body := d.ask(http.MethodGet, path+"?"+v.Encode(), "")
		require.Equal(d.t, 200, status, body)
		var p hubapi.Page[T]
		in := json.NewDecoder(strings.NewReader(body))
		in.DisallowUnknownFields()
		require.NoError(d.t, in.Decode(&p))
		if all = append(all, p.Items...); p.Next == "" {
			return all
		}
		v.Set("after", p.Next)
	}
}

func clientIDs(d *desk, query ...string) (ids []string) {
	d.t.Helper()
	for _, c := range list[hubapi.Client](d, hubapi.Clients, query...) {
		ids = append(ids, c.Client)
	}
	return ids
}

// join connects a client.
func join(t *testing.T, url, id string, change ...func(*client.Config)) (*client.Client, chan *packet.Message) {
	t.Helper()
	c, messages := client.New(), make(chan *packet.Message, 1000)
	c.Callback = func(m *packet.Message, err error) error {
		if err == nil {
			messages <- m
		} else {
			close(messages)
		}
		return nil
	}
	o := client.NewConfigWithClientID(url, id)
	for _, f := range change {
		f(o)
	}
	f, err := c.Connect(o)
	require.NoError(t, err)
	require.NoError(t, f.Wait(time.Minute))
	settle(t, c)
	return c, messages
}

// settle waits until the client has done all that it does after a CONNACK. It says that it is connected before it sends
// again what it finds in its session: a message that is published in between is sent twice. One goroutine reads all
// answers, so the answer to any request tells that the CONNACK is done with.
func settle(t *testing.T, c *client.Client) {
	t.Helper()
	f, err := c.Unsubscribe("nothing")
	require.NoError(t, err)
	require.NoError(t, f.Wait(time.Minute))
}

func durable(o *client.Config) { o.CleanSession = false }

func subscribe(t *testing.T, c *client.Client, filter string, qos packet.QOS) {
	t.Helper()
	f, err := c.Subscribe(filter, qos)
	require.NoError(t, err)
	require.NoError(t, f.Wait(time.Minute))
}

func publish(t *testing.T, c *client.Client, topic, payload string, qos packet.QOS, retain bool) {
	t.Helper()
	f, err := c.Publish(topic, []byte(payload), qos, retain)
	require.NoError(t, err)
	require.NoError(t, f.Wait(time.Minute))
}

// ended waits until a connection is closed.
func ended(t *testing.T, messages chan *packet.Message) {
	t.Helper()
	for {
		select {
		case _, more := <-messages:
			if !more {
				return
			}
		case <-time.After(time.Minute):
			t.Fatal("the connection is still open")
		}
	}
}
