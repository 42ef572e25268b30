package function_test

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baetyl/baetyl/internal/mqtttest"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/cert"
)

func TestGoFunction(t *testing.T) {
	source, err := os.ReadFile("testdata/greeter/main.go")
	require.NoError(t, err)
	require.Less(t, strings.Count(string(source), "\n"), 20, "lines of a function in Go")
	address := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	binary := filepath.Join(t.TempDir(), "greeter")
	out, err := exec.Command("go", "build", "-o", binary, "./testdata/greeter").CombinedOutput()
	require.NoError(t, err, string(out))
	cmd := exec.Command(binary)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "OPENEDGE_SERVICE_INSTANCE_ADDRESS="+address)
	path := filepath.Join(cmd.Dir, baetyl.ConfigFile)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte("functions:\n  - name: f\nserver:\n  workers:\n    max: 2\n"), 0o600))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	defer cmd.Process.Kill()
	c := connect(t, function.ClientConfig{Address: address})
	require.NoError(t, c.Connect(context.Background()))
	answer, err := c.Call(
		context.Background(),
		&function.Message{ID: 3, Topic: "t", Payload: []byte("you"), FunctionInvokeID: "x"},
	)
	require.NoError(t, err)
	require.Equal(t, "hello you", string(answer.Payload))
	require.Equal(t, uint64(3), answer.ID)
	require.Equal(t, "x", answer.FunctionInvokeID)
	_, err = c.Call(context.Background(), &function.Message{})
	require.EqualError(t, err, "rpc error: code = Unknown desc = Exception calling application: nobody to greet")
	lost := make(chan bool, 1)
	go func() { lost <- c.Lost(context.Background()) }()
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), stderr.String())
	require.True(t, <-lost)
}

func serve(t *testing.T, cfg function.ServerConfig, call function.Call) (address string, stop func() error) {
	t.Helper()
	cfg.Address = cmp.Or(cfg.Address, "127.0.0.1:0")
	s := function.NewServer(cfg, call)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { stop() })
	return s.Addr().String(), stop
}

func connect(t *testing.T, cfg function.ClientConfig) *function.Client {
	t.Helper()
	c, err := function.NewClient(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// overBoth runs a test over gRPC and over the pipe.
func overBoth(t *testing.T, test func(t *testing.T, dial func(cfg function.ClientConfig) *function.Client)) {
	for name, pipe := range map[string]bool{"grpc": false, "pipe": true} {
		t.Run(name, func(t *testing.T) {
			test(t, func(cfg function.ClientConfig) *function.Client {
				cfg.Pipe = pipe
				c := connect(t, cfg)
				require.NoError(t, c.Connect(context.Background()))
				require.Equal(t, pipe, c.Concurrent() > 0)
				return c
			})
		})
	}
}

func TestServerStatus(t *testing.T) {
	overBoth(t, func(t *testing.T, dial func(cfg function.ClientConfig) *function.Client) {
		address, _ := serve(
			t,
			function.ServerConfig{},
			func(ctx context.Context, m *function.Message) (*function.Message, error) {
				switch string(m.Payload) {
				case "panic":
					panic("oops")
				case "late":
					<-ctx.Done()
					return nil, ctx.Err()
				case "status":
					return nil, status.Error(codes.NotFound, "function (x) not found")
				case "nothing":
					return nil, nil
				case "much":
					return &function.Message{Payload: make([]byte, 4<<20)}, nil
				}
				return m, nil
			},
		)
		cfg := function.ClientConfig{Address: address}
		c := dial(cfg)
		short := cfg
		short.Timeout = time.Second
		_, err := dial(short).Call(context.Background(), &function.Message{Payload: []byte("late")})
		require.Equal(t, codes.DeadlineExceeded, status.Code(err), "%v", err)
		for payload, want := range map[string]codes.Code{
			"panic": codes.Unknown, "status": codes.NotFound, "fine": codes.OK,
			"much": codes.ResourceExhausted, strings.Repeat("x", 4<<20+1): codes.ResourceExhausted,
		} {
			_, err := c.Call(context.Background(), &function.Message{Payload: []byte(payload)})
			require.Equal(t, want, status.Code(err), "%.10s: %v", payload, err)
			if want == codes.ResourceExhausted {
				require.ErrorContains(t, err, "larger than max", "which tells it from an overload")
			}
		}
		cfg.Message.Length.Max = 8 << 20 // the server says no
		_, err = dial(cfg).Call(context.Background(), &function.Message{Payload: make([]byte, 4<<20)})
		require.Equal(t, codes.ResourceExhausted, status.Code(err))
		cfg.Message.Length.Max = 1 << 20 // the client does
		_, err = dial(cfg).Call(context.Background(), &function.Message{Payload: []byte("much")})
		require.Equal(t, codes.ResourceExhausted, status.Code(err))

		bare, _ := serve(t, function.ServerConfig{}, nil)
		_, err = dial(function.ClientConfig{Address: bare}).Call(context.Background(), &function.Message{})
		require.EqualError(t, err, "rpc error: code = Unimplemented desc = handle not implemented")
	})
}

// Calls run concurrently. A caller that stops waiting cancels its call, a client that disconnects all of its calls.
func TestCallsAtOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, dial func(cfg function.ClientConfig) *function.Client) {
		began, cancelled := make(chan string, 3), make(chan string, 3)
		address, _ := serve(
			t,
			function.ServerConfig{},
			func(ctx context.Context, m *function.Message) (*function.Message, error) {
				if len(m.Payload) == 0 {
					return m, nil
				}
				began <- string(m.Payload)
				<-ctx.Done()
				cancelled <- string(m.Payload)
				return nil, ctx.Err()
			},
		)
		c := dial(function.ClientConfig{Address: address})
		failed := make(chan error, 3)
		call := func(payload string) context.CancelFunc {
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				_, err := c.Call(ctx, &function.Message{Payload: []byte(payload)})
				failed <- err
			}()
			require.Equal(t, payload, <-began)
			return cancel
		}
		cancel := call("a")
		defer call("b")()
		cancel()
		require.Equal(t, "a", <-cancelled)
		require.Equal(t, codes.Canceled, status.Code(<-failed))
		_, err := c.Call(context.Background(), &function.Message{})
		require.NoError(t, err)
		c.Close()
		require.Equal(t, "b", <-cancelled)
		require.Contains(t, []codes.Code{codes.Unavailable, codes.Canceled}, status.Code(<-failed))
		_, err = c.Call(context.Background(), &function.Message{})
		require.Error(t, err)
	})
}

func TestServerEndsWithinBounds(t *testing.T) {
	overBoth(t, func(t *testing.T, dial func(cfg function.ClientConfig) *function.Client) {
		entered, finish := make(chan struct{}), make(chan struct{})
		address, stop := serve(
			t,
			function.ServerConfig{},
			func(ctx context.Context, m *function.Message) (*function.Message, error) {
				close(entered)
				if string(m.Payload) == "short" {
					<-finish
					return m, nil
				}
				<-ctx.Done()
				return nil, ctx.Err()
			},
		)
		c := dial(function.ClientConfig{Address: address})
		result := make(chan error, 1)
		call := func(payload string) {
			_, err := c.Call(context.Background(), &function.Message{Payload: []byte(payload)})
			result <- err
		}
		go call("short")
		<-entered
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		require.Eventually(t, func() bool { // no new connections: it is stopping
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
			}
			return err != nil
		}, time.Minute, time.Millisecond)
		close(finish)
		require.NoError(t, <-result, "a running call is finished")
		require.NoError(t, <-stopped)
		require.True(t, c.Lost(context.Background()))

		entered = make(chan struct{})
		address, stop = serve(
			t,
			function.ServerConfig{},
			func(ctx context.Context, m *function.Message) (*function.Message, error) {
				close(entered)
				<-ctx.Done()
				return nil, ctx.Err()
			},
		)
		c = dial(function.ClientConfig{Address: address})
		go call("endless")
		<-entered
		began := time.Now()
		require.NoError(t, stop())
		require.Less(t, time.Since(began), time.Minute)
		require.Error(t, <-result)
	})
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	require.ErrorContains(
		t,
		function.NewServer(function.ServerConfig{Address: busy.Addr().String()}, nil).Listen(),
		"address already in use",
	)
}

func TestCallsOverTLS(t *testing.T) {
	// The certificate that net/http/httptest carries is for 127.0.0.1 and its own authority.
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pair, dir := s.TLS.Certificates[0], t.TempDir()
	secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	crt, key := file("crt", "CERTIFICATE", pair.Certificate[0]), file("key", "PRIVATE KEY", secret)
	address, _ := serve(
		t,
		function.ServerConfig{Cert: crt, Key: key},
		func(_ context.Context, m *function.Message) (*function.Message, error) {
			return m, nil
		},
	)
	c := connect(t, function.ClientConfig{Address: address, Config: cert.Config{CA: crt}})
	out, err := c.Call(context.Background(), &function.Message{Payload: []byte("x")})
	require.NoError(t, err)
	require.Equal(t, "x", string(out.Payload))
	for _, cfg := range []cert.Config{{}, {Cert: crt, Key: key}} { // no TLS; TLS without the authority
		c := connect(t, function.ClientConfig{Address: address, Timeout: time.Second, Config: cfg, FailFast: true})
		_, err := c.Call(context.Background(), &function.Message{})
		require.Error(t, err)
	}
	broken := function.NewServer(function.ServerConfig{Address: "127.0.0.1:0", Cert: crt}, nil)
	require.ErrorContains(t, broken.Listen(), "server.key: is empty, but cert is set")
	broken = function.NewServer(function.ServerConfig{Address: "127.0.0.1:0", CA: crt}, nil)
	require.ErrorContains(t, broken.Listen(), "server.ca: needs the keys cert and key")
}
