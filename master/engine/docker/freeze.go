//go:build unix

package docker

import (
	"context"
	"fmt"
)

// Freeze pauses the container.
func (i *instance) Freeze(ctx context.Context) error {
	err := i.engine.api.ContainerPause(ctx, i.id)
	if err == nil || i.paused(ctx, true) {
		return nil
	}
	return fmt.Errorf("pause container %s: %w", short(i.id), err)
}

// Thaw continues the container. One that a daemon which does not answer leaves paused is continued by Run, as one that
// another client has paused.
func (i *instance) Thaw(ctx context.Context) error {
	err := i.engine.api.ContainerUnpause(ctx, i.id)
	if err == nil || i.paused(ctx, false) {
		return nil
	}
	return fmt.Errorf("continue container %s: %w", short(i.id), err)
}

// paused tells whether the container is as it was to be after a request that failed: daemons have several errors for
// one that is so already. One that does not run is paused, and is not.
func (i *instance) paused(ctx context.Context, want bool) bool {
	select {
	case <-i.ended:
		return true
	default:
	}
	c, err := i.engine.api.ContainerInspect(ctx, i.id)
	return err == nil && (!c.State.Running || c.State.Paused == want)
}
