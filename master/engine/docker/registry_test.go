//go:build linux

package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/utils/log"
)

// registry serves one image with one layer of size random bytes to clients that send the user and the password.
func registry(t *testing.T, size int) *httptest.Server {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	content := make([]byte, size)
	_, _ = rand.Read(content) // never fails (crypto/rand); nothing that compresses
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "content", Mode: 0o644, Size: int64(size), Typeflag: tar.TypeReg}))
	_, err := w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	digest := func(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
	layerID := digest(layer.Bytes())
	config := fmt.Appendf(nil,
		`{"architecture":%q,"os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, runtime.GOARCH,
		layerID)
	const kind = "application/vnd.docker.distribution.manifest.v2+json"
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,
		"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":%q},
		"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":%d,"digest":%q}]}`,
		kind, len(config), digest(config), layer.Len(), layerID)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "edge" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer := []byte("{}")
		switch {
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Docker-Content-Digest", digest(manifest))
			answer = manifest
		case strings.HasSuffix(r.URL.Path, digest(config)):
			answer = config
		case strings.HasSuffix(r.URL.Path, layerID):
			answer = layer.Bytes()
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(answer))
	}))
	t.Cleanup(s.Close)
	return s
}

// login writes what `docker login` does.
func login(t *testing.T, host string) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	auth := base64.StdEncoding.EncodeToString([]byte("edge:secret"))
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth), 0o600))
}

// A missing image is pulled with the credentials of docker's own configuration, and not without them.
func TestPull(t *testing.T) {
	b := newBench(t)
	host := strings.TrimPrefix(registry(t, 1000).URL, "http://")
	s := service("t-pulled", "run")
	s.Image = host + "/engine/test:1"
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	_, err := b.Resolve(t.Context(), s.Image)
	require.ErrorContains(t, err, "pull image "+s.Image)
	login(t, host)
	found, err := b.Resolve(t.Context(), s.Image)
	require.NoError(t, err)
	require.Regexp(t, "^"+host+"/engine/test@sha256:", found.Digest)
	require.Contains(t, b.log.String(), "image pulled in")
	require.NotContains(t, b.log.String(), "secret")
	_, err = b.api.ImageInspect(t.Context(), s.Image)
	require.NoError(t, err)
	_, err = b.api.ImageRemove(t.Context(), s.Image, image.RemoveOptions{})
	require.NoError(t, err)
}

// A disk that fills up while an image is pulled is an error that says so, and the daemon goes on.
func TestPullToFullDisk(t *testing.T) {
	newBench(t) // there is a daemon; this test has its own, on a small disk
	if os.Getuid() != 0 {
		requires.Missing(t, "root, for a daemon on a small disk", "run the test as root")
	}
	d := newDaemon(t)
	data := filepath.Join(d.dir, "data")
	require.NoError(t, os.MkdirAll(data, 0o755))
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=20m", "small", data).CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() { // before the daemon's folder is removed, after the daemon has ended
		d.run(t, "stop")
		_ = exec.Command("umount", "-l", data).Run()
	})
	t.Setenv("DOCKER_HOST", d.run(t, "start"))
	host := strings.TrimPrefix(registry(t, 40<<20).URL, "http://")
	login(t, host)
	e, err := docker.New(
		docker.Options{
			Workdir: t.TempDir(),
			Log:     log.Discard(),
			Pull:    docker.Pull{Policy: docker.PullMissing, Timeout: time.Minute, Parallel: 1},
		},
	)
	require.NoError(t, err)
	defer e.Close()
	s := service("t-big", "run")
	s.Image = host + "/engine/big:1"
	_, err = e.Resolve(t.Context(), s.Image)
	require.ErrorContains(t, err, "no space left on device")
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	_, err = api.Info(context.Background())
	require.NoError(t, err)
}
