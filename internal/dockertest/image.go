//go:build linux

package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// Image makes the image name on the daemon at host, with nothing but a static program, which is its entry point, and
// returns its id. program is the folder of the program's source, relative to the test's. changes are instructions of a
// Dockerfile, for example "ENV V=2". Each call makes another id.
func Image(t testing.TB, host, name, program string, changes ...string) string {
	t.Helper()
	id, err := makeImage(host, name, program, changes)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func makeImage(host, name, program string, changes []string) (string, error) {
	layer, entry, err := Layer(program)
	if err != nil {
		return "", err
	}
	api, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		return "", err
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	from := image.ImportSource{Source: bytes.NewReader(layer), SourceName: "-"}
	changes = append([]string{fmt.Sprintf("ENTRYPOINT [%q]", entry)}, changes...)
	out, err := api.ImageImport(ctx, from, name, image.ImportOptions{Changes: changes})
	if err != nil {
		return "", fmt.Errorf("make image %s: %w", name, err)
	}
	defer out.Close()
	if _, err := io.Copy(io.Discard, out); err != nil {
		return "", fmt.Errorf("make image %s: %w", name, err)
	}
	made, err := api.ImageInspect(ctx, name)
	if err != nil {
		return "", fmt.Errorf("make image %s: %w", name, err)
	}
	return made.ID, nil
}

// layers are those of programs, by folder: each is built once.
var layers = struct {
	mu  sync.Mutex
	all map[string][]byte
}{all: map[string][]byte{}}

// Layer builds the program whose source is in a folder, and returns a layer with it alone, and its path in there.
func Layer(program string) (layer []byte, entry string, err error) {
	folder, err := filepath.Abs(program)
	if err != nil {
		return nil, "", err
	}
	name := filepath.Base(folder)
	layers.mu.Lock()
	defer layers.mu.Unlock()
	if layer, ok := layers.all[folder]; ok {
		return layer, "/" + name, nil
	}
	dir, err := os.MkdirTemp("", "bi")
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, name), ".")
	build.Dir, build.Env = folder, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("build %s: %w: %s", folder, err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, "", err
	}
	layers.all[folder] = archive(name, 0o755, data)
	return layers.all[folder], "/" + name, nil
}

// archive is a tar with one file.
func archive(name string, mode int64, data []byte) []byte {
	var all bytes.Buffer
	w := tar.NewWriter(&all) // writes to memory do not fail
	_ = w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Typeflag: tar.TypeReg})
	_, _ = w.Write(data)
	_ = w.Close()
	return all.Bytes()
}
