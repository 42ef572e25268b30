package application

import (
	"context"
	"fmt"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
)

// HasImages tells whether services are images. Otherwise the methods here do nothing.
func (a *Application) HasImages() bool {
	_, ok := a.opts.Engine.(engine.Imager)
	return ok
}

// Resolve returns what the names of images in c mean now, pulled as the engine does. Each name is looked up once. One
// that had a meaning in was keeps that, if such an image is to be had.
func (a *Application) Resolve(
	ctx context.Context, c *app.Config, was map[string]engine.Image,
) (map[string]engine.Image, error) {
	e, ok := a.opts.Engine.(engine.Imager)
	if !ok {
		return nil, nil
	}
	found := map[string]engine.Image{}
	for _, s := range c.Services {
		if _, ok := found[s.Image]; ok {
			continue
		}
		i, err := e.Resolve(ctx, s.Image, was[s.Image])
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
		found[s.Image] = i
	}
	return found, nil
}

// Images returns what names mean, as far as that is known.
func (a *Application) Images() engine.Images {
	if e, ok := a.opts.Engine.(engine.Imager); ok {
		return e.Images()
	}
	return engine.Images{}
}

// UseImages sets what names mean from now on. trying: by an update that is not committed.
func (a *Application) UseImages(now engine.Images, trying bool) {
	if e, ok := a.opts.Engine.(engine.Imager); ok {
		e.Use(now, trying)
	}
}

// Next says which application an update is changing to; nil ends that. Nothing that it names is pruned meanwhile.
func (a *Application) Next(c *app.Config) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next = c
}

// Named returns what the running application names, the one that an update is changing to, the last good one, and kept
// ones.
func (a *Application) Named(kept ...*app.Config) engine.Named {
	a.mu.Lock()
	running, next, last, read := a.conf, a.next, a.last, len(a.data) > 0
	a.mu.Unlock()
	if !read {
		return engine.Named{}
	}
	networks, volumes := map[string]bool{app.DefaultNetwork: true}, map[string]bool{}
	for _, c := range append(kept, running, next, last) {
		if c == nil {
			continue
		}
		for _, s := range c.Services {
			for _, n := range s.Networks.Names() {
				networks[n] = true
			}
			for _, m := range s.Mounts {
				volumes[m.Name] = true
			}
		}
		for n := range c.Networks {
			networks[n] = true
		}
		for _, v := range c.Volumes {
			volumes[v.Name] = true
		}
	}
	if len(running.Services) == 0 { // a file that was emptied by mistake must not cost data
		volumes = nil
	}
	return engine.Named{Networks: networks, Volumes: volumes}
}
