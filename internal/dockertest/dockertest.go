//go:build linux

// Package dockertest has the real parts of tests with docker: a daemon of their own that may be killed, hung and
// replaced, a proxy in front of a daemon, a registry, images.
//
//	test ── pipe ──► parent (own network and mount namespace) ──► dockerd ──► containerd, shims, containers
//	  └──── HTTP, unix socket ─────────────────────────────────────┘
//
// It needs root and a docker daemon's program. A machine without them skips the test with a line, in CI (CI=true) it
// fails (package requires). BAETYL_DOCKERD names the program of the daemon: a dockerd, or podman, whose socket speaks
// docker's API.
package dockertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"github.com/baetyl/baetyl/internal/requires"
)

// EnvDaemon names the environment variable with the program of the daemon: a path, or a name in PATH.
// scripts/dockerd.sh reads it too. Default dockerd.
const EnvDaemon = "BAETYL_DOCKERD"

// podmanConf asks for no limits above those that a test may have itself, as dockerd does, and for names in networks.
const podmanConf = `
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
network_backend = "netavark"
`

// podmanRegistries has it speak without TLS to registries of tests, as dockerd does to those of the loopback.
const podmanRegistries = `
[[registry]]
location = "127.0.0.1"
insecure = true
`

// startTimeout bounds the time until a daemon answers: a busy machine takes long.
const startTimeout = 2 * time.Minute

// Options of a daemon. The zero value is good.
type Options struct {
	Program     string   // path, or a name in PATH; default what EnvDaemon says
	LiveRestore bool     // containers outlive the daemon
	Args        []string // further ones of dockerd
	Disk        int64    // bytes of a small disk for its data; 0 for that of the machine
}

// D is a daemon of one test's own. It is used by one goroutine at a time, but for Host, Command, Within, Dial and
// Client.
type D struct {
	LiveRestore bool     // read by Start
	Args        []string // read by Start

	t       testing.TB // nil for that of a package
	program string
	dir     string
	cgroup  string

	parent *exec.Cmd
	orders *json.Encoder
	in     io.Closer
	out    *json.Decoder
	hung   bool
	once   sync.Once
}

// Daemon starts a daemon and returns it when it answers. All of it goes with the test.
func Daemon(t testing.TB, o Options) *D {
	t.Helper()
	if os.Getuid() != 0 {
		requires.Missing(t, "root, for a docker daemon", "run the test as root")
	}
	d, err := open(o)
	if errors.Is(err, exec.ErrNotFound) {
		requires.Missing(t, "a docker daemon ("+err.Error()+")", "apt-get install docker.io iptables iproute2")
	}
	if err != nil {
		t.Fatal(err)
	}
	d.t = t
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the daemon's log:\n%s", d.log())
		}
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// open makes the parent of a daemon.
func open(o Options) (*D, error) {
	program := o.Program
	if program == "" {
		program = os.Getenv(EnvDaemon)
	}
	if program == "" {
		program = "dockerd"
	}
	program, err := find(program)
	if err != nil {
		return nil, err
	}
	for _, needed := range []string{"ip", "iptables"} {
		if _, err := find(needed); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "bd") // short, since sockets lie in it
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // the table of mounts has no links
		return nil, err
	}
	for _, name := range []string{"data", "exec"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o711); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		"daemon.json": "{}", "containers.conf": podmanConf, "registries.conf": podmanRegistries,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	d := &D{LiveRestore: o.LiveRestore, Args: o.Args, program: program, dir: dir, cgroup: filepath.Base(dir)}
	c := exec.Command("/proc/self/exe", parentArg, dir, d.cgroup, strconv.FormatInt(o.Disk, 10))
	c.Env = d.env()
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Setsid: true}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.Stderr = log // a file: an inherited stderr would keep `go test` waiting
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start a process with its own network: %w", err)
	}
	d.parent, d.orders, d.in, d.out = c, json.NewEncoder(in), in, json.NewDecoder(out)
	return d, nil
}

// find returns the path of a program, which may lie where only root looks.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

// env is that of the daemon. The containerd and runc beside it come first.
func (d *D) env() []string {
	path := filepath.Dir(d.program) + ":" + os.Getenv("PATH") + ":/usr/sbin:/sbin"
	env := []string{
		"PATH=" + path, "HOME=" + d.dir, "CONTAINERS_CONF=" + filepath.Join(d.dir, "containers.conf"),
		"CONTAINERS_REGISTRIES_CONF=" + filepath.Join(d.dir, "registries.conf"),
	}
	if tmp := os.Getenv("TMPDIR"); tmp != "" {
		env = append(env, "TMPDIR="+tmp)
	}
	return env
}

func (d *D) ask(o order) error {
	if err := d.orders.Encode(o); err != nil {
		return fmt.Errorf("ask the daemon's parent to %s: %w: %s", o.Op, err, d.log())
	}
	var a answer
	if err := d.out.Decode(&a); err != nil {
		return fmt.Errorf("ask the daemon's parent to %s: %w: %s", o.Op, err, d.log())
	}
	if a.Error != "" {
		return fmt.Errorf("%s: %s", o.Op, a.Error)
	}
	return nil
}

// log returns the end of the daemon's log.
func (d *D) log() string {
	data, _ := os.ReadFile(filepath.Join(d.dir, "log"))
	if len(data) > 4000 {
		data = data[len(data)-4000:]
	}
	return string(data)
}

// close ends everything, and may be called again.
func (d *D) close() (err error) {
	d.once.Do(func() {
		if !d.hung {
			_ = d.ask(order{Op: "signal", Signal: syscall.SIGTERM}) // it unmounts more than its parent knows of
		}
		_ = d.in.Close()
		if err = d.parent.Wait(); err != nil {
			err = fmt.Errorf("end the daemon of a test: %w: %s", err, d.log())
		}
	})
	return err
}

// Host returns the DOCKER_HOST of the daemon. It stays the same.
func (d *D) Host() string { return "unix://" + filepath.Join(d.dir, "docker.sock") }

// Client returns a client that negotiates its version. It is closed by who asked for it.
func (d *D) Client() *client.Client {
	api, err := client.NewClientWithOpts(client.WithHost(d.Host()), client.WithAPIVersionNegotiation())
	if err != nil {
		panic(err) // the host is well-formed
	}
	return api
}

func (d *D) start() error {
	if err := d.ask(order{Op: "run", Args: d.args(), Env: d.env()}); err != nil {
		return fmt.Errorf("start a docker daemon: %w", err)
	}
	api := d.Client()
	defer api.Close()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := api.Ping(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("start a docker daemon: %w: %s", err, d.log())
		}
		if err := d.ask(order{Op: "running"}); err != nil {
			return fmt.Errorf("start a docker daemon: %w: %s", err, d.log())
		}
	}
}

// args are the command line of the daemon.
func (d *D) args() []string {
	in := func(name string) string { return filepath.Join(d.dir, name) }
	if strings.HasPrefix(filepath.Base(d.program), "podman") {
		return append([]string{d.program, "--root", in("data"), "--runroot", in("exec"), "--tmpdir", in("exec/tmp"),
			"--cgroup-manager", "cgroupfs", "--network-config-dir", in("data/networks"), "system", "service",
			"--time", "0", d.Host()}, d.Args...)
	}
	return append([]string{d.program, "--data-root", in("data"), "--exec-root", in("exec"), "--pidfile", in("pid"),
		"--host", d.Host(), "--config-file", in("daemon.json"), "--exec-opt", "native.cgroupdriver=cgroupfs",
		"--cgroup-parent", "/" + d.cgroup, "--live-restore=" + strconv.FormatBool(d.LiveRestore)}, d.Args...)
}
