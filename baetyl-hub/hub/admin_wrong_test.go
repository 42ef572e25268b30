package hub_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Each wrong request gets one JSON error that says what to do, and changes nothing.
func TestAdminRefusesWrongRequests(t *testing.T) {
	d := openDesk(t, "")
	large := `{"topic":"a","payload":"` + strings.Repeat("x", 1<<20) + `"}`
	for _, x := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/", "", 404, "GET /v1/clients"},
		{"GET", "//v1/clients", "", 404, "no such path"},
		{"GET", "/v1/clients/../clients", "", 404, "no such path"},
		{"DELETE", hubapi.Clients, "", 405, "use GET /v1/clients"},
		{"GET", hubapi.Publish, "", 405, "use POST"},
		{"GET", hubapi.Clients + "?limit=0", "", 400, "limit"},
		{"GET", hubapi.Clients + "?limit=1001", "", 400, "1000"},
		{"GET", hubapi.Clients + "?limit=99999999999999999999", "", 400, "limit"},
		{"GET", hubapi.Clients + "?limit=1&limit=2", "", 400, "use it once"},
		{"GET", hubapi.Clients + "?topic=a", "", 400, "use user, client, limit, after"},
		{"GET", hubapi.Clients + "?client=%ff", "", 400, "not UTF-8"},
		{"GET", hubapi.Clients + "?client=%zz", "", 400, "--data-urlencode"},
		{"GET", hubapi.Clients + "?a;b", "", 400, "query"},
		{"GET", hubapi.Clients + "?after=xyz%00", "", 400, "after"},
		{"GET", hubapi.Clients + "?after=WzFd", "", 400, "after"},
		{"GET", hubapi.Counters + "?limit=1", "", 400, "takes none"},
		{"GET", hubapi.Access + "?user=u&topic=t", "", 400, "action is missing"},
		{"GET", hubapi.Access + "?user=u&topic=t&action=pub", "", 400, "publish or subscribe"},
		{"POST", hubapi.Kick + "?client=a", `{"client":"a"}`, 400, "takes none"},
		{"POST", hubapi.Kick, "", 400, "body"},
		{"POST", hubapi.Kick, "null", 400, "no JSON object"},
		{"POST", hubapi.Kick, `["a"]`, 400, "no JSON object"},
		{"POST", hubapi.Kick, `{"client":"a"`, 400, "body"},
		{"POST", hubapi.Kick, `{"client":"a"} {}`, 400, "body"},
		{"POST", hubapi.Kick, `{"client":"a","client":"b"}`, 400, "stands twice"},
		{"POST", hubapi.Kick, `{"Client":"a"}`, 400, "use client, reason"},
		{"POST", hubapi.Kick, `{"client":7}`, 400, "client"},
		{"POST", hubapi.Kick, `{}`, 400, "client is missing"},
		{"POST", hubapi.Kick, "{\"client\":\"\xff\"}", 400, "not UTF-8"},
		{"POST", hubapi.Kick, `{"client":"\ud800"}`, 400, "surrogate"},
		{"POST", hubapi.Kick, `{"client":"\ufffd"}`, 404, "not connected"},
		{"POST", hubapi.Kick, `{"client":"a","reason":"` + strings.Repeat("r", 201) + `"}`, 400, "reason"},
		{"POST", hubapi.DeleteSession, `{"client":"nobody"}`, 404, "nobody"},
		{"POST", hubapi.DeleteRetained, `{}`, 400, "one of the two"},
		{"POST", hubapi.DeleteRetained, `{"topic":"a","filter":"b"}`, 400, "one of the two"},
		{"POST", hubapi.DeleteRetained, `{"filter":"a#"}`, 400, "filter"},
		{"POST", hubapi.Publish, `{"topic":"a/#"}`, 400, "a/#"},
		{"POST", hubapi.Publish, `{"topic":"$SYS/x"}`, 400, "$SYS"},
		{"POST", hubapi.Publish, `{"topic":"a","qos":3}`, 400, "0, 1 or 2"},
		{"POST", hubapi.Publish, `{"topic":"a","qos":1e99}`, 400, "qos"},
		{"POST", hubapi.Publish, `{"topic":"a","payload":"x","payload_base64":"eA=="}`, 400, "one of them"},
		{"POST", hubapi.Publish, `{"topic":"a","payload_base64":"?"}`, 400, "payload_base64"},
		{"POST", hubapi.Publish, `{"topic":"a","payload":"` + strings.Repeat("x", 40<<10) + `"}`, 400, "message.length.max"},
		{"POST", hubapi.Publish, large, 413, "1048576"},
	} {
		status, body := d.ask(x.method, x.path, x.body)
		require.Equal(t, x.status, status, "%s %s %.200s: %s", x.method, x.path, x.body, body)
		var e struct{ Code, Message string }
		require.NoError(t, json.Unmarshal([]byte(body), &e))
		require.NotEmpty(t, e.Code)
		require.Contains(t, e.Message, x.text)
		require.Less(t, len(body), 2000)
	}
	r, err := http.NewRequest(http.MethodGet, "http://evil.example"+hubapi.Clients, nil)
	require.NoError(t, err)
	a, err := d.http.Do(r)
	require.NoError(t, err)
	require.NoError(t, a.Body.Close())
	require.Equal(t, 403, a.StatusCode)
	require.Empty(t, clientIDs(d))
}

// Requests that come slowly, and many at once, hold up none of the clients of the hub.
func TestAdminUnderLoad(t *testing.T) {
	d := openDesk(t, "")
	for i := range 50 {
		join(t, d.url(0), fmt.Sprintf("c%d", i))
	}
	for range 100 { // more than there is room for
		conn, err := net.Dial("unix", d.path)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = conn.Write([]byte("POST " + hubapi.Kick + " HTTP/1.1\r\nHost: hub\r\nContent-Length: 100\r\n\r\n{"))
	}
	c, messages := join(t, d.url(0), "quiet")
	subscribe(t, c, "t", 1)
	stop, done := make(chan struct{}), make(chan struct{}, 20)
	for range 20 {
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if a, err := d.http.Get("http://hub" + hubapi.Clients + "?limit=1000"); err == nil {
					_, _ = io.Copy(io.Discard, a.Body)
					_ = a.Body.Close()
				}
			}
		}()
	}
	for range 200 {
		publish(t, c, "t", "x", 1, false)
		require.NotNil(t, <-messages)
	}
	close(stop)
	for range 20 {
		<-done
	}
	require.NoError(t, c.Close())
}

// In a run folder there is a socket, unless the key says that there is none. A hub whose socket is taken works without.
func TestAdminAddress(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("BAETYL_SERVICE_RUN_DIR", dir)
	d := openDeskAt(t, filepath.Join(dir, masterapi.ServiceAdmin), open)
	status, body := d.ask(http.MethodGet, hubapi.Counters, "")
	require.Equal(t, 200, status, body)
	none := filepath.Join(dir, "none")
	require.NoError(t, os.Mkdir(none, 0o755))
	t.Setenv("BAETYL_SERVICE_RUN_DIR", none)
	run(t, open+"admin: {address: ''}\n")
	require.NoFileExists(t, filepath.Join(none, masterapi.ServiceAdmin))

	taken := openDesk(t, "")
	second := run(t, open+"admin: {address: 'unix://"+taken.path+"'}\n")
	mqtttest.Until(t, "the log says that it is taken", func() bool {
		return strings.Contains(second.out.String(), "there is no admin interface")
	})
	c, _ := join(t, "tcp://test:hahaha@"+second.Addrs()[0].String(), "works")
	require.NoError(t, c.Close())
}
