//go:build linux

package docker_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// testImage holds nothing but the program of testdata/actor.
const testImage = "baetyl-engine-test:latest"

func TestMain(m *testing.M) { os.Exit(dockertest.Main(m)) }

// daemon is the docker daemon of the tests, once a test has asked for it.
var daemon = sync.OnceValues(func() (*client.Client, error) {
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = api.Ping(ctx)
	return api, err
})

// actor makes the image of the tests.
var actor sync.Once

// bench is one master on the daemon, with its working directory.
type bench struct {
	*docker.Engine
	api *client.Client
	dir string
	log *syncBuffer
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	api, err := daemon()
	if err != nil {
		requires.Missing(t, "a docker daemon ("+err.Error()+")",
			"scripts/dockerd.sh start, and export the DOCKER_HOST that it prints")
	}
	actor.Do(func() { dockertest.Image(t, api.DaemonHost(), testImage, "testdata/actor") })
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	return newMaster(t, api, dir)
}

// newMaster is a further run of a master in dir. The containers that it makes are removed when the test ends.
func newMaster(t *testing.T, api *client.Client, dir string) *bench {
	t.Helper()
	b := &bench{api: api, dir: dir, log: &syncBuffer{}}
	var err error
	b.Engine, err = docker.New(docker.Options{
		Workdir: dir, Socket: socket(t, dir), Log: log.NewTo(b.log, log.Config{Level: "debug"}),
		Settings: docker.Settings{Pull: docker.Pull{Policy: docker.PullMissing, Timeout: 5 * time.Second, Parallel: 2}},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, id := range b.containers(t) {
			_ = api.ContainerRemove(context.Background(), id, container.RemoveOptions{Force: true})
		}
		_ = b.Engine.Close()
	})
	return b
}

func socket(t *testing.T, dir string) string {
	path := filepath.Join(dir, "sock")
	require.NoError(t, os.WriteFile(path, nil, 0o600)) // a plain file is enough: it is only mounted
	return path
}

// containers returns those that carry the id of the bench's master.
func (b *bench) containers(t *testing.T) (ids []string) {
	list, err := b.api.ContainerList(context.Background(),
		container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", "baetyl=baetyl"))})
	require.NoError(t, err)
	for _, c := range list {
		for _, m := range c.Mounts {
			if strings.HasPrefix(m.Source, b.dir+"/") {
				ids = append(ids, c.ID)
			}
		}
	}
	return ids
}

// service is a service of the test image. Names are those of the test, since names of containers are the daemon's.
func service(name string, args ...string) engine.Service {
	return engine.Service{Service: app.Service{Name: name, Image: testImage, Args: args}}
}

func (b *bench) start(t *testing.T, s engine.Service) engine.Instance {
	t.Helper()
	box, err := b.Open(t.Context(), s)
	require.NoError(t, err)
	i, err := box.Start(t.Context(), engine.Spec{Name: s.Name, Env: map[string]string{masterapi.EnvServiceToken: "token"}})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		i.Stop(ctx)
		require.NoError(t, box.Close())
	})
	return i
}

func TestSuite(t *testing.T) {
	newBench(t) // skips as a whole
	api, _ := daemon()
	programs := map[enginetest.Program][]string{
		enginetest.Runs: {"run"}, enginetest.Succeeds: {"succeed"}, enginetest.Fails: {"fail"},
		enginetest.IgnoresTerm: {"deaf"},
		enginetest.Leaves:      {"leave"}, enginetest.PrintsToken: {"env"},
	}
	enginetest.Run(t, enginetest.Factory{
		New: func(t *testing.T) engine.Engine { return newBench(t) },
		Next: func(t *testing.T, e engine.Engine) engine.Engine {
			return newMaster(t, api, e.(*bench).dir)
		},
		Service: func(t *testing.T, name string, p enginetest.Program) engine.Service {
			s := service(name, programs[p]...)
			if p == enginetest.HasShell {
				s = shellService(t, api, name, "echo up; trap exit TERM; while :; do sleep 0.1; done")
			}
			if p == enginetest.CannotRun {
				s.Entrypoint = []string{"/nothing"}
			}
			return s
		},
		Alive: func(r engine.Record) bool {
			c, err := api.ContainerInspect(context.Background(), r.Container.ID)
			return err == nil && c.State.Running
		},
	})
}
