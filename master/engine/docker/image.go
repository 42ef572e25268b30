//go:build unix

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/docker/api/types/image"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/utils/log"
)

// When an image is pulled.
const (
	PullMissing = "missing" // when it is not there
	PullAlways  = "always"  // before each update that names it; when that fails, the local image is used
	PullNever   = "never"
)

// Pull says when and how images are pulled.
type Pull struct {
	Policy   string        // PullMissing, PullAlways or PullNever
	Timeout  time.Duration // for one image
	Parallel int           // at a time, of all services
}

// progressInterval is the time between lines of the log about one pull.
const progressInterval = 15 * time.Second

// fetch pulls the image if policy demands it, and returns what ref, a name or a digest, means then.
func (e *Engine) fetch(ctx context.Context, ref, policy string) (engine.Image, error) {
	f, here, err := e.findImage(ctx, ref)
	if err != nil {
		return engine.Image{}, err
	}
	local := engine.Image{ID: f.id, Digest: f.digestOf(ref)}
	if here && (policy != PullAlways || strings.Contains(ref, "@")) { // a digest means one image for ever
		return local, nil
	}
	if policy == PullNever {
		const text = "image %s is not here, and docker.pull.policy is never: load or build it"
		return engine.Image{}, fmt.Errorf(text, ref)
	}
	set := e.settings.Load()
	select {
	case set.pulls <- struct{}{}:
		defer func() { <-set.pulls }()
	case <-ctx.Done():
		return engine.Image{}, ctx.Err()
	}
	before, err := e.imageIDs(ctx)
	if err == nil {
		err = e.download(ctx, ref, set.Pull.Timeout)
	}
	if err == nil {
		if f, here, err = e.findImage(ctx, ref); err == nil && !here {
			err = fmt.Errorf("image %s was pulled, and is gone already", ref)
		}
		if err == nil {
			e.pulled.note(f.id, ref, before)
			return engine.Image{ID: f.id, Digest: f.digestOf(ref)}, nil
		}
	}
	if here && ctx.Err() == nil {
		e.opts.Log.WithError(err).Warnf("image %s could not be pulled; the local one is used", ref)
		return local, nil
	}
	return engine.Image{}, err
}

// imageIDs returns the images of the daemon, also those without a name.
func (e *Engine) imageIDs(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := e.api.ImageList(ctx, image.ListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	ids := map[string]bool{}
	for _, i := range list {
		ids[i.ID] = true
	}
	return ids, nil
}

func (e *Engine) download(ctx context.Context, name string, timeout time.Duration) error {
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	l := e.opts.Log.WithField("image", name)
	auth, err := credentials(bounded, name)
	if err != nil {
		l.WithField(log.KeyReason, err.Error()).
			Warnf("cannot read the credentials of the registry; the image is pulled without")
	}
	l.Infof("pulling image")
	body, err := e.api.ImagePull(bounded, name, image.PullOptions{RegistryAuth: auth})
	if err == nil {
		err = follow(body, func(done, total int64) {
			l.Infof("pulling image, %d of %d MB", done>>20, total>>20)
		})
		_ = body.Close()
	}
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		err = fmt.Errorf("not done after %s (docker.pull.timeout): %w", timeout, err)
	}
	if err != nil {
		return fmt.Errorf("pull image %s: %w", name, err)
	}
	l.Infof("image pulled in %s", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// message is one line of the progress of a pull.
type message struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Detail struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error string `json:"error"`
}

// follow reads the progress of a pull to its end, and returns the error that it ended with. report is called every
// progressInterval.
func follow(r io.Reader, report func(done, total int64)) error {
	type layer struct{ done, total int64 }
	layers := map[string]layer{}
	last := time.Now()
	in := json.NewDecoder(r)
	for {
		var m message
		if err := in.Decode(&m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
		if m.Status == "Downloading" && m.Detail.Total > 0 {
			layers[m.ID] = layer{m.Detail.Current, m.Detail.Total}
		}
		if m.Status == "Download complete" {
			layers[m.ID] = layer{layers[m.ID].total, layers[m.ID].total}
		}
		if time.Since(last) < progressInterval || len(layers) == 0 {
			continue
		}
		last = time.Now()
		var done, total int64
		for _, l := range layers {
			done, total = done+l.done, total+l.total
		}
		report(done, total)
	}
}
