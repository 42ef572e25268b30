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

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"

	"github.com/baetyl/baetyl/utils/log"
)

// When an image is pulled.
const (
	PullMissing = "missing" // when it is not there
	PullAlways  = "always"  // before each start of its service; when that fails, the local image is used
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

// pull pulls the image if policy demands it.
func (e *Engine) pull(ctx context.Context, name, policy string) error {
	name = strings.TrimSpace(name)
	here, err := e.hasImage(ctx, name)
	if err != nil {
		return err
	}
	if here && policy != PullAlways {
		return nil
	}
	if policy == PullNever {
		return fmt.Errorf("image %s is not here, and docker.pull.policy is never: load or build it", name)
	}
	set := e.settings.Load()
	select {
	case set.pulls <- struct{}{}:
		defer func() { <-set.pulls }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err = e.download(ctx, name, set.pull.Timeout)
	if err != nil && here && ctx.Err() == nil {
		e.opts.Log.WithError(err).Warnf("image %s could not be pulled; the local one is used", name)
		return nil
	}
	return err
}

func (e *Engine) hasImage(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := e.api.ImageInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for image %s: %w", name, err)
	}
	return true, nil
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
