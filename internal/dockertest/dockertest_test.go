//go:build linux

package dockertest_test

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
)

const (
	peer    = "testdata/peer"
	timeout = time.Minute
	tick    = 50 * time.Millisecond
)

func TestMain(m *testing.M) { os.Exit(dockertest.Main(m)) }

// serve starts a container of the peer, and returns its id.
func serve(t *testing.T, api *client.Client, name, net string) string {
	t.Helper()
	c, err := api.ContainerCreate(t.Context(), &container.Config{Image: "peer", Cmd: []string{"serve"}},
		&container.HostConfig{NetworkMode: container.NetworkMode(net)}, nil, nil, name)
	require.NoError(t, err)
	require.NoError(t, api.ContainerStart(t.Context(), c.ID, container.StartOptions{}))
	return c.ID
}

func running(api *client.Client, id string) bool {
	c, err := api.ContainerInspect(context.Background(), id)
	return err == nil && c.State.Running
}

func address(t *testing.T, api *client.Client, id string) string {
	c, err := api.ContainerInspect(t.Context(), id)
	require.NoError(t, err)
	for _, n := range c.NetworkSettings.Networks {
		return net.JoinHostPort(n.IPAddress, "7000")
	}
	t.Fatal("container without network")
	return ""
}

func requireAnswer(t *testing.T, d *dockertest.D, address, want string) {
	t.Helper()
	var got []byte
	require.Eventually(t, func() bool {
		c, err := d.Dial("tcp", address)
		if err != nil {
			return false
		}
		defer c.Close()
		got, _ = io.ReadAll(c)
		return string(got) == want
	}, timeout, tick, "%s answers %s", address, got)
}

// Two daemons side by side, each with containers on two networks: they reach each other.
func TestDaemonsSideBySide(t *testing.T) {
	for range 2 {
		d := dockertest.Daemon(t, dockertest.Options{})
		api := d.Client()
		defer api.Close()
		dockertest.Image(t, d.Host(), "peer", peer, "ENV V=1")
		for _, n := range []string{"one", "two"} {
			_, err := api.NetworkCreate(t.Context(), n, network.CreateOptions{})
			require.NoError(t, err)
			requireAnswer(t, d, address(t, api, serve(t, api, "at-"+n, n)), "V=1")
		}
		require.NoError(t, api.NetworkConnect(t.Context(), "two", "at-one", nil))
		asker, err := api.ContainerCreate(t.Context(),
			&container.Config{Image: "peer", Cmd: []string{"ask", "at-one:7000"}},
			&container.HostConfig{NetworkMode: "two"}, nil, nil, "asker")
		require.NoError(t, err)
		require.NoError(t, api.ContainerStart(t.Context(), asker.ID, container.StartOptions{}))
		ended, failed := api.ContainerWait(t.Context(), asker.ID, container.WaitConditionNotRunning)
		select {
		case e := <-ended:
			require.Zero(t, e.StatusCode)
		case err := <-failed:
			t.Fatal(err)
		}
	}
}

func TestLiveRestore(t *testing.T) {
	for _, live := range []bool{true, false} {
		d := dockertest.Daemon(t, dockertest.Options{LiveRestore: live})
		api := d.Client()
		defer api.Close()
		dockertest.Image(t, d.Host(), "peer", peer)
		id := serve(t, api, "server", "bridge")
		for _, end := range []func(){d.Kill, d.Stop} {
			end()
			_, err := api.Ping(t.Context())
			require.Error(t, err)
			d.Start()
			require.Equal(t, live, running(api, id))
			_ = api.ContainerStart(t.Context(), id, container.StartOptions{})
		}
	}
}

func TestHang(t *testing.T) {
	d := dockertest.Daemon(t, dockertest.Options{})
	api := d.Client()
	defer api.Close()
	d.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := api.Ping(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	d.Continue()
	_, err = api.Ping(t.Context())
	require.NoError(t, err)
	d.Hang() // the end of the test ends a hung daemon too
}

// A paused container, a volume and a network are gone after Replace, and after Prune if they are not used.
func TestReplaceAndPrune(t *testing.T) {
	d := dockertest.Daemon(t, dockertest.Options{LiveRestore: true})
	api := d.Client()
	defer api.Close()
	count := func() (images, volumes, networks, containers int) {
		i, err := api.ImageList(t.Context(), image.ListOptions{})
		require.NoError(t, err)
		v, err := api.VolumeList(t.Context(), volume.ListOptions{})
		require.NoError(t, err)
		n, err := api.NetworkList(t.Context(), network.ListOptions{})
		require.NoError(t, err)
		c, err := api.ContainerList(t.Context(), container.ListOptions{All: true})
		require.NoError(t, err)
		return len(i), len(v.Volumes), len(n), len(c)
	}
	fill := func() {
		dockertest.Image(t, d.Host(), "peer", peer)
		_, err := api.VolumeCreate(t.Context(), volume.CreateOptions{Name: "kept"})
		require.NoError(t, err)
		_, err = api.NetworkCreate(t.Context(), "net", network.CreateOptions{})
		require.NoError(t, err)
	}
	requireEmpty := func() {
		i, v, n, c := count()
		require.Equal(t, []int{0, 0, 3, 0}, []int{i, v, n, c}, "images, volumes, networks, containers")
	}
	requireEmpty()
	fill()
	require.NoError(t, api.ContainerPause(t.Context(), serve(t, api, "server", "net")))
	d.Replace()
	requireEmpty()
	fill()
	id := serve(t, api, "server", "net")
	d.Prune()
	i, v, n, c := count()
	require.Equal(t, []int{1, 0, 4, 1}, []int{i, v, n, c}, "what a container uses stays")
	require.NoError(t, api.ContainerKill(t.Context(), id, "KILL"))
	require.Eventually(t, func() bool { return !running(api, id) }, timeout, tick)
	d.Prune()
	requireEmpty()
}

// killed is a test of this program that is killed in its middle.
const killed = "DOCKERTEST_KILLED"

func TestKilled(t *testing.T) {
	if os.Getenv(killed) == "" {
		t.Skip("it is for TestNothingIsLeft")
	}
	d := dockertest.Daemon(t, dockertest.Options{LiveRestore: true})
	api := d.Client()
	defer api.Close()
	dockertest.Image(t, d.Host(), "peer", peer)
	require.NoError(t, api.ContainerPause(t.Context(), serve(t, api, "server", "bridge")))
	require.NoError(t, os.WriteFile(os.Getenv(killed), nil, 0o600))
	<-t.Context().Done()
}

// A test that is killed leaves no process, no mount, no folder and no control group.
func TestNothingIsLeft(t *testing.T) {
	if os.Getenv(killed) != "" {
		return
	}
	dockertest.Daemon(t, dockertest.Options{}) // skips without docker
	dir := t.TempDir()
	c := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	// Short, since sockets lie in it.
	short, err := os.MkdirTemp("", "bk")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	c.Env = append(os.Environ(), killed+"="+filepath.Join(dir, "up"), "TMPDIR="+short)
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill() })
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(dir, "up"))
		return err == nil
	}, 3*timeout, tick, "the test does not come up")
	folders, err := filepath.Glob(filepath.Join(short, "bd*"))
	require.NoError(t, err)
	require.Len(t, folders, 1)
	require.NoError(t, c.Process.Kill())
	_ = c.Wait()
	require.Eventually(t, func() bool {
		_, err := os.Stat(folders[0])
		return os.IsNotExist(err)
	}, 2*timeout, tick, "its folder is left")
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), folders[0])
	groups, err := filepath.Glob("/sys/fs/cgroup/*/" + filepath.Base(folders[0]))
	require.NoError(t, err)
	require.Empty(t, groups)
	// Its parent removes the folder, and ends then.
	require.Eventually(t, func() bool { return commandWith(folders[0]) == "" }, timeout, tick, "a process is left")
}

// commandWith returns the command line of a process that has text in it, if there is one.
func commandWith(text string) string {
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range commands {
		if line, _ := os.ReadFile(path); strings.Contains(string(line), text) {
			return string(line)
		}
	}
	return ""
}
