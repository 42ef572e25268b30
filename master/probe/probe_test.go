package probe_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/health"
	"github.com/baetyl/baetyl/master/probe"
	"github.com/baetyl/baetyl/protocol/app"
)

// target listens on this machine.
type target struct {
	exec func(ctx context.Context, e engine.Exec) (int, error)
}

func (t target) Exec(ctx context.Context, e engine.Exec) (int, error) { return t.exec(ctx, e) }

func (t target) Dial(ctx context.Context, e app.Endpoint) (net.Conn, error) {
	return engine.DialPort(ctx, "127.0.0.1", e)
}

func at(l net.Listener) app.Endpoint {
	return app.Endpoint{Port: l.Addr().(*net.TCPAddr).Port}
}

// listen answers each connection with serve.
func listen(t *testing.T, serve func(net.Conn)) app.Endpoint {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return at(l)
}

// run makes a probe, and sees that nothing of it goes on.
func run(t *testing.T, a app.Action, timeout time.Duration) health.Result {
	before := runtime.NumGoroutine()
	r, ended := probe.Run(t.Context(), app.Probe{Action: a, Timeout: timeout}, target{})
	<-ended
	require.LessOrEqual(t, len(r.Output), 64<<10)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, time.Minute, time.Millisecond)
	return r
}

const (
	generous = time.Minute
	brief    = 100 * time.Millisecond
)

func TestHTTP(t *testing.T) {
	redirected := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { redirected = true }))
	defer elsewhere.Close()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
		case "/host":
			w.WriteHeader(map[bool]int{true: 204, false: 404}[r.Host == "shop.example"])
		case "/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "short and stout")
		case "/endless", "/endless-error":
			if r.URL.Path == "/endless-error" {
				w.WriteHeader(http.StatusInternalServerError)
			}
			for r.Context().Err() == nil {
				if _, err := fmt.Fprint(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		case "/slow-error":
			w.WriteHeader(http.StatusInternalServerError)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/never":
			<-r.Context().Done()
		}
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	for _, c := range []struct {
		p       app.ProbeHTTP
		timeout time.Duration
		ok      bool
		output  string
	}{
		{app.ProbeHTTP{Path: "/ok"}, generous, true, "200 OK"},
		{app.ProbeHTTP{Path: "/ok", Scheme: "https"}, generous, true, "200 OK"},
		{app.ProbeHTTP{}, generous, true, "200"},
		{app.ProbeHTTP{Path: "/host", Host: "shop.example"}, generous, true, "204"},
		{app.ProbeHTTP{Path: "/away"}, generous, true, "302"},
		{app.ProbeHTTP{Path: "/away", Status: []int{200}}, generous, false, "HTTP status 302 Found"},
		{app.ProbeHTTP{Path: "/teapot"}, generous, false, "HTTP status 418 I'm a teapot\nshort and stout"},
		{app.ProbeHTTP{Path: "/teapot", Status: []int{200, 418}}, generous, true, "418"},
		{app.ProbeHTTP{Path: "/endless"}, generous, true, "200"},
		{app.ProbeHTTP{Path: "/endless-error"}, generous, false, "HTTP status 500"},
		{app.ProbeHTTP{Path: "/slow-error"}, brief, false, "HTTP status 500|no answer within 100ms"},
		{app.ProbeHTTP{Path: "/never"}, brief, false, "no answer within 100ms"},
	} {
		c.p.Endpoint = at(plain.Listener)
		if c.p.Scheme == "https" {
			c.p.Endpoint = at(secure.Listener)
		}
		r := run(t, app.Action{HTTP: &c.p}, c.timeout)
		require.Equal(t, c.ok, r.OK, "%v: %s", c.p, r.Output)
		require.Regexp(t, c.output, r.Output)
	}
	require.False(t, redirected, "nobody follows a redirect")
}

// What sends without end, or hardly anything, ends with the timeout at the latest, and costs little memory.
func TestHostileServers(t *testing.T) {
	drip := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			for n := 0; ; n++ {
				if _, err := c.Write([]byte{text[n%len(text)]}); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	flood := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, text); err != nil {
					return
				}
			}
		}
	}
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, serve := range map[string]func(net.Conn){
		"silent": silent, "closes": func(net.Conn) {}, "drips": drip("H"), "floods": flood(strings.Repeat("X", 1<<16)),
		"header without end": func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\n"); flood("A: b\r\n")(c) },
		"continue for ever":  flood("HTTP/1.1 103 Early Hints\r\n\r\n"),
		"zeroes":             flood(strings.Repeat("\x00", 1<<16)),
		"frames of HTTP/2":   flood("\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
		"header of HTTP/2":   flood("\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x88"),
	} {
		t.Run(name, func(t *testing.T) {
			e := listen(t, serve)
			for _, a := range []app.Action{
				{HTTP: &app.ProbeHTTP{Endpoint: e}}, {HTTP: &app.ProbeHTTP{Endpoint: e, Scheme: "https"}},
				{MQTT: &app.ProbeMQTT{Endpoint: e}}, {MQTT: &app.ProbeMQTT{Endpoint: e, TLS: true}},
				{GRPC: &app.ProbeGRPC{Endpoint: e}}, {GRPC: &app.ProbeGRPC{Endpoint: e, TLS: true}},
			} {
				r := run(t, a, brief)
				require.False(t, r.OK)
				require.NotEmpty(t, r.Output)
			}
			r := run(t, app.Action{TCP: &app.ProbeTCP{Endpoint: e}}, generous)
			require.True(t, r.OK, r.Output)
		})
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	e := at(l)
	l.Close()
	for _, a := range []app.Action{
		{HTTP: &app.ProbeHTTP{Endpoint: e}}, {TCP: &app.ProbeTCP{Endpoint: e}}, {MQTT: &app.ProbeMQTT{Endpoint: e}},
		{GRPC: &app.ProbeGRPC{Endpoint: e}},
	} {
		r := run(t, a, generous)
		require.False(t, r.OK)
		require.Contains(t, r.Output, "connection refused")
	}
}

func TestMQTT(t *testing.T) {
	for _, c := range []struct {
		answer string
		ok     bool
		output string
	}{
		{"\x20\x02\x00\x00", true, "accepted"},
		{"\x20\x02\x00\x04", true, "refused: CONNACK 4"},
		{"\x20\x02\x00\x05", true, "refused: CONNACK 5 (not authorized)"},
		{"\x20\x02\x00\x03", false, "CONNACK 3 (server unavailable)"},
		{"HTTP", false, "the answer is not CONNACK"},
		{"\x20\x02", false, "wait for CONNACK"},
	} {
		e := listen(t, func(conn net.Conn) {
			r := bufio.NewReader(conn)
			packet := make([]byte, 14)
			if _, err := io.ReadFull(r, packet); err == nil && packet[0] == 0x10 {
				_, _ = io.WriteString(conn, c.answer)
			}
		})
		r := run(t, app.Action{MQTT: &app.ProbeMQTT{Endpoint: e}}, generous)
		require.Equal(t, c.ok, r.OK, r.Output)
		require.Contains(t, r.Output, c.output)
	}
}

func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, state := grpc.NewServer(), grpchealth.NewServer()
	grpc_health_v1.RegisterHealthServer(server, state)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	state.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	for service, want := range map[string]string{
		"": "SERVING", "down": "the service is NOT_SERVING", "who": `gRPC status "5"`,
	} {
		r, _ := probe.Run(t.Context(), app.Probe{
			Action: app.Action{GRPC: &app.ProbeGRPC{Endpoint: at(l), Service: service}}, Timeout: generous,
		}, target{})
		require.Equal(t, service == "", r.OK, r.Output)
		require.Contains(t, r.Output, want)
	}
}

func TestExec(t *testing.T) {
	type execFunc = func(context.Context, engine.Exec) (int, error)
	ask := func(timeout time.Duration, exec execFunc) (health.Result, <-chan struct{}) {
		p := app.Probe{Action: app.Action{Exec: &app.ProbeExec{Command: []string{"check", "-q"}}}, Timeout: timeout}
		return probe.Run(t.Context(), p, target{exec})
	}
	r, _ := ask(generous, func(_ context.Context, e engine.Exec) (int, error) {
		require.Equal(t, []string{"check", "-q"}, e.Args)
		fmt.Fprint(e.Stdout, "fine")
		return 0, nil
	})
	require.Equal(t, health.Result{OK: true, Output: "fine"}, r)
	r, _ = ask(generous, func(_ context.Context, e engine.Exec) (int, error) {
		fmt.Fprint(e.Stdout, "so far good\n")
		fmt.Fprint(e.Stderr, "bad\n")
		return 3, nil
	})
	require.Equal(t, health.Result{Output: "check has ended with status 3\nbad\nso far good\n"}, r)
	r, _ = ask(generous, func(context.Context, engine.Exec) (int, error) { return 0, engine.ErrNoProgram })
	require.Equal(t, health.Result{Output: engine.ErrNoProgram.Error()}, r)
	r, _ = ask(generous, func(_ context.Context, e engine.Exec) (int, error) {
		for {
			if _, err := e.Stdout.Write(make([]byte, 4096)); err != nil {
				return 0, nil
			}
		}
	})
	require.False(t, r.OK)
	require.Contains(t, r.Output, "check has written more than 1024 KiB")
	r, ended := ask(brief, func(ctx context.Context, _ engine.Exec) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	<-ended
	require.Equal(t, "no answer within 100ms", r.Output)

	release := make(chan struct{}) // an engine that does not end the command
	r, ended = ask(brief, func(context.Context, engine.Exec) (int, error) { <-release; return 0, errors.New("late") })
	require.Equal(t, "no answer within 100ms, and the probe has not ended since", r.Output)
	select {
	case <-ended:
		t.Fatal("it has not ended")
	default:
	}
	close(release)
	<-ended
}
