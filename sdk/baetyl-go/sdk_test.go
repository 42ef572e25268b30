package baetyl_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	nethttp "net/http"
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
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/cert"
)

// The test binary is also the module that the tests run: TestMain hands over to the one that MODULE names.
func TestMain(m *testing.M) {
	if main := modules[os.Getenv("MODULE")]; main != nil {
		baetyl.Run(main)
		return
	}
	os.Exit(m.Run())
}

var modules = map[string]func(baetyl.Context) error{
	"error": func(baetyl.Context) error { return fmt.Errorf("it broke") },
	"panic": func(baetyl.Context) error { panic("it broke") },
	"fine":  func(baetyl.Context) error { return nil },
	"wait": func(ctx baetyl.Context) error {
		fmt.Println("ready")
		if ctx.WaitChan() != ctx.WaitChan() {
			return fmt.Errorf("WaitChan differs")
		}
		<-ctx.WaitChan()
		ctx.Wait()
		<-ctx.Done().Done()
		return nil
	},
	// Publishes far more than fits the queue while no hub is there, as the loop of the documents' sample does.
	"stuck": func(ctx baetyl.Context) error {
		cli, err := ctx.NewHubClient("", nil)
		if err != nil {
			return err
		}
		cli.Start(nil)
		fmt.Println("ready")
		for {
			select {
			case <-ctx.WaitChan():
				return nil
			default:
				cli.Publish(mqtt.TopicInfo{Topic: "t"}, []byte("x"))
			}
		}
	},
	// Publishes at QoS 1 and ends at once.
	"parting": func(ctx baetyl.Context) error {
		cli, err := ctx.NewHubClient("parting", nil)
		if err != nil {
			return err
		}
		up := make(chan struct{})
		cli.Start(mqtt.Funcs{Connect: func(bool) { close(up) }})
		<-up
		for i := range 10 {
			if err := cli.Publish(mqtt.TopicInfo{Topic: "parting", QOS: 1}, []byte(fmt.Sprint(i))); err != nil {
				return err
			}
		}
		return nil
	},
	"master": func(ctx baetyl.Context) error {
		report := map[string]any{"native": ctx.IsNative(), "service": ctx.ServiceName(), "instance": ctx.InstanceName()}
		port, err := ctx.GetAvailablePort()
		note := func(name string, err error) {
			report[name] = ""
			if err != nil {
				report[name] = err.Error()
			}
		}
		report["got"] = port
		note("port", err)
		in, err := ctx.InspectSystem()
		note("inspect", err)
		if in != nil {
			report["mode"] = in.Software.Mode
		}
		note("start", ctx.StartInstance("svc%s/x", "a b", map[string]string{"K": "V"}))
		note("stop", ctx.StopInstance("svc", "i"))
		note("report", ctx.ReportInstance(map[string]interface{}{"n": 1}))
		note("update", ctx.UpdateSystem("var/db/app", true))
		return json.NewEncoder(os.Stdout).Encode(report)
	},
	"strict": func(ctx baetyl.Context) error {
		var cfg struct {
			Known string `yaml:"known" json:"known"`
		}
		return ctx.LoadConfig(&cfg)
	},
}

// module prepares the process of a module in a working directory with the given service.yml.
func module(t *testing.T, name, config string, env ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	if config != "" {
		path := filepath.Join(dir, baetyl.ConfigFile)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Dir = dir
	cmd.Env = append([]string{"MODULE=" + name, "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	return cmd
}

func exitCode(err error) int {
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestExitStatus(t *testing.T) {
	for name, want := range map[string]struct {
		config string
		code   int
		text   string
	}{
		"error":  {"", 1, "[svc][svc.1] service is stopped with error: it broke"},
		"panic":  {"", 1, "[svc][svc.1] service is stopped with panic: it broke"},
		"fine":   {"", 0, ""},
		"strict": {"knwon: 1\n", 1, `etc/baetyl/service.yml: knwon: unknown key; did you mean "known"?`},
		"wait":   {"hub:\n  timeuot: 3s\n", 1, `etc/baetyl/service.yml: hub.timeuot: unknown key; did you mean "timeout"?`},
		"stuck":  {"", 1, "hub not configured: set hub.address in etc/baetyl/service.yml"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := module(t, name, want.config, "OPENEDGE_SERVICE_NAME=svc", "BAETYL_SERVICE_INSTANCE_NAME=svc.1")
			var stderr strings.Builder
			cmd.Stderr = &stderr
			require.Equal(t, want.code, exitCode(cmd.Run()), stderr.String())
			require.Contains(t, stderr.String(), want.text)
		})
	}
}

func TestSignalEndsTheModule(t *testing.T) {
	unreachable := fmt.Sprintf("hub:\n  address: tcp://127.0.0.1:%d\n  clientid: c\n", mqtttest.FreePort(t))
	for _, name := range []string{"wait", "stuck"} {
		t.Run(name, func(t *testing.T) {
			cmd := module(t, name, unreachable)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			_, err = out.Read(make([]byte, 6))
			require.NoError(t, err)
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			kill := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
			defer kill.Stop()
			require.NoError(t, cmd.Wait())
		})
	}
}

func TestPartingSendsWhatIsQueued(t *testing.T) {
	b := mqtttest.Mosquitto(t)
	var mu sync.Mutex
	var got []string
	sub, err := mqtt.NewDispatcher(mqtt.ClientInfo{Address: b.Address, ClientID: "sub", CleanSession: true, Subscriptions: []mqtt.TopicInfo{{Topic: "parting", QOS: 1}}})
	require.NoError(t, err)
	up := make(chan struct{})
	require.NoError(t, sub.Start(mqtt.Funcs{Connect: func(bool) { close(up) }, Message: func(d *mqtt.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(d.Payload))
		d.Ack()
	}}))
	defer sub.Close()
	<-up
	out, err := module(t, "parting", "hub:\n  address: "+b.Address+"\n  clientid: x\n  cleansession: true\nmine: 1\n").CombinedOutput()
	require.NoError(t, err, string(out))
	mqtttest.Until(t, "all ten messages", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= 10 })
}

// The sample of the documents ("Customize Module") compiles as it stands there and runs.
func TestDocumentedSample(t *testing.T) {
	b := mqtttest.Mosquitto(t)
	binary := build(t, "./testdata/timer")
	got := make(chan mqtt.Message, 10)
	sub, err := mqtt.NewDispatcher(mqtt.ClientInfo{Address: b.Address, ClientID: "sub", CleanSession: true, Subscriptions: []mqtt.TopicInfo{{Topic: "#"}}})
	require.NoError(t, err)
	require.NoError(t, sub.Start(mqtt.Funcs{Message: func(d *mqtt.Delivery) { got <- d.Message }}))
	defer sub.Close()
	cmd := module(t, "", "hub:\n  address: "+b.Address+"\n  clientid: timer\ntimer:\n  interval: 20ms\nlogger:\n  level: debug\n")
	cmd.Path, cmd.Args = binary, []string{binary}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	select {
	case m := <-got:
		require.Equal(t, "timer", m.Topic)
		var body map[string]int64
		require.NoError(t, json.Unmarshal(m.Payload, &body))
		require.InDelta(t, time.Now().Unix(), body["time"], 30)
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		t.Fatal("no message of the sample: ", stderr.String())
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), stderr.String())
}

func build(t *testing.T, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "module")
	out, err := exec.Command("go", "build", "-o", binary, pkg).CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

func TestWithoutMaster(t *testing.T) {
	out, err := module(t, "master", "").Output()
	require.NoError(t, err)
	var report map[string]any
	require.NoError(t, json.Unmarshal(out, &report))
	for _, call := range []string{"port", "inspect", "start", "stop", "report", "update"} {
		require.Contains(t, report[call], "BAETYL_MASTER_API_ADDRESS is not set", call)
	}
}

func TestMaster(t *testing.T) {
	var mu sync.Mutex
	var calls []string
	h := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body map[string]any
		if r.Method == nethttp.MethodPut && r.ContentLength > 0 {
			if err := http.ReadJSON(r, &body); err != nil {
				t.Error(err)
			}
		}
		text, _ := json.Marshal(body)
		calls = append(calls, fmt.Sprintf("%s %s %s %s:%s", r.Method, r.URL.EscapedPath(), text, r.Header.Get("x-openedge-username"), r.Header.Get("x-openedge-password")))
		switch r.URL.Path {
		case masterapi.PathPortAvailable:
			http.WriteJSON(w, 200, map[string]string{"port": "4711"})
		case masterapi.PathInspect:
			http.WriteJSON(w, 200, map[string]any{"software": map[string]string{"mode": "native"}})
		case masterapi.PathInstance("svc", "i", masterapi.ActionStop):
			http.WriteError(w, http.Errorf(404, "not_found", "no such instance"))
		}
	})
	s := http.NewServer(http.ServerConfig{Address: "tcp://127.0.0.1:0"}, h)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(ctx) })
	defer wg.Wait()
	defer cancel()
	out, err := module(t, "master", "", "BAETYL_MASTER_API_ADDRESS=tcp://"+s.Addr().String(), "BAETYL_MASTER_API_VERSION=v1",
		"BAETYL_SERVICE_NAME=me", "BAETYL_SERVICE_INSTANCE_NAME=me", "BAETYL_SERVICE_TOKEN=secret", "BAETYL_SERVICE_MODE=native").Output()
	require.NoError(t, err)
	var report map[string]any
	require.NoError(t, json.Unmarshal(out, &report))
	require.Equal(t, "4711", report["got"])
	require.Equal(t, "native", report["mode"])
	require.Equal(t, true, report["native"])
	require.Contains(t, report["stop"], "no such instance")
	for _, call := range []string{"port", "inspect", "start", "report", "update"} {
		require.Empty(t, report[call], call)
	}
	require.Equal(t, []string{
		masterapi.RoutePorts.Pattern() + " null me:secret",
		masterapi.RouteInspect.Pattern() + " null me:secret",
		"PUT " + masterapi.PathInstance("svc%s/x", "a b", masterapi.ActionStart) + ` {"K":"V"} me:secret`,
		"PUT " + masterapi.PathInstance("svc", "i", masterapi.ActionStop) + " null me:secret",
		"PUT " + masterapi.PathInstance("me", "me", masterapi.ActionReport) + ` {"n":1} me:secret`,
		masterapi.RouteUpdate.Pattern() + ` {"path":"var/db/app","type":"APP"} me:secret`,
	}, calls)
}

func TestGoFunction(t *testing.T) {
	source, err := os.ReadFile("testdata/function/main.go")
	require.NoError(t, err)
	require.Less(t, strings.Count(string(source), "\n"), 20, "lines of a function in Go")
	cmd := module(t, "", "functions:\n  - name: f\nserver:\n  workers:\n    max: 2\n", "OPENEDGE_SERVICE_INSTANCE_ADDRESS="+freeAddress(t))
	cmd.Path = build(t, "./testdata/function")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	defer cmd.Process.Kill()
	c := dialFunction(t, baetyl.FClientConfig{Address: strings.TrimPrefix(cmd.Env[len(cmd.Env)-1], "OPENEDGE_SERVICE_INSTANCE_ADDRESS=")})
	require.NoError(t, c.Connect(context.Background()))
	out, err := c.Call(context.Background(), &baetyl.FunctionMessage{ID: 3, Topic: "t", Payload: []byte("you"), FunctionInvokeID: "x"})
	require.NoError(t, err)
	require.Equal(t, "hello you", string(out.Payload))
	require.Equal(t, uint64(3), out.ID)
	require.Equal(t, "x", out.FunctionInvokeID)
	_, err = c.Call(context.Background(), &baetyl.FunctionMessage{})
	require.EqualError(t, err, "rpc error: code = Unknown desc = Exception calling application: nobody to greet")
	lost := make(chan bool, 1)
	go func() { lost <- c.Lost(context.Background()) }()
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), stderr.String())
	require.True(t, <-lost)
}

// What docs/sdk.md shows compiles, and the function there is the one that is tested.
func TestDocumentationCompiles(t *testing.T) {
	text, err := os.ReadFile("../../docs/sdk.md")
	require.NoError(t, err)
	blocks := strings.Split(string(text), "```go\n")[1:]
	require.Len(t, blocks, 2)
	for i, b := range blocks {
		source, _, _ := strings.Cut(b, "```")
		file := filepath.Join(t.TempDir(), "main.go")
		require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
		build(t, file)
		if i == 1 {
			tested, err := os.ReadFile("testdata/function/main.go")
			require.NoError(t, err)
			require.Contains(t, string(tested), source)
		}
	}
}

func freeAddress(t *testing.T) string {
	return fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
}

func serve(t *testing.T, cfg baetyl.FServerConfig, call baetyl.Call) (address string, stop func() error) {
	t.Helper()
	cfg.Address = "127.0.0.1:0"
	s := baetyl.NewFServer(cfg, call)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { stop() })
	return s.Addr().String(), stop
}

func dialFunction(t *testing.T, cfg baetyl.FClientConfig) *baetyl.FClient {
	t.Helper()
	c, err := baetyl.NewFClient(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// overBoth runs a test over gRPC and over the pipe.
func overBoth(t *testing.T, test func(t *testing.T, dial func(cfg baetyl.FClientConfig) *baetyl.FClient)) {
	for name, pipe := range map[string]bool{"grpc": false, "pipe": true} {
		t.Run(name, func(t *testing.T) {
			test(t, func(cfg baetyl.FClientConfig) *baetyl.FClient {
				cfg.Pipe = pipe
				c := dialFunction(t, cfg)
				require.NoError(t, c.Connect(context.Background()))
				require.Equal(t, pipe, c.Concurrent() > 0)
				return c
			})
		})
	}
}

func TestFunctionServerStatus(t *testing.T) {
	overBoth(t, func(t *testing.T, dial func(cfg baetyl.FClientConfig) *baetyl.FClient) {
		address, _ := serve(t, baetyl.FServerConfig{}, func(ctx context.Context, m *baetyl.FunctionMessage) (*baetyl.FunctionMessage, error) {
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
				return &baetyl.FunctionMessage{Payload: make([]byte, 4<<20)}, nil
			}
			return m, nil
		})
		cfg := baetyl.FClientConfig{Address: address, Timeout: 300 * time.Millisecond}
		c := dial(cfg)
		for payload, want := range map[string]codes.Code{"panic": codes.Unknown, "late": codes.DeadlineExceeded, "status": codes.NotFound, "fine": codes.OK,
			"much": codes.ResourceExhausted, strings.Repeat("x", 4<<20+1): codes.ResourceExhausted} {
			_, err := c.Call(context.Background(), &baetyl.FunctionMessage{Payload: []byte(payload)})
			require.Equal(t, want, status.Code(err), "%.10s: %v", payload, err)
			if want == codes.ResourceExhausted {
				require.ErrorContains(t, err, "larger than max", "which tells it from an overload")
			}
		}
		cfg.Message.Length.Max = 8 << 20 // the server says no
		_, err := dial(cfg).Call(context.Background(), &baetyl.FunctionMessage{Payload: make([]byte, 4<<20)})
		require.Equal(t, codes.ResourceExhausted, status.Code(err))
		cfg.Message.Length.Max = 1 << 20 // the client does
		_, err = dial(cfg).Call(context.Background(), &baetyl.FunctionMessage{Payload: []byte("much")})
		require.Equal(t, codes.ResourceExhausted, status.Code(err))

		bare, _ := serve(t, baetyl.FServerConfig{}, nil)
		_, err = dial(baetyl.FClientConfig{Address: bare}).Call(context.Background(), &baetyl.FunctionMessage{})
		require.EqualError(t, err, "rpc error: code = Unimplemented desc = handle not implemented")
	})
}

// Calls run side by side; a caller that waits no longer ends its own, and a client that goes away all of its calls.
func TestFunctionCallsAtOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, dial func(cfg baetyl.FClientConfig) *baetyl.FClient) {
		began, cancelled := make(chan string, 3), make(chan string, 3)
		address, _ := serve(t, baetyl.FServerConfig{}, func(ctx context.Context, m *baetyl.FunctionMessage) (*baetyl.FunctionMessage, error) {
			if len(m.Payload) == 0 {
				return m, nil
			}
			began <- string(m.Payload)
			<-ctx.Done()
			cancelled <- string(m.Payload)
			return nil, ctx.Err()
		})
		c := dial(baetyl.FClientConfig{Address: address})
		failed := make(chan error, 3)
		call := func(payload string) context.CancelFunc {
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				_, err := c.Call(ctx, &baetyl.FunctionMessage{Payload: []byte(payload)})
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
		_, err := c.Call(context.Background(), &baetyl.FunctionMessage{})
		require.NoError(t, err)
		c.Close()
		require.Equal(t, "b", <-cancelled)
		require.Contains(t, []codes.Code{codes.Unavailable, codes.Canceled}, status.Code(<-failed))
		_, err = c.Call(context.Background(), &baetyl.FunctionMessage{})
		require.Error(t, err)
	})
}

func TestFunctionServerEndsWithinBounds(t *testing.T) {
	overBoth(t, func(t *testing.T, dial func(cfg baetyl.FClientConfig) *baetyl.FClient) {
		entered, finish := make(chan struct{}), make(chan struct{})
		address, stop := serve(t, baetyl.FServerConfig{}, func(ctx context.Context, m *baetyl.FunctionMessage) (*baetyl.FunctionMessage, error) {
			close(entered)
			if string(m.Payload) == "short" {
				<-finish
				return m, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		c := dial(baetyl.FClientConfig{Address: address})
		result := make(chan error, 1)
		call := func(payload string) {
			_, err := c.Call(context.Background(), &baetyl.FunctionMessage{Payload: []byte(payload)})
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
		}, 10*time.Second, time.Millisecond)
		close(finish)
		require.NoError(t, <-result, "a running call is finished")
		require.NoError(t, <-stopped)
		require.True(t, c.Lost(context.Background()))

		entered = make(chan struct{})
		address, stop = serve(t, baetyl.FServerConfig{}, func(ctx context.Context, m *baetyl.FunctionMessage) (*baetyl.FunctionMessage, error) {
			close(entered)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		c = dial(baetyl.FClientConfig{Address: address})
		go call("endless")
		<-entered
		began := time.Now()
		require.NoError(t, stop())
		require.Less(t, time.Since(began), 15*time.Second)
		require.Error(t, <-result)
	})
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	require.ErrorContains(t, baetyl.NewFServer(baetyl.FServerConfig{Address: busy.Addr().String()}, nil).Listen(), "address already in use")
}

func TestFunctionCallsOverTLS(t *testing.T) {
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
	address, _ := serve(t, baetyl.FServerConfig{Cert: crt, Key: key}, func(_ context.Context, m *baetyl.FunctionMessage) (*baetyl.FunctionMessage, error) {
		return m, nil
	})
	c := dialFunction(t, baetyl.FClientConfig{Address: address, Config: cert.Config{CA: crt}})
	out, err := c.Call(context.Background(), &baetyl.FunctionMessage{Payload: []byte("x")})
	require.NoError(t, err)
	require.Equal(t, "x", string(out.Payload))
	for _, cfg := range []cert.Config{{}, {Cert: crt, Key: key}} { // no TLS; TLS without the authority
		c := dialFunction(t, baetyl.FClientConfig{Address: address, Timeout: time.Second, Config: cfg, FailFast: true})
		_, err := c.Call(context.Background(), &baetyl.FunctionMessage{})
		require.Error(t, err)
	}
	broken := baetyl.NewFServer(baetyl.FServerConfig{Address: "127.0.0.1:0", Cert: crt}, nil)
	require.NoError(t, broken.Listen())
	require.ErrorContains(t, broken.Serve(context.Background()), "needs both cert and key")
}
