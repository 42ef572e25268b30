package baetyl_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	nethttp "net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/certtest"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
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
		if once, again := ctx.WaitChan(), ctx.WaitChan(); once != again {
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
	"queued": func(ctx baetyl.Context) error {
		cli, err := ctx.NewHubClient("queued", nil)
		if err != nil {
			return err
		}
		up := make(chan struct{})
		cli.Start(mqtt.Funcs{Connect: func(bool) { close(up) }})
		<-up
		for i := range 10 {
			if err := cli.Publish(mqtt.TopicInfo{Topic: "queued", QOS: 1}, []byte(fmt.Sprint(i))); err != nil {
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
		return ctx.LoadConfigStrict(&cfg)
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
	if e := new(exec.ExitError); errors.As(err, &e) {
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

// A module runs within the process of a test, too: its error and its panic are returned, and the end of the context
// ends it.
func TestRunContext(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, baetyl.RunContext(t.Context(), modules["fine"]))
	require.EqualError(t, baetyl.RunContext(t.Context(), modules["error"]), "it broke")
	require.EqualError(t, baetyl.RunContext(t.Context(), modules["panic"]), "panic: it broke")
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, baetyl.RunContext(ctx, func(c baetyl.Context) error {
		cancel()
		for s := range c.WaitChan() {
			return fmt.Errorf("signal %s", s)
		}
		c.Wait()
		return nil
	}))
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
			kill := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
			defer kill.Stop()
			require.NoError(t, cmd.Wait())
		})
	}
}

func TestEndSendsWhatIsQueued(t *testing.T) {
	b := mqtttest.Mosquitto(t)
	var mu sync.Mutex
	var got []string
	sub, err := mqtt.NewDispatcher(
		mqtt.ClientInfo{
			Address:       b.Address,
			ClientID:      "sub",
			CleanSession:  true,
			Subscriptions: []mqtt.TopicInfo{{Topic: "queued", QOS: 1}},
		},
	)
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
	out, err := module(
		t,
		"queued",
		"hub:\n  address: "+b.Address+"\n  clientid: x\n  cleansession: true\nmine: 1\n",
	).CombinedOutput()
	require.NoError(t, err, string(out))
	mqtttest.Until(t, "all ten messages", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= 10 })
}

// The sample of the documents ("Customize Module") compiles as it stands there and runs.
func TestDocumentedSample(t *testing.T) {
	b := mqtttest.Mosquitto(t)
	binary := build(t, "./testdata/timer")
	got := make(chan mqtt.Message, 10)
	sub, err := mqtt.NewDispatcher(
		mqtt.ClientInfo{
			Address:       b.Address,
			ClientID:      "sub",
			CleanSession:  true,
			Subscriptions: []mqtt.TopicInfo{{Topic: "#"}},
		},
	)
	require.NoError(t, err)
	require.NoError(t, sub.Start(mqtt.Funcs{Message: func(d *mqtt.Delivery) { got <- d.Message }}))
	defer sub.Close()
	cmd := module(
		t,
		"",
		// As in "baetyl-timer Configuration": the id is optional there, and the sample does not read the payload.
		"hub:\n  address: "+b.Address+"\ntimer:\n  interval: 20ms\npublish:\n  topic: t\n  payload:\n    id: 1\n"+
			"logger:\n  level: debug\n",
	)
	cmd.Env = append(cmd.Env, "BAETYL_SERVICE_INSTANCE_NAME=timer")
	cmd.Path, cmd.Args = binary, []string{binary}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	select {
	case m := <-got:
		require.Equal(t, "t", m.Topic)
		var body map[string]int64
		require.NoError(t, json.Unmarshal(m.Payload, &body))
		require.InDelta(t, time.Now().Unix(), body["time"], 30)
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		t.Fatal("no message of the sample: ", stderr.String())
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), stderr.String())
	require.Contains(t, stderr.String(), "etc/baetyl/service.yml: publish.payload: unknown key; known here: topic, qos; "+
		"it has no effect")
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

// An API with TLS is verified by its name and authority, and gets the certificate of the service.
func TestMasterOverTLS(t *testing.T) {
	c := certtest.New(t)
	s := http.NewServer(http.ServerConfig{Address: "tcp://0.0.0.0:0", Config: c.Server},
		nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			http.WriteJSON(w, 200, masterapi.PortAvailable{Port: "1"})
		}))
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-ended) })
	_, port, err := net.SplitHostPort(s.Addr().String())
	require.NoError(t, err)
	ask := func(scheme, host string, env ...string) error {
		t.Setenv(masterapi.EnvAPIAddress, scheme+"://"+host+":"+port)
		for i, name := range []string{masterapi.EnvAPICA, masterapi.EnvAPICert, masterapi.EnvAPIKey} {
			t.Setenv(name, append(env, "", "", "")[i])
		}
		m, err := baetyl.NewMaster()
		if err != nil {
			return err
		}
		_, err = m.AvailablePort(t.Context())
		return err
	}
	all := []string{c.Client.CA, c.Client.Cert, c.Client.Key}
	require.NoError(t, ask("https", "127.0.0.1", all...))
	require.ErrorContains(t, ask("https", "127.0.0.1", all[0]), "certificate required")
	require.ErrorContains(t, ask("https", "127.0.0.1", "", all[1], all[2]), "unknown authority")
	require.ErrorContains(t, ask("https", "127.0.0.2", all...), "x509")
	require.ErrorContains(t, ask("https", "127.0.0.1", "nowhere.pem"), "nowhere.pem")
	require.ErrorContains(t, ask("https", "127.0.0.1", all[:2]...), "set together")
	require.Error(t, ask("tcp", "127.0.0.1", all...), "a plain address stays plain")
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
		calls = append(
			calls,
			fmt.Sprintf(
				"%s %s %s %s:%s",
				r.Method,
				r.URL.EscapedPath(),
				text,
				r.Header.Get("x-openedge-username"),
				r.Header.Get("x-openedge-password"),
			),
		)
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
	out, err := module(
		t,
		"master",
		"",
		"BAETYL_MASTER_API_ADDRESS=tcp://"+s.Addr().String(),
		"BAETYL_MASTER_API_VERSION=v1",
		"BAETYL_SERVICE_NAME=me",
		"BAETYL_SERVICE_INSTANCE_NAME=me",
		"BAETYL_SERVICE_TOKEN=secret",
		"BAETYL_SERVICE_MODE=native",
	).Output()
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
			tested, err := os.ReadFile("function/testdata/greeter/main.go")
			require.NoError(t, err)
			require.Contains(t, string(tested), source)
		}
	}
}
