package manager

import (
	"context"
	"net"
	nethttp "net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

// master stands in for the master: it has its API and starts real processes. A service whose name starts with "broken"
// can't be started; the instances of one that starts with "ending" end at once; "foreign" is the runtime foreign,
// "older" one without a secret, "sql" the one for SQL, with a function that returns what it gets.
type master struct {
	t       testing.TB
	address string
	dir     string // of the functions' processes
	sockets string

	mu     sync.Mutex
	procs  map[string]*process
	starts []string // names, in order
	killed []string // names of those that the manager has killed
	most   int      // instances that lived at once
}

type process struct {
	service string
	cmd     *exec.Cmd
	ended   chan struct{}
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func newMaster(t testing.TB) *master {
	sockets, err := os.MkdirTemp("", "calls") // the path of t.TempDir is too long for sockets
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(sockets) })
	m := &master{t: t, dir: t.TempDir(), sockets: sockets, procs: map[string]*process{}}
	s := http.NewServer(http.ServerConfig{Address: "tcp://127.0.0.1:0"}, m.routes())
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(ctx) })
	m.address = "tcp://" + s.Addr().String()
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		for _, name := range m.living() {
			m.kill(name)
		}
	})
	return m
}

func (m *master) routes() nethttp.Handler {
	mux := nethttp.NewServeMux()
	mux.HandleFunc(masterapi.RoutePorts.Pattern(), func(w nethttp.ResponseWriter, r *nethttp.Request) {
		// The packages of others say nothing of sockets.
		s := r.URL.Query().Get(masterapi.QueryService)
		if s != "" && s != "foreign" && s != "foreign-secret" && s != "older" {
			dir := filepath.Join(m.sockets, r.URL.Query().Get(masterapi.QueryInstance))
			if err := os.MkdirAll(dir, 0o700); err != nil {
				http.WriteError(w, http.Errorf(500, "internal", "%v", err))
				return
			}
			http.WriteJSON(w, 200, masterapi.PortAvailable{Address: "unix:" + dir + "/s"})
			return
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			http.WriteError(w, http.Errorf(500, "internal", "%v", err))
			return
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		http.WriteJSON(w, 200, masterapi.PortAvailable{Port: port})
	})
	mux.HandleFunc(masterapi.RouteInspect.Pattern(), func(w nethttp.ResponseWriter, r *nethttp.Request) {
		http.WriteJSON(w, 200, m.inspect())
	})
	mux.HandleFunc(masterapi.RouteStart.Pattern(), func(w nethttp.ResponseWriter, r *nethttp.Request) {
		service, name := r.PathValue("service"), r.PathValue("instance")
		var env map[string]string
		if err := http.ReadJSON(r, &env); err != nil {
			http.WriteError(w, http.Errorf(400, "bad_request", "%v", err))
			return
		}
		if strings.HasPrefix(service, "broken") {
			http.WriteError(w, http.Errorf(500, "internal", "package of %s is missing", service))
			return
		}
		m.stop(name)
		if err := m.start(service, name, env); err != nil {
			http.WriteError(w, http.Errorf(500, "internal", "%v", err))
		}
	})
	mux.HandleFunc(masterapi.RouteStop.Pattern(), func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Query().Get(masterapi.QueryKill) == "true" {
			m.kill(r.PathValue("instance"))
			m.mu.Lock()
			m.killed = append(m.killed, r.PathValue("instance"))
			m.mu.Unlock()
		}
		m.stop(r.PathValue("instance"))
	})
	mux.HandleFunc(masterapi.RouteReport.Pattern(), func(nethttp.ResponseWriter, *nethttp.Request) {})
	return mux
}

func (m *master) start(service, name string, env map[string]string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Dir = m.dir
	cmd.Env = []string{
		"MODULE=function",
		"PATH=" + os.Getenv("PATH"),
		"BAETYL_SERVICE_NAME=" + service,
		"BAETYL_SERVICE_INSTANCE_NAME=" + name,
	}
	for _, kind := range []string{"ending", "foreign"} {
		if strings.HasPrefix(service, kind) {
			cmd.Env[0] = "MODULE=" + kind
		}
	}
	if service == "sql" {
		if cmd.Path, err = sqlBinary(); err != nil {
			return err
		}
		config := filepath.Join(m.dir, baetyl.ConfigFile)
		write(m.t, config, "functions: [{name: f, handler: select * where id >= 0}]\n")
	}
	if service == "older" {
		delete(env, masterapi.EnvInstanceSecret)
	}
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{service: service, cmd: cmd, ended: make(chan struct{})}
	go func() { cmd.Wait(); close(p.ended) }()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.procs[name] = p
	m.starts = append(m.starts, name)
	n := 0
	for _, p := range m.procs {
		if p.alive() {
			n++
		}
	}
	m.most = max(m.most, n)
	return nil
}

func (m *master) stop(name string) {
	m.mu.Lock()
	p := m.procs[name]
	delete(m.procs, name)
	m.mu.Unlock()
	if p == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(time.Second): // the grace time
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// kill ends an instance as kill -9 does.
func (m *master) kill(name string) {
	m.mu.Lock()
	p := m.procs[name]
	m.mu.Unlock()
	if p != nil {
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// living returns the names of the instances whose process lives.
func (m *master) living() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, p := range m.procs {
		if p.alive() {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func (m *master) started() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.starts...)
}

func (m *master) killedOnes() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.killed...)
}

func (m *master) inspect() masterapi.Inspect {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out masterapi.Inspect
	for name, p := range m.procs {
		i := masterapi.Instance{Name: name, Status: masterapi.StatusRunning}
		if !p.alive() {
			i.Status = masterapi.StatusRestarting
			i.Error = p.cmd.ProcessState.String()
			i.Output = []string{"no interpreter here"}
		}
		out.Services = append(out.Services, masterapi.Service{Name: p.service, Instances: []masterapi.Instance{i}})
	}
	return out
}
