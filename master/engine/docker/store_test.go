//go:build linux

package docker_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// store is a registry without a login. What is pushed runs as the image of the tests does.
type store struct {
	t    *testing.T
	host string

	mu    sync.Mutex // guards what follows
	tags  map[string]string
	blobs map[string][]byte // by digest
}

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

func newStore(t *testing.T) *store {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	s := &store{t: t, tags: map[string]string{}, blobs: map[string][]byte{}}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.host = strings.TrimPrefix(server.URL, "http://")
	return s
}

func (s *store) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ref := path.Base(r.URL.Path)
	if digest := s.tags[ref]; digest != "" {
		ref = digest
	}
	data, ok := s.blobs[ref]
	switch {
	case r.URL.Path == "/v2/":
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		return
	case path.Base(path.Dir(r.URL.Path)) == "manifests":
		w.Header().Set("Content-Type", manifestType)
		w.Header().Set("Docker-Content-Digest", ref)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

func (s *store) put(data []byte) string {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	s.blobs[digest] = data
	return digest
}

// push makes an image, another one for each test and each mark, and lets tag mean it. It returns its name.
func (s *store) push(tag, mark string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	layer := actorLayer(s.t)
	id := s.put(layer)
	config := fmt.Appendf(nil, `{"architecture":%q,"os":"linux","author":%q,"config":{"Entrypoint":["/actor"]},
		"rootfs":{"type":"layers","diff_ids":[%q]}}`, runtime.GOARCH, s.host+" "+mark, id)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,
		"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":%q},
		"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":%d,"digest":%q}]}`,
		manifestType, len(config), s.put(config), len(layer), id)
	s.tags[tag] = s.put(manifest)
	return s.host + "/engine/test:" + tag
}

// forget removes everything from the registry, as a clean-up there does.
func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tags)
	clear(s.blobs)
}

var layerOnce = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "actor")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "actor")
	build := exec.Command("go", "build", "-o", program, "./testdata/actor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	head := &tar.Header{Name: "actor", Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}
	if err := w.WriteHeader(head); err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return layer.Bytes(), err
})

func actorLayer(t *testing.T) []byte {
	layer, err := layerOnce()
	require.NoError(t, err)
	return layer
}
