package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// serveModule gives the instances all and other an admin socket.
func (r *rig) serveModule() {
	dir, err := os.MkdirTemp("", "run")
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r.fake.SetRunDir(dir)
	l, err := net.Listen("unix", filepath.Join(mkdir(r.t, dir, "all"), masterapi.ServiceAdmin))
	require.NoError(r.t, err)
	s := &nethttp.Server{Handler: nethttp.HandlerFunc(module)}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	r.t.Cleanup(func() { _ = s.Close(); <-done })
}

func mkdir(t *testing.T, parts ...string) string {
	dir := filepath.Join(parts...)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	return dir
}

// module answers in every way that a module can, good and bad.
func module(w nethttp.ResponseWriter, r *nethttp.Request) {
	write := func(text string) { _, _ = io.WriteString(w, text) }
	switch r.URL.Path {
	case "/full":
		w.WriteHeader(507)
		write(`{"code":"full","message":"no room"}`)
	case "/silent":
		w.WriteHeader(500)
	case "/odd":
		w.WriteHeader(302)
	case "/text":
		write("not JSON")
	case "/large":
		write(strings.Repeat(" ", 16<<20+1))
	case masterapi.PathModule:
		write(`{"module":"hub"}`)
	case "/empty":
	case "/half":
		w.Header().Set("Content-Length", "100")
		write("{")
	case "/gone":
		panic(nethttp.ErrAbortHandler)
	case "/stream", "/broken", "/long":
		w.Header().Set("Content-Type", http.ContentLines)
		write("{\"n\":1}\n{\"n\":2}\n{\"n\"")
		w.(nethttp.Flusher).Flush()
		switch r.URL.Path {
		case "/broken":
			panic(nethttp.ErrAbortHandler)
		case "/long":
			write(strings.Repeat(" ", 16<<20))
		}
		write(":3}\n")
	default:
		body, _ := io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(map[string]string{
			"method": r.Method, "uri": r.URL.RequestURI(), "body": string(body), "for": r.Header.Get(masterapi.HeaderCaller),
		})
	}
}

// A person's request gets to the socket of the instance, with who that is; the answer comes back. Whatever a module
// answers, the person gets JSON, or an error that says what was wrong.
func TestAdminOfAService(t *testing.T) {
	r := newRig(t)
	path := func(p string) string { return masterapi.PathServiceAdmin("all", p) }
	who := fmt.Sprintf(`"for":"uid %d, pid %d"`, os.Geteuid(), os.Getpid())
	r.asPerson(200, "", `"uri":"/v1/clients?client=a%2Fb"`, "GET", path("/v1/clients?client=a%2Fb"), "")
	r.asPerson(200, "", who, "GET", path("/v1/x"), "")
	r.asPerson(200, "", `"body":"{\"a\":[1, \"é\"]}"`, "POST", path("/v1/x"), `{"a":[1, "é"]}`)
	r.asPerson(200, "", "", "GET", path("/empty"), "")
	r.asPerson(507, "full", "no room", "POST", path("/full"), "{}")
	r.asPerson(400, "bad_request", "read body", "POST", path("/v1/x"), "{")
	r.asPerson(413, "too_large", "", "POST", path("/v1/x"), `"`+strings.Repeat("x", http.MaxBody)+`"`)
	for p, why := range map[string]string{
		"/silent": "status 500 and no reason", "/odd": "status 302", "/text": "something else than JSON",
		"/large": "more than 16777216 bytes", "/half": "half of an answer", "/gone": "service (all) has not answered: ",
	} {
		r.asPerson(502, "unavailable", why, "GET", path(p), "")
	}
	r.asPerson(404, "not_found", "ghost", "GET", masterapi.PathServiceAdmin("ghost", "/v1/x"), "")
	r.asPerson(503, "unavailable", "service (none) has no admin interface now: instance none: there is no socket "+
		"admin.sock; is it running (baetyl ps)", "GET", masterapi.PathServiceAdmin("none", "/v1/x"), "")
	r.asPerson(503, "unavailable", "it has no instance", "GET", masterapi.PathServiceAdmin("f", "/v1/x"), "")
}

// askModules asks for every documented answer of a module.
func (r *rig) askModules() {
	r.asPerson(200, "", `"module":"hub"`, "GET", masterapi.PathModules, "")
	for _, method := range []string{"GET", "POST"} {
		for path, status := range map[string]int{"/v1/x": 200, "/full": 507, "/text": 502} {
			code := map[int]string{507: "full", 502: "unavailable"}[status]
			r.asPerson(status, code, "", method, masterapi.PathServiceAdmin("all", path), "{}")
		}
		r.asPerson(404, "not_found", "", method, masterapi.PathServiceAdmin("ghost", "/v1/x"), "{}")
		r.asPerson(503, "unavailable", "", method, masterapi.PathServiceAdmin("none", "/v1/x"), "{}")
	}
}

// Only services with an admin interface are listed, with what they are.
func TestModules(t *testing.T) {
	r := newRig(t)
	r.asPerson(200, "", `{"items":[{"service":"all","module":"hub"}]}`, "GET", masterapi.PathModules, "")
	r.fake.SetRunDir(t.TempDir())
	r.asPerson(200, "", `{"items":[]}`, "GET", masterapi.PathModules, "")
}

// What a module streams comes on as whole lines, with a last one that says why it is not whole.
func TestStreamOfAService(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]string{
		"/stream": `{"n":3}`, "/broken": `{"error":{"code":"unavailable","message":"service (all) has ended the stream: ` +
			`its module has stopped, or was killed"}}`,
		"/long": `{"error":{"code":"unavailable","message":"service (all) has sent a line of more than 16777216 bytes"}}`,
	} {
		body := r.stream(masterapi.PathServiceAdmin("all", path))
		in := bufio.NewScanner(body)
		for _, line := range []string{`{"n":1}`, `{"n":2}`, want} {
			require.True(t, in.Scan(), path)
			require.Equal(t, line, in.Text())
		}
		require.False(t, in.Scan(), in.Text())
	}
}

// A service cannot lead the master to another socket, by a link in its folder, or to something that is no socket.
func TestAdminFollowsNoLink(t *testing.T) {
	r := newRig(t)
	r.run(app.Service{Name: "evil", Replica: 1})
	dir, err := os.MkdirTemp("", "run")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	real := filepath.Join(mkdir(t, dir, "real"), masterapi.ServiceAdmin)
	l, err := net.Listen("unix", real)
	require.NoError(t, err)
	defer l.Close()
	trap := filepath.Join(mkdir(t, dir, "evil"), masterapi.ServiceAdmin)
	r.fake.SetRunDir(dir)
	for _, make := range []func() error{
		func() error { return os.Symlink(real, trap) },
		func() error { return os.WriteFile(trap, nil, 0o666) },
		func() error { return os.Mkdir(trap, 0o777) },
	} {
		require.NoError(t, os.RemoveAll(trap))
		require.NoError(t, make())
		r.asPerson(503, "unavailable", "it is no socket", "GET", masterapi.PathServiceAdmin("evil", "/v1"), "")
	}
	require.NoError(t, os.RemoveAll(trap))
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: trap, Net: "unix"})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())
	r.asPerson(503, "unavailable", "nobody listens at the socket admin.sock", "GET",
		masterapi.PathServiceAdmin("evil", "/v1"), "")
	require.NoError(t, os.RemoveAll(filepath.Dir(trap)))
	require.NoError(t, os.Symlink(filepath.Dir(real), filepath.Dir(trap)))
	r.asPerson(503, "unavailable", "not a directory", "GET", masterapi.PathServiceAdmin("evil", "/v1"), "")
	conn, err := http.DialPrivate(context.Background(), filepath.Dir(real), masterapi.ServiceAdmin)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

// stream is the body of a stream that a person asks for.
func (r *rig) stream(path string) io.Reader {
	r.t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.admin)
	}
	c := nethttp.Client{Transport: &nethttp.Transport{DialContext: dial}}
	r.t.Cleanup(c.CloseIdleConnections)
	answer, err := c.Get("http://x" + path)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = answer.Body.Close() })
	require.Equal(r.t, 200, answer.StatusCode)
	require.Equal(r.t, http.ContentLines, answer.Header.Get("Content-Type"))
	return answer.Body
}
