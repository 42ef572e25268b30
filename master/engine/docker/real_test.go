//go:build linux

package docker_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/log"
)

// A container that is stopped before it hears signals is asked again, and not left to be killed after the grace time.
func TestStopOfWhatHasJustBegun(t *testing.T) {
	i := newBench(t).start(t, service("t-slow", "slow"))
	enginetest.Output(t, i, "deaf")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	i.Stop(ctx)
	require.NoError(t, ctx.Err())
	require.NoError(t, i.Exit().Err)
}

// One that hangs is killed without being asked first, also one that is paused.
func TestKill(t *testing.T) {
	b := newBench(t)
	for name, paused := range map[string]bool{"t-hangs": false, "t-paused": true} {
		i := b.start(t, service(name, "deaf"))
		enginetest.Output(t, i, "up")
		if paused {
			require.NoError(t, b.api.ContainerPause(t.Context(), i.Record().Container.ID))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(engine.ErrKill)
		i.Stop(ctx)
		require.ErrorContains(t, i.Exit().Err, "137", "killed")
	}
}

// Services find each other by name in the network that every application has, and in networks of their own also by
// aliases.
func TestNames(t *testing.T) {
	b := newBench(t)
	b.start(t, service("t-hub", "run"))
	enginetest.Output(t, b.start(t, service("t-client", "resolve", "t-hub")), "found 1")

	in := func(s engine.Service, aliases ...string) engine.Service {
		s.Service.Networks = app.Aliases{"t-net": {Aliases: aliases}, "baetyl": {}}
		s.Networks = map[string]app.Network{"t-net": {Driver: "bridge"}}
		return s
	}
	t.Cleanup(func() { _ = b.api.NetworkRemove(context.Background(), "t-net") })
	b.start(t, in(service("t-server", "run"), "t-alias"))
	enginetest.Output(t, b.start(t, in(service("t-caller", "resolve", "t-alias"))), "found 1")
}

func TestMounts(t *testing.T) {
	b := newBench(t)
	require.NoError(t, os.MkdirAll(filepath.Join(b.dir, "ro"), 0o755))
	mounted := func(name, path string) engine.Service {
		s := service(name, "write", path)
		s.Mounts = []app.Mount{{Name: "ro", Path: "ro", ReadOnly: true}, {Name: "rw", Path: "/data/rw"}}
		s.Volumes = map[string]app.Volume{"ro": {Name: "ro", Path: "ro"}, "rw": {Name: "rw", Path: "made/here"}}
		return s
	}
	enginetest.Output(t, b.start(t, mounted("t-ro", "/ro/x")), "error: true")
	enginetest.Output(t, b.start(t, mounted("t-rw", "/data/rw/x")), "error: false")
	require.FileExists(t, filepath.Join(b.dir, "made/here/x"))
	require.NoFileExists(t, filepath.Join(b.dir, "ro/x"))
	enginetest.Output(t, b.start(t, mounted("t-sock", "/var/run/baetyl.sock")), "error: true")

	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(b.dir, "out")))
	s := mounted("t-out", "/ro/x")
	s.Volumes["rw"] = app.Volume{Name: "rw", Path: "out/below"}
	require.ErrorContains(t, b.Prepare(t.Context(), s), "outside of the working directory")
	_, err := b.Open(t.Context(), s)
	require.ErrorContains(t, err, "outside of the working directory")
}

// What an instance writes is in the file while it runs, and stdout and stderr are lines of their own.
func TestOutputIsLive(t *testing.T) {
	b := newBench(t)
	i := b.start(t, service("t-count", "count"))
	enginetest.Output(t, i, "n=3")
	line := regexp.MustCompile(`(?m)^\S+ \[t-count\] stdout: n=3$`)
	var data []byte
	require.Eventually(t, func() bool {
		data, _ = os.ReadFile(filepath.Join(b.dir, "var/log/baetyl/services/t-count.log"))
		return line.Match(data)
	}, time.Minute, 20*time.Millisecond, "the file has %q", data)
	requireRunning(t, i, "instance has ended")
}

// A container that no master made is never touched, whatever its name; the error says what to do.
func TestForeignContainersKeepTheirNames(t *testing.T) {
	b := newBench(t)
	c, err := b.api.ContainerCreate(t.Context(), &container.Config{Image: testImage, Cmd: []string{"run"}}, nil,
		nil, nil, "t-taken")
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = b.api.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true})
	})
	require.NoError(t, b.api.ContainerStart(t.Context(), c.ID, container.StartOptions{}))
	for _, name := range []string{"t-taken", "t-take", "taken"} { // parts of a name are no match
		box, err := b.Open(t.Context(), service(name, "run"))
		require.NoError(t, err)
		i, err := box.Start(t.Context(), engine.Spec{Name: name})
		if name == "t-taken" {
			require.ErrorContains(t, err, "a container that is not ours has the name t-taken")
		} else {
			require.NoError(t, err)
			i.Stop(t.Context())
		}
		require.NoError(t, box.Close())
	}
	got, err := b.api.ContainerInspect(t.Context(), c.ID)
	require.NoError(t, err)
	require.True(t, got.State.Running)
}

// Two masters on one daemon leave each other's containers alone, also when one of them looks for what it left.
func TestTwoMasters(t *testing.T) {
	a, b := newBench(t), newBench(t)
	first := a.start(t, service("t-both", "run"))
	require.NoError(t, b.Reap(t.Context(), []engine.Record{first.Record()}, nil))
	box, err := b.Open(t.Context(), service("t-both", "run"))
	require.NoError(t, err)
	_, err = box.Start(t.Context(), engine.Spec{Name: "t-both"})
	require.ErrorContains(t, err, "another master on this docker daemon has a container called t-both")
	require.NoError(t, box.Close())
	requireRunning(t, first, "the other master ended it")
}

// A master that is killed leaves containers; the next one in its directory removes them, also without a record.
func TestOrphans(t *testing.T) {
	killed := newBench(t)
	orphan := killed.start(t, service("t-orphan", "run"))
	for name, find := range map[string]func(*bench) error{
		"Reap": func(b *bench) error { return b.Reap(t.Context(), nil, nil) },
		"Open": func(b *bench) error {
			box, err := b.Open(t.Context(), service("t-other", "run"))
			if err == nil {
				err = box.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, find(newMaster(t, killed.api, killed.dir)))
			enginetest.Ended(t, orphan)
			_, err := killed.api.ContainerInspect(t.Context(), orphan.Record().Container.ID)
			require.True(t, errdefs.IsNotFound(err))
		})
		orphan = killed.start(t, service("t-orphan", "run"))
	}
}

// Without a registry a missing image is an error after the timeout, and a local image is used.
func TestPullWithoutRegistry(t *testing.T) {
	b := newBench(t)
	s := service("t-pull", "run")
	s.Image = "localhost:1/none:latest"
	began := time.Now()
	resolve := func(e *docker.Engine) error {
		_, err := e.Resolve(t.Context(), s.Image, engine.Image{})
		return err
	}
	require.ErrorContains(t, resolve(b.Engine), "pull image localhost:1/none:latest")
	require.Less(t, time.Since(began), time.Minute)

	with := func(p docker.Pull) *docker.Engine {
		e, err := docker.New(docker.Options{
			Workdir: b.dir, Settings: docker.Settings{Pull: p}, Log: log.NewTo(b.log, log.Config{}),
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = e.Close() })
		return e
	}
	never := with(docker.Pull{Policy: docker.PullNever})
	require.ErrorContains(t, resolve(never), "docker.pull.policy is never")

	// 10.255.255.1 sends no answer at all.
	s.Image = "10.255.255.1:5000/none:latest"
	began = time.Now()
	err := resolve(with(docker.Pull{Policy: docker.PullMissing, Timeout: time.Second, Parallel: 1}))
	require.ErrorContains(t, err, "pull image")
	require.Less(t, time.Since(began), time.Minute)

	require.NoError(t, b.api.ImageTag(t.Context(), testImage, "localhost:1/here:latest"))
	s.Image = "localhost:1/here:latest"
	require.NoError(t, resolve(with(docker.Pull{Policy: docker.PullAlways, Timeout: time.Second, Parallel: 1})))
	require.Contains(t, b.log.String(), "could not be pulled; the local one is used")
}

// withDaemon is a bench on a daemon of its own.
func withDaemon(t *testing.T, o dockertest.Options) (*dockertest.D, *bench) {
	d := dockertest.Daemon(t, o)
	t.Setenv("DOCKER_HOST", d.Host())
	dockertest.Image(t, d.Host(), testImage, "testdata/actor")
	api := d.Client()
	t.Cleanup(func() { _ = api.Close() })
	work, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	return d, newMaster(t, api, work)
}

// kill -9 of the daemon is no end of a service, and its output goes on when the daemon is back. An end in the
// meantime is seen.
func TestDaemonKilled(t *testing.T) {
	d, b := withDaemon(t, dockertest.Options{LiveRestore: true})
	i := b.start(t, service("t-survivor", "count"))
	enginetest.Output(t, i, "n=1")

	d.Kill()
	s := service("t-late", "run")
	_, err := b.Open(t.Context(), s)
	require.ErrorContains(t, err, "docker daemon does not answer")
	require.ErrorContains(t, b.Prepare(t.Context(), s), "docker daemon does not answer")
	late := make(chan error, 1)
	go func() { // the supervisor's second try waits for the daemon
		box, err := b.Open(context.Background(), s)
		if err == nil {
			err = box.Close()
		}
		late <- err
	}()
	d.Start()
	select {
	case err := <-late:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("the daemon is back, and Open still waits")
	}
	require.Eventually(t, func() bool {
		last := i.Output()
		return len(last) > 0 && len(last[len(last)-1]) >= len("n=60") // three seconds of output
	}, time.Minute, 20*time.Millisecond, "output does not go on: %q", i.Output())
	requireRunning(t, i, "the daemon's end was taken for that of the service")
	require.Equal(t, 1, strings.Count(b.log.String(), "services start when the docker daemon answers"))

	c, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
	require.NoError(t, err)
	d.Kill()
	require.NoError(t, syscall.Kill(c.State.Pid, syscall.SIGKILL))
	d.Start()
	enginetest.Ended(t, i)
	require.Error(t, i.Exit().Err)
}

// Without live-restore dockerd ends the containers: their instances end, and the supervisor starts new ones.
func TestDaemonKilledWithoutLiveRestore(t *testing.T) {
	d, b := withDaemon(t, dockertest.Options{})
	i := b.start(t, service("t-victim", "count"))
	enginetest.Output(t, i, "n=1")
	d.Kill()
	d.Start()
	enginetest.Ended(t, i)
	require.Error(t, i.Exit().Err)
	i.Stop(t.Context()) // as the supervisor does before the next start
	enginetest.Output(t, b.start(t, service("t-victim", "count")), "n=1")
}

// requireRunning ends the test with what its end would mean if the instance has ended.
func requireRunning(t *testing.T, i engine.Instance, meaning string) {
	t.Helper()
	select {
	case <-i.Done():
		t.Fatal(meaning)
	default:
	}
}
