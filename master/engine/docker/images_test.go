//go:build linux

package docker_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/master/engine/enginetest"
)

// store is a registry for images that run as the image of the tests does.
type store struct {
	*dockertest.R
	t *testing.T
}

func newStore(t *testing.T) store {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	return store{dockertest.Registry(t, dockertest.RegistryOptions{}), t}
}

// push adds an image, another one for each registry and mark, and lets tag mean it. It returns its name.
func (s store) push(tag, mark string) string {
	s.AddProgram(s.t, "engine/test:"+tag, "./testdata/actor", fmt.Sprintf(`"Labels":{"mark":%q}`, s.Host()+" "+mark))
	return s.Host() + "/engine/test:" + tag
}

// forget makes the registry answer that there is nothing, as after a clean-up there.
func (s store) forget() {
	s.Fail(func(r *http.Request) int {
		if r.URL.Path == "/v2/" { // the registry itself is there
			return 0
		}
		return http.StatusNotFound
	})
}

// always makes the bench pull before each update.
func (b *bench) always() {
	b.Set(docker.Settings{Pull: docker.Pull{Policy: docker.PullAlways, Timeout: time.Minute, Parallel: 2}})
}

// take does what an update does that takes what a name means now.
func (b *bench) take(t *testing.T, name string) engine.Image {
	t.Helper()
	i, err := b.Resolve(t.Context(), name, engine.Image{})
	require.NoError(t, err)
	b.dropAtEnd(t, i.ID)
	b.Use(engine.Images{Running: map[string]engine.Image{name: i}}, false)
	return i
}

func (b *bench) dropAtEnd(t *testing.T, id string) {
	t.Cleanup(func() {
		_, _ = b.api.ImageRemove(context.Background(), id, image.RemoveOptions{Force: true, PruneChildren: true})
	})
}

// drop removes an image, as `docker system prune -a` does.
func (b *bench) drop(t *testing.T, id string) {
	t.Helper()
	_, err := b.api.ImageRemove(t.Context(), id, image.RemoveOptions{Force: true, PruneChildren: true})
	require.NoError(t, err)
	b.absent(t, id)
}

func (b *bench) absent(t *testing.T, id string) {
	t.Helper()
	_, err := b.api.ImageInspect(t.Context(), id)
	require.Error(t, err, "the image is there")
}

// runOnce starts the service and stops it, and returns the image that it ran.
func (b *bench) runOnce(t *testing.T, s engine.Service) string {
	t.Helper()
	box, err := b.Open(t.Context(), s)
	require.NoError(t, err)
	defer box.Close()
	i, err := box.Start(t.Context(), engine.Spec{Name: s.Name})
	require.NoError(t, err)
	c, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
	require.NoError(t, err)
	require.Equal(t, s.Image, c.Config.Labels["baetyl.image"])
	i.Stop(t.Context())
	return c.Image
}

// A tag that moves changes nothing but by an update, and the image that a service had comes back as exactly that.
func TestRecordedImage(t *testing.T) {
	b := newBench(t)
	b.always()
	registry := newStore(t)
	s := service("t-recorded", "run")
	s.Image = registry.push("1", "good")
	good := b.take(t, s.Image)
	require.Equal(t, good.ID, b.runOnce(t, s))

	registry.push("1", "bad")
	require.Equal(t, good.ID, b.runOnce(t, s), "a start pulls nothing new")
	bad := b.take(t, s.Image)
	require.NotEqual(t, good.ID, bad.ID)
	require.Equal(t, bad.ID, b.runOnce(t, s))

	b.Use(engine.Images{Running: map[string]engine.Image{s.Image: good}}, false) // the rollback
	require.Equal(t, good.ID, b.runOnce(t, s), "the tag means the bad one, also here")

	b.drop(t, good.ID)
	require.Equal(t, good.ID, b.runOnce(t, s), "it is pulled by its digest")

	b.drop(t, good.ID)
	registry.Fail(func(*http.Request) int { return http.StatusServiceUnavailable })
	box, err := b.Open(t.Context(), s)
	require.NoError(t, err)
	_, err = box.Start(t.Context(), engine.Spec{Name: s.Name})
	require.ErrorContains(t, err, "pull image "+good.Digest, "no reason to run another image")
	require.NoError(t, box.Close())
	registry.forget()
	require.Equal(t, bad.ID, b.runOnce(t, s))
	require.Contains(t, b.log.String(), "is not what it was")
	require.Equal(t, bad.ID, b.Images().Running[s.Image].ID)
}

// A digest in application.yml means one image.
func TestImageByDigest(t *testing.T) {
	b := newBench(t)
	b.always()
	registry := newStore(t)
	s := service("t-digest", "run")
	first := b.take(t, registry.push("1", "first"))
	registry.push("1", "second")
	s.Image = first.Digest
	require.Equal(t, first, b.take(t, s.Image))
	require.Equal(t, first.ID, b.runOnce(t, s))
}

// An image that was loaded on the device and is gone is an error that says what to do.
func TestLoadedImageIsGone(t *testing.T) {
	b := newBench(t)
	s := service("t-loaded", "run")
	s.Image = "localhost:1/loaded:latest"
	gone := engine.Image{ID: "sha256:" + strings.Repeat("a", 64)}
	b.Use(engine.Images{Running: map[string]engine.Image{s.Image: gone}}, false)
	box, err := b.Open(t.Context(), s)
	require.NoError(t, err)
	defer box.Close()
	_, err = box.Start(t.Context(), engine.Spec{Name: s.Name})
	require.ErrorContains(t, err, "load or build it again")
}

// A container of an earlier master is adopted when its image is the recorded one. Where nothing certain is recorded
// the container says what the name means, and that is recorded.
func TestImageOfAnAdoptedContainer(t *testing.T) {
	adopt := func(t *testing.T, name string, images engine.Images) (*bench, error) {
		b := newBench(t)
		s := service("t-adopted-"+name, "run")
		i := b.start(t, s)
		next := newMaster(t, b.api, b.dir)
		require.NoError(t, os.RemoveAll(filepath.Join(b.dir, engine.ImagesFile)))
		next.Use(images, false)
		r := i.Record()
		require.NoError(t, next.Reap(t.Context(), []engine.Record{r}, []engine.Record{r}))
		box, err := next.Open(t.Context(), s)
		require.NoError(t, err)
		t.Cleanup(func() { _ = box.Close() })
		_, err = box.Adopt(t.Context(), engine.Spec{Name: s.Name, Handle: r.Handle}, r)
		if err == nil {
			requireRunning(t, i, "it was ended")
			require.Equal(t, r.ImageID, next.Images().Running[testImage].ID)
		} else {
			enginetest.Ended(t, i)
		}
		return next, err
	}
	other := map[string]engine.Image{testImage: {ID: "sha256:0"}}
	_, err := adopt(t, "other", engine.Images{Running: other})
	require.ErrorIs(t, err, engine.ErrGone)
	for name, images := range map[string]engine.Images{
		"empty": {}, "unsure": {Unsure: true}, "wrong": {Unsure: true, Running: other},
	} {
		b, err := adopt(t, name, images)
		require.NoError(t, err)
		require.FileExists(t, filepath.Join(b.dir, engine.ImagesFile))
	}
}

// A revert takes the image of then: without the registry while it is here, by its digest when it is gone, and what the
// name means now when nobody has it any more.
func TestResolveTakesTheImageOfThen(t *testing.T) {
	b := newBench(t)
	b.always()
	registry := newStore(t)
	name := registry.push("1", "then")
	then := b.take(t, name)
	registry.push("1", "now")
	now := b.take(t, name)
	require.NotEqual(t, then.ID, now.ID)
	found, err := b.Resolve(t.Context(), name, then)
	require.NoError(t, err)
	require.Equal(t, then, found)
	registry.Fail(func(*http.Request) int { return http.StatusServiceUnavailable })
	found, err = b.Resolve(t.Context(), name, then)
	require.NoError(t, err)
	require.Equal(t, then, found, "nobody is asked for what is here")
	registry.Fail(func(*http.Request) int { return 0 })
	b.drop(t, then.ID)
	found, err = b.Resolve(t.Context(), name, then)
	require.NoError(t, err)
	require.Equal(t, then.ID, found.ID, "it was pulled by its digest")
	b.drop(t, then.ID)
	found, err = b.Resolve(t.Context(), name, engine.Image{ID: then.ID})
	require.NoError(t, err)
	require.Equal(t, now.ID, found.ID, "it was loaded here, and is gone")
}
