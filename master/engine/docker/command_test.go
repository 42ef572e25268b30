//go:build linux

package docker_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/master/engine/enginetest"
)

// shellImage holds busybox under all its names.
const shellImage = "baetyl-engine-test-shell:latest"

var shell sync.Once

// shellService is a service that runs script in an image with a shell.
func shellService(t *testing.T, api *client.Client, name, script string) engine.Service {
	t.Helper()
	shell.Do(func() {
		busybox, err := os.ReadFile(requires.Command(t, "busybox", "apt-get install busybox-static"))
		require.NoError(t, err)
		var layer bytes.Buffer
		w := tar.NewWriter(&layer)
		add := func(h tar.Header, content []byte) {
			h.Size = int64(len(content))
			require.NoError(t, w.WriteHeader(&h))
			_, err := w.Write(content)
			require.NoError(t, err)
		}
		add(tar.Header{Name: "bin/busybox", Mode: 0o755}, busybox)
		for _, n := range strings.Fields("sh cat head sleep setsid stty tr true sed env id ps kill") {
			require.NoError(t, w.WriteHeader(&tar.Header{Name: "bin/" + n, Typeflag: tar.TypeSymlink, Linkname: "busybox"}))
		}
		add(tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0::/:/bin/sh\nme:x:1234:1234::/:/bin/sh\n"))
		require.NoError(t, w.Close())
		out, err := api.ImageImport(t.Context(), image.ImportSource{Source: &layer, SourceName: "-"}, shellImage,
			image.ImportOptions{})
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, out)
		require.NoError(t, err)
		require.NoError(t, out.Close())
	})
	s := service(name, "-c", script)
	s.Image, s.Entrypoint = shellImage, []string{"/bin/sh"}
	return s
}

// A command is what the service is: user, folder, environment, capabilities.
func TestCommandIsAsTheService(t *testing.T) {
	b := newBench(t)
	const view = `id; pwd; sed -n "/^Cap/p;/^NoNew/p;/^Seccomp:/p" /proc/self/status; echo $BAETYL_SERVICE_TOKEN`
	s := shellService(t, b.api, "command", "("+view+") >/dev/shm/seen; echo up; exec sleep 1000")
	s.User = "1234"
	i := b.start(t, s)
	enginetest.Output(t, i, "up")
	require.Equal(t, enginetest.Exec(t, i, "cat /dev/shm/seen"), enginetest.Exec(t, i, view))
}

// The daemon goes on with a command whose master was killed; the next master ends it.
func TestCommandOfAMasterThatIsGone(t *testing.T) {
	b := newBench(t)
	s := shellService(t, b.api, "left", "echo up; trap exit TERM; while :; do sleep 0.1; done") // ends when adopt asks it
	box, err := b.Open(t.Context(), s)
	require.NoError(t, err)
	i, err := box.Start(t.Context(), engine.Spec{Name: s.Name, Handle: "h"})
	require.NoError(t, err)
	enginetest.Output(t, i, "up")
	var out enginetest.Buffer
	done := make(chan error, 1)
	go func() {
		leaves := []string{"sh", "-c", "setsid sleep 98769 & echo runs; wait"}
		_, err := i.Exec(t.Context(), engine.Exec{Args: leaves, Stdout: &out})
		done <- err
	}()
	out.Await(t, "runs")
	next := newMaster(t, b.api, b.dir)
	r := i.Record()
	require.NoError(t, next.Reap(t.Context(), []engine.Record{r}, []engine.Record{r}))
	adopted := next.adopt(t, s, r)
	require.NoError(t, <-done)
	require.NotContains(t, enginetest.Exec(t, adopted, "ps"), "98769")
}

func FuzzTask(f *testing.F) {
	f.Add(1, []byte("12 (a) b) S 7 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 99"))
	f.Add(1, []byte(")"))
	f.Fuzz(func(t *testing.T, pid int, stat []byte) {
		if docker.ParseTask(pid, stat) && !bytes.Contains(stat, []byte(" ")) {
			t.Errorf("%q", stat)
		}
	})
}
