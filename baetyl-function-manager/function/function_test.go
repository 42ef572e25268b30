package function_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	"github.com/baetyl/baetyl/baetyl-function-manager/function"
	"github.com/baetyl/baetyl/protocol/masterapi"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/log"
)

func TestOutcomeOf(t *testing.T) {
	for code, want := range map[codes.Code]function.Outcome{
		codes.OK:                function.Answered,
		codes.Unknown:           function.Refused,
		codes.NotFound:          function.Refused,
		codes.Unimplemented:     function.Refused,
		codes.Unavailable:       function.Broken,
		codes.DeadlineExceeded:  function.TimedOut,
		codes.Internal:          function.Broken,
		codes.Canceled:          function.Broken,
		codes.ResourceExhausted: function.Overload,
	} {
		require.Equal(t, want, function.OutcomeOf(status.Error(code, "x")), code)
	}
	require.Equal(t, function.Unbegun, function.OutcomeOf(rpc.ErrNotBegun))
	large := status.Error(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)")
	require.Equal(t, function.Refused, function.OutcomeOf(large))
}

// api is a server that answers as the master does and records the calls. address is what it says where an instance
// listens; empty: at port 1, as a master does that knows no sockets.
func api(t *testing.T, report masterapi.Inspect, address string) (*baetyl.Master, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var calls []string
	s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch r.URL.Path {
		case masterapi.PathInspect:
			json.NewEncoder(w).Encode(report)
		case masterapi.PathPortAvailable:
			if r.URL.RawQuery != "" && address != "" {
				json.NewEncoder(w).Encode(masterapi.PortAvailable{Address: address})
			} else {
				fmt.Fprint(w, `{"port":"1"}`)
			}
		default:
			var env map[string]string
			json.NewDecoder(r.Body).Decode(&env)
			if s := env[masterapi.EnvInstanceSecret]; len(s) == 64 { // it is another one each time
				env[masterapi.EnvInstanceSecret] = "secret"
			}
			calls = append(calls, fmt.Sprint(r.URL, " ", env))
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv(masterapi.EnvAPIAddress, s.URL)
	m, err := baetyl.NewMaster()
	require.NoError(t, err)
	return m, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), calls...)
	}
}

// In containers the instance is reached by its name; natively by a socket, or by a port where the master knows no
// sockets, or this manager does not see the folder. On failure it is stopped at once.
func TestStartProtocol(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Function{Name: "f", Service: "svc", Timeout: time.Millisecond}
	cfg.Instance.StartTimeout, cfg.Instance.Concurrency = time.Second, 7
	for _, c := range []struct {
		native              bool
		says, address, dial string
	}{
		{false, "", "0.0.0.0:50051", "svc.f.3:50051"},
		{true, "", "127.0.0.1:1", "127.0.0.1:1"},
		{true, "unix:" + dir + "/i/s", "unix:" + dir + "/i/s", "unix:" + dir + "/i/s"},
		{true, "unix:" + dir + "/gone/i/s", "127.0.0.1:1", "127.0.0.1:1"},
	} {
		m, calls := api(t, masterapi.Inspect{}, c.says)
		l := &function.Launcher{Master: m, Native: c.native, Log: log.Discard()}
		_, err := l.Start(context.Background(), cfg, 3)
		require.ErrorContains(t, err, "connect function instance at "+c.dial+": context deadline exceeded")
		env := fmt.Sprint(map[string]string{
			"BAETYL_SERVICE_INSTANCE_ADDRESS":     c.address,
			"BAETYL_SERVICE_INSTANCE_CONCURRENCY": "7",
			"BAETYL_SERVICE_INSTANCE_PIPE":        "1",
			"BAETYL_SERVICE_INSTANCE_SECRET":      "secret",
			"OPENEDGE_SERVICE_ADDRESS":            c.address,
			"OPENEDGE_SERVICE_INSTANCE_ADDRESS":   c.address,
		})
		require.Equal(t, []string{
			masterapi.PathInstance("svc", "svc.f.3", masterapi.ActionStart) + " " + env,
			masterapi.PathInstance("svc", "svc.f.3", masterapi.ActionStop) + "?kill=true map[]",
		}, calls())
	}
	_, err := (&function.Launcher{Err: baetyl.ErrNoMaster}).Start(context.Background(), cfg, 1)
	require.ErrorIs(t, err, baetyl.ErrNoMaster)
}

// A runtime that loads for longer than a call may take is waited for.
func TestStartIsNotACall(t *testing.T) {
	dir, err := os.MkdirTemp("", "f") // the path of a socket has to be short
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	path := dir + "/i/s"
	require.NoError(t, os.Mkdir(dir+"/i", 0o700))
	m, _ := api(t, masterapi.Inspect{}, "unix:"+path)
	ctx, cancel := context.WithCancel(t.Context())
	cfg := config.Function{Name: "f", Service: "svc", Timeout: time.Millisecond}
	cfg.Instance.StartTimeout = time.Minute
	ended := make(chan error, 1)
	time.AfterFunc(100*cfg.Timeout, func() {
		s := rpc.NewServer(rpc.ServerConfig{Address: "unix:" + path}, nil)
		if err := s.Listen(); err != nil {
			ended <- err
			return
		}
		ended <- s.Serve(ctx)
	})
	c, err := (&function.Launcher{Master: m, Native: true, Log: log.Discard()}).Start(t.Context(), cfg, 1)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	cancel()
	require.NoError(t, <-ended)
}

// An instance that ends before it takes calls is reported with its last line, long before the start timeout.
func TestStartOfAnInstanceThatEnds(t *testing.T) {
	cfg := config.Function{Name: "f", Service: "svc", Timeout: time.Hour}
	for _, c := range []struct {
		output []string
		err    string
		want   string
	}{
		{[]string{"x", "ImportError: no y "}, "exit status 1: ImportError: no y", "exit status 1: ImportError: no y"},
		{[]string{"x", "ImportError: no y "}, "exit status 1", "exit status 1: ImportError: no y"},
		{nil, "", ""},
	} {
		m, _ := api(t, masterapi.Inspect{Services: []masterapi.Service{{Name: "svc", Instances: []masterapi.Instance{
			{Name: "svc.f.1", Status: masterapi.StatusRunning},
			{Name: "svc.f.2", Status: masterapi.StatusRestarting, Error: c.err, Output: c.output},
		}}}}, "")
		l := &function.Launcher{Master: m, Log: log.Discard(), Native: true}
		for range 2 {
			_, err := l.Start(t.Context(), cfg, 2)
			require.EqualError(t, err, strings.TrimSuffix("instance svc.f.2 has ended (restarting): "+c.want, ": "))
		}
	}
}

// Clean stops the instances of the functions and no others.
func TestClean(t *testing.T) {
	service := func(name string, instances ...string) masterapi.Service {
		s := masterapi.Service{Name: name}
		for _, i := range instances {
			s.Instances = append(s.Instances, masterapi.Instance{Name: i, Status: masterapi.StatusRunning})
		}
		return s
	}
	m, calls := api(t, masterapi.Inspect{Services: []masterapi.Service{
		service("svc", "svc", "svc.i1", "svc.f.1", "svc.f.77", "svc.f.x", "svc.g.1", "svc.f.1.1"),
		service("other", "svc.f.1", "other.f.1"),
	}}, "")
	l := &function.Launcher{Master: m, Log: log.Discard()}
	require.NoError(t, l.Clean(context.Background(), []config.Function{{Name: "f", Service: "svc"}}))
	stop := func(instance string) string {
		return masterapi.PathInstance("svc", instance, masterapi.ActionStop) + " map[]"
	}
	require.Equal(t, []string{stop("svc.f.1"), stop("svc.f.77")}, calls())
}

// A caller that stops waiting leaves the queue, and a start that has not succeeded ends with Run.
func TestCallGivesUpWaiting(t *testing.T) {
	hang, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, never answers
	require.NoError(t, err)
	defer hang.Close()
	m, _ := api(t, masterapi.Inspect{}, "")
	cfg := config.Function{
		Name:     "f",
		Service:  "svc",
		Timeout:  time.Minute,
		Instance: config.Instance{Max: 1, EvictTime: time.Minute},
	}
	f := function.New(cfg, &function.Launcher{Master: m, Native: true, Log: log.Discard()}, log.Discard())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	wait, stop := context.WithCancel(context.Background())
	got := make(chan error, 1)
	go func() {
		_, err := f.Call(wait, &rpc.Message{})
		got <- err
	}()
	stop()
	require.Equal(t, codes.Canceled, status.Code(<-got))
	require.Zero(t, f.Stats().Waiting)
	began := time.Now()
	cancel()
	require.NoError(t, <-ended)
	require.Less(t, time.Since(began), 30*time.Second, "a start that has not succeeded is given up")
	_, err = f.Call(context.Background(), &rpc.Message{})
	require.ErrorContains(t, err, "Pool not open")
}
