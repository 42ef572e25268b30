package update

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// firstStart is how long an action waits for the first start of what it starts. The supervisor goes on after it.
const firstStart = 30 * time.Second

// errand is what a person does to services, in the goroutine of Run.
type errand struct {
	do   func(ctx context.Context) error
	done chan error // has room for one value
}

// StartService does what a person asks for, as StopService and RestartService: one after the other, and not while an
// update runs (masterapi.ErrBusy) or this master ends (masterapi.ErrEnding). They return when it is done, also when ctx
// has ended meanwhile. Other errors are those of service.Manager.
func (u *Updater) StartService(ctx context.Context, name string) error {
	return u.act(ctx, func(ctx context.Context) error { return u.app.StartService(ctx, name) })
}

// StopService is described at StartService.
func (u *Updater) StopService(ctx context.Context, name string, by masterapi.By) error {
	return u.act(ctx, func(context.Context) error { return u.app.StopService(name, by) })
}

// RestartService is described at StartService.
func (u *Updater) RestartService(ctx context.Context, name string) error {
	return u.act(ctx, func(ctx context.Context) error { return u.app.RestartService(ctx, name) })
}

func (u *Updater) act(ctx context.Context, do func(context.Context) error) error {
	if err := u.take(ctx, true); err != nil {
		return err
	}
	a := errand{done: make(chan error, 1), do: func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, firstStart, errFirstStart)
		defer cancel()
		err := do(ctx)
		if err != nil && errors.Is(context.Cause(ctx), errFirstStart) {
			return errFirstStart
		}
		return err
	}}
	u.errands <- a
	select {
	case err := <-a.done:
		return err
	case <-u.ended:
	}
	select { // the last thing that Run has done
	case err := <-a.done:
		return err
	default:
		return masterapi.ErrEnding
	}
}

var errFirstStart = fmt.Errorf("it has not started within %s; it is tried further, and inspect shows how it goes",
	firstStart)

// take keeps others from changing services until release, when nobody does now, or else waits for that. ErrBusy: an
// update runs, which nobody waits for, or ctx has ended.
func (u *Updater) take(ctx context.Context, wait bool) error {
	select {
	case <-u.free:
		return nil
	default:
	}
	if !wait || u.updating.Load() {
		return masterapi.ErrBusy
	}
	select {
	case <-u.free:
		return nil
	case <-ctx.Done():
		return masterapi.ErrBusy
	case <-u.ended:
		return masterapi.ErrEnding
	}
}

// release ends what take has begun.
func (u *Updater) release() {
	u.updating.Store(false)
	u.free <- struct{}{}
}
