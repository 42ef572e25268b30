//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/utils/log"
	statefile "github.com/baetyl/baetyl/utils/state"
)

// images says what the names of images mean. A name is looked up once: when an update takes it, or when nothing is
// recorded of it. From then on containers are made of the id.
type images struct {
	file statefile.File[engine.Images]

	mu       sync.Mutex // guards what follows
	now      engine.Images
	trying   bool            // now is that of an update that is not committed: it is not written
	told     map[string]bool // names that a container has said the meaning of, while now is unsure
	resolved map[string]bool // ids that an update has looked up and may use next
}

var _ engine.Imager = (*Engine)(nil)

// Use sets what names mean from now on.
func (e *Engine) Use(now engine.Images, trying bool) {
	e.images.mu.Lock()
	defer e.images.mu.Unlock()
	e.images.now, e.images.trying, e.images.told = now, trying, map[string]bool{}
	if !trying {
		e.images.resolved = map[string]bool{}
	}
}

// Images returns what names mean, as far as that is known.
func (e *Engine) Images() engine.Images {
	e.images.mu.Lock()
	defer e.images.mu.Unlock()
	out := e.images.now
	out.Running, out.Previous = maps.Clone(out.Running), maps.Clone(out.Previous)
	return out
}

// Resolve returns what a name means now, or was as long as that is to be had. It pulls the image as docker.pull.policy
// says.
func (e *Engine) Resolve(ctx context.Context, name string, was engine.Image) (engine.Image, error) {
	if err := e.ping(ctx); err != nil {
		return engine.Image{}, err
	}
	i, err := e.again(ctx, was)
	if err != nil && notThere(err) {
		if was.ID != "" {
			e.opts.Log.Warnf("image %s (%s) is not to be had any more: what its name means now is taken", name,
				short(bare(was.ID)))
		}
		i, err = e.fetch(ctx, strings.TrimSpace(name), e.settings.Load().Pull.Policy)
	}
	if err != nil {
		return engine.Image{}, e.judge(ctx, err)
	}
	e.images.mu.Lock()
	defer e.images.mu.Unlock()
	if e.images.resolved == nil {
		e.images.resolved = map[string]bool{}
	}
	e.images.resolved[i.ID] = true
	return i, nil
}

// again returns an image that a name once meant. errOther: there is none.
func (e *Engine) again(ctx context.Context, was engine.Image) (engine.Image, error) {
	if was.ID == "" {
		return was, errOther
	}
	if _, here, err := e.findImage(ctx, was.ID); err != nil || here {
		return was, err
	}
	return e.pullAgain(ctx, was, e.settings.Load().Pull.Policy)
}

// imageID returns the id of the image that the containers of a service are made of, and sees to it that it is here.
// That is the recorded one, also when its name means another one by now. One that is gone is pulled again, if possible
// as exactly that.
func (e *Engine) imageID(ctx context.Context, s engine.Service) (string, error) {
	name := strings.TrimSpace(s.Image)
	policy := e.settings.Load().Pull.Policy
	if policy == PullAlways { // an update has pulled it; a start alone changes nothing
		policy = PullMissing
	}
	was := e.Images().Running[s.Image]
	if was.ID != "" {
		if _, here, err := e.findImage(ctx, was.ID); err != nil || here {
			return was.ID, err
		}
		e.opts.Log.WithField(log.KeyService, s.Name).
			Warnf("image %s (%s) is gone from the docker daemon", name, short(bare(was.ID)))
		if i, err := e.pullAgain(ctx, was, policy); err == nil {
			return i.ID, nil
		} else if !notThere(err) { // the registry is away, or full is the disk: no reason to run another image
			return "", err
		}
	}
	i, err := e.fetch(ctx, name, policy)
	if err != nil && was.ID != "" && was.Digest == "" {
		const text = "image %s (%s) was loaded or built on this device, and is gone: " +
			"load or build it again, or update to another one: %w"
		return "", fmt.Errorf(text, name, short(bare(was.ID)), err)
	}
	if err != nil {
		return "", err
	}
	if was.ID != "" && was.ID != i.ID {
		e.opts.Log.WithField(log.KeyService, s.Name).Warnf(
			"image %s is not what it was: the service starts with %s in place of %s, which cannot be had any more",
			name, short(bare(i.ID)), short(bare(was.ID)))
	}
	if was != i {
		e.learn(s.Image, i)
	}
	return i.ID, nil
}

// errOther says that an image is not to be had any more as exactly that. notThere tells so of errors.
var errOther = errors.New("the image that the service had is not to be had any more")

// pullAgain pulls an image that is gone by its digest.
func (e *Engine) pullAgain(ctx context.Context, was engine.Image, policy string) (engine.Image, error) {
	if was.Digest == "" || policy == PullNever {
		return engine.Image{}, errOther
	}
	i, err := e.fetch(ctx, was.Digest, PullMissing)
	if err == nil && i.ID != was.ID {
		err = fmt.Errorf("%w: %s is %s", errOther, was.Digest, i.ID)
	}
	return i, err
}

// notThereWords are those of registries and of daemons; the last of podman, where the registry has none.
var notThereWords = []string{
	"manifest unknown", "unknown blob", "blob unknown", "not found", "HTTP 404", "StatusCode: 404",
}

// notThere tells whether a registry says that it has no such image. A daemon gives its words on as text. One that has
// kept the manifest misses the blob.
func notThere(err error) bool {
	return errors.Is(err, errOther) || errdefs.IsNotFound(err) ||
		slices.ContainsFunc(notThereWords, func(words string) bool { return strings.Contains(err.Error(), words) })
}

// adopts tells whether a container may go on that was made of the image with that id.
func (e *Engine) adopts(s engine.Service, id string) bool {
	now := e.Images()
	is := now.Running[s.Image].ID
	return is == "" || is == id || now.Unsure
}

// adopted learns from a container what a name means, where that is not certain otherwise.
func (e *Engine) adopted(ctx context.Context, s engine.Service, id string) {
	e.images.mu.Lock()
	is := e.images.now.Running[s.Image].ID
	known := is == id || is != "" && !e.images.now.Unsure || e.images.told[s.Image]
	if !known {
		if e.images.told == nil {
			e.images.told = map[string]bool{}
		}
		e.images.told[s.Image] = true
	}
	e.images.mu.Unlock()
	if known {
		return
	}
	i := engine.Image{ID: id}
	if found, here, err := e.findImage(ctx, id); err == nil && here {
		i.Digest = found.digestOf(s.Image)
	}
	e.opts.Log.WithField(log.KeyService, s.Name).
		Infof("image %s is %s, as in the container that runs", strings.TrimSpace(s.Image), short(bare(id)))
	e.learn(s.Image, i)
}

// learn records what a name means.
func (e *Engine) learn(name string, i engine.Image) {
	e.images.mu.Lock()
	defer e.images.mu.Unlock()
	e.images.now.Running = maps.Clone(e.images.now.Running)
	if e.images.now.Running == nil {
		e.images.now.Running = map[string]engine.Image{}
	}
	e.images.now.Running[name] = i
	if e.images.trying {
		return
	}
	if err := e.images.file.Save(e.images.now); err != nil {
		e.opts.Log.WithError(err).Warnf("the next start of the master looks up again what image %s means", name)
	}
}

// found is an image of the daemon.
type found struct {
	id      string
	digests []string // repository@sha256:…
}

// findImage looks for an image by id, name or digest.
func (e *Engine) findImage(ctx context.Context, ref string) (f found, here bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	i, err := e.api.ImageInspect(ctx, ref)
	if errdefs.IsNotFound(err) {
		return f, false, nil
	}
	if err != nil {
		return f, false, fmt.Errorf("look for image %s: %w", ref, err)
	}
	return found{i.ID, i.RepoDigests}, true, nil
}

// digestOf returns the digest that the registry of name has for the image; empty when it has none.
func (f found) digestOf(name string) string {
	named, err := reference.ParseNormalizedNamed(strings.TrimSpace(name))
	if err != nil {
		return ""
	}
	for _, d := range f.digests {
		if other, err := reference.ParseNormalizedNamed(d); err == nil && other.Name() == named.Name() {
			return d
		}
	}
	return ""
}

// bare is an id without its algorithm, as people see it.
func bare(id string) string { return strings.TrimPrefix(id, "sha256:") }

// sameName tells whether two names of images are one, written in full or not.
func sameName(a, b string) bool {
	x, err := reference.ParseDockerRef(a)
	y, err2 := reference.ParseDockerRef(b)
	return err == nil && err2 == nil && x.String() == y.String()
}
