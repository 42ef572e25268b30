package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// workerImage holds nothing but the program of testdata/worker.
const workerImage = "baetyl-update-test:latest"

var makeWorkerImage = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "worker")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, command := range []string{
		"CGO_ENABLED=0 go build -o " + dir + "/worker ./testdata/worker",
		"tar -C " + dir + " -c worker | docker import --change 'ENTRYPOINT [\"/worker\"]' - " + workerImage,
	} {
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	return nil
})

// inContainers makes d a device in docker mode, whose names are unique on the daemon.
func (d *device) inContainers(t *testing.T) *device {
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		requires.Missing(t, "a docker daemon", "export DOCKER_HOST=$(scripts/dockerd.sh start); "+string(out))
	}
	require.NoError(t, makeWorkerImage())
	d.containers = filepath.Base(d.dir) + "-"
	t.Cleanup(func() {
		for _, id := range d.processes() {
			_ = exec.Command("docker", "rm", "--force", id).Run()
		}
	})
	rewrite := func(path, old, new string) {
		data, err := os.ReadFile(d.path(path))
		require.NoError(t, err)
		d.write(t, path, strings.ReplaceAll(string(data), old, new), 0o644)
	}
	rewrite("etc/baetyl/conf.yml", "mode: native", "mode: docker")
	// the daemon has other work too
	rewrite("etc/baetyl/conf.yml", "healthy: 300ms, deadline: 1m", "healthy: 3s, deadline: 1m")
	for _, folder := range []string{"", "app/good/", "app/bad/", "app/next/"} {
		path := "var/db/baetyl/" + folder + "application.yml"
		rewrite(path, "{name: pkg, path: lib/baetyl/pkg, readonly: true}, ", "")
		rewrite(path, "image: pkg", "image: '"+workerImage+"'")
		rewrite(path, "name: loop", "name: "+d.containers+"loop")
		rewrite(path, "name: worker", "name: "+d.containers+"worker")
	}
	return d
}

// docker runs a command on the containers of the device and returns its lines.
func (d *device) docker(args ...string) []string {
	// empty: none, or no daemon
	out, _ := exec.Command("docker", append(args, "--filter", "name=^/"+d.containers)...).Output()
	return strings.Fields(string(out))
}
