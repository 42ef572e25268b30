//go:build linux

package disorder_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// peer answers on port 7000 with its variable V.
const peer = "../../internal/dockertest/testdata/peer"

// application is the file of a version: by service, the number that its instances answer with.
type application struct {
	version string
	numbers map[string]int
}

// text is in the form of compose, since that has volumes which docker manages.
func (a application) text(registry string) string {
	const service = `  %s:
    image: %s/app/%s:1
    replica: %d
    command: [serve]
    environment: {V: %s-%d}
    restart: {backoff: {min: 1s, max: 4s}}
%s`
	of := func(name, image string, replica int, more string) string {
		return fmt.Sprintf(service, name, registry, image, replica, name, a.numbers[name], more)
	}
	return "version: '3'\napp_version: " + a.version + "\nservices:\n" +
		of("web", "a", 1, "    networks: {front: {aliases: [www]}, back: {aliases: [site]}}\n") +
		of("worker", "a", 2, "    networks: {back: {aliases: [jobs]}}\n    volumes: ['data:/data']\n") +
		of("edge", "b", 1, "    networks: {front: {}}\n") +
		of("plain", "b", 1, "") +
		"volumes: {data: {}}\nnetworks: {front: {}, back: {}}\n"
}

// world is a device, its daemon and its registry.
type world struct {
	t        *testing.T
	off      []string
	daemon   *dockertest.D
	registry *dockertest.R
	api      *client.Client
	master   *http.Client
	dir      string
	hung     bool   // the daemon
	down     bool   // the daemon
	stranger string // id of its container

	keeper *exec.Cmd
	output mqtttest.Output

	versions []application             // the n-th has version v<n>
	before   map[string]string         // by version: the one that ran when it was asked for
	offered  map[string]map[string]int // by image: ids that its tag had, in which order
	ids      map[string]string         // by service: that of the last time it was as written
	seen     string                    // version of the application then
}

func newWorld(t *testing.T, off []string) *world {
	d := dockertest.Daemon(t, dockertest.Options{LiveRestore: true})
	dir, err := os.MkdirTemp("", "bz") // short, since sockets lie in it
	require.NoError(t, err)
	w := &world{t: t, off: off, daemon: d, dir: dir, api: d.Client(),
		registry: dockertest.Registry(t, dockertest.RegistryOptions{Near: d}),
		offered:  map[string]map[string]int{"app/a": {}, "app/b": {}}, ids: map[string]string{},
		before:   map[string]string{},
		versions: []application{{"v0", map[string]int{"web": 0, "worker": 0, "edge": 0, "plain": 0}}}}
	t.Cleanup(func() {
		w.killMaster(true)
		_ = w.api.Close()
		if t.Failed() {
			t.Logf("the end of the master's log:\n%s", tail(w.log(), 120))
		}
		_ = os.RemoveAll(dir)
	})
	for image := range w.offered {
		w.offer(image, 0)
	}
	w.addStranger()
	w.write("etc/baetyl/conf.yml", "mode: docker\nserver: {address: 'unix://var/run/baetyl.sock'}\ngrace: 3s\n"+
		"logger: {path: master.log, level: info}\nupdate: {healthy: 2s, deadline: 2m}\n")
	w.write("var/db/baetyl/application.yml", w.versions[0].text(w.registry.Host()))
	require.NoError(t, os.MkdirAll(w.path("bin"), 0o755))
	out, err := exec.Command("go", "build", "-o", w.path("bin/baetyl"), "../..").CombinedOutput()
	require.NoError(t, err, string(out))
	w.master, err = http.NewClient(http.ClientConfig{Address: "unix://" + w.path(masterapi.AdminSocket),
		Timeout: 20 * time.Second})
	require.NoError(t, err)
	t.Cleanup(w.master.Close)
	w.startMaster()
	return w
}

// offer moves the tag of an image in the registry.
func (w *world) offer(image string, n int) {
	w.registry.AddProgram(w.t, image+":1", peer, fmt.Sprintf(`"Labels":{"n":"%d"}`, n))
	ids := w.offered[image]
	ids[w.registry.ID(image+":1")], ids[w.registry.Digest(image+":1")] = n, n
}

func (w *world) path(rel string) string { return filepath.Join(w.dir, rel) }

func (w *world) write(rel, text string) {
	require.NoError(w.t, os.MkdirAll(filepath.Dir(w.path(rel)), 0o755))
	require.NoError(w.t, os.WriteFile(w.path(rel), []byte(text), 0o644))
}

func (w *world) log() string {
	data, _ := os.ReadFile(w.path("master.log")) // empty until it is there
	return string(data) + w.output.String()
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (w *world) startMaster() {
	c := exec.Command(w.path("bin/baetyl"), "start")
	c.Env = append(os.Environ(), "DOCKER_HOST="+w.daemon.Host())
	c.Stdout, c.Stderr = &w.output, &w.output
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // of the test's thread: TestDisorder locks it
	require.NoError(w.t, c.Start())
	w.keeper = c
}

// killMaster kills the master, and its keeper too.
func (w *world) killMaster(keeper bool) {
	if w.keeper == nil {
		return
	}
	pid := w.keeper.Process.Pid
	if keeper {
		_ = w.keeper.Process.Signal(syscall.SIGSTOP) // it starts no further master
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, child := range strings.Fields(string(children)) {
		if number, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(number, syscall.SIGKILL)
		}
	}
	if keeper {
		_ = w.keeper.Process.Kill()
		_ = w.keeper.Wait()
		w.keeper = nil
	}
}

// update asks for a version in which some services have another number. It may be refused: then nothing has changed.
func (w *world) update(random int) {
	next := application{"v" + strconv.Itoa(len(w.versions)), maps.Clone(w.versions[len(w.versions)-1].numbers)}
	for i, name := range []string{"web", "worker", "edge", "plain"} {
		if random>>i&1 == 1 {
			next.numbers[name] = len(w.versions)
		}
	}
	folder := "var/db/baetyl/app/" + next.version
	w.write(folder+"/application.yml", next.text(w.registry.Host()))
	w.versions = append(w.versions, next)
	current, _ := w.current() // readable, since updates rename
	w.before[next.version] = current.version
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := w.master.Put(ctx, masterapi.PathUpdate, masterapi.UpdateRequest{Path: folder, Trace: next.version}, nil)
	if err != nil { // refused, or the master was killed
		w.t.Logf("update to %s: %v", next.version, err)
	}
}

// current returns the application that application.yml says.
func (w *world) current() (application, error) {
	data, err := os.ReadFile(w.path("var/db/baetyl/application.yml"))
	if err != nil {
		return application{}, err
	}
	for _, a := range w.versions {
		if strings.Contains(string(data), "app_version: "+a.version+"\n") {
			return a, nil
		}
	}
	return application{}, fmt.Errorf("application.yml has no known version: %s", data)
}
