package update

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// replace replaces the application by a, or leaves the old one running.
//
//	accepted ─► images, prepare ─► backup ─► swap ─► stop, start ─► healthy ─► remove backup: done
//	              │error             │       └ error, or the master ends ─► put the file back, stop, start
//	              ▼                  ▼
//	            nothing was touched
func (u *Updater) replace(ctx context.Context, a accepted) {
	undone, err := u.rollOut(ctx, a)
	u.app.Note(err)
	switch {
	case err == nil:
		u.finish(a.Update, len(a.data), masterapi.StepUpdated, nil)
		u.settleImages()
	case ctx.Err() != nil: // the next start runs what is whole, and says how it went
	case undone:
		u.finish(a.Update, len(a.data), masterapi.StepRolledBack, err)
	default:
		u.finish(a.Update, len(a.data), masterapi.StepFailure, err)
	}
}

// rollOut carries an update out. undone tells that after an error the old application runs again.
func (u *Updater) rollOut(ctx context.Context, a accepted) (undone bool, err error) {
	old, running := u.app.Current()
	u.app.Next(a.conf)
	defer u.app.Next(nil)
	before := u.app.Images()
	p, to, err := u.prepare(ctx, a, before)
	if err != nil {
		u.app.UseImages(before, false)
		return true, fmt.Errorf("update application: %w", err)
	}
	fault.At("prepared")
	if restored, err := u.files.swap(a.data, running, u.stage(to)); err != nil {
		u.app.UseImages(before, false)
		return restored, fmt.Errorf("update application: %w", err)
	}
	u.app.UseImages(to, true)
	if err = u.try(ctx, p, a.conf); err == nil {
		err = u.commit()
	}
	if err != nil {
		err = fmt.Errorf("update application to version %q (the old one is put back): %w", a.conf.Version, err)
		return u.undo(ctx, a, old, running, before, err)
	}
	u.app.UseImages(to, false)
	u.app.Set(a.conf, a.data)
	u.opts.Log.WithField("version", a.conf.Version).Infof("application updated")
	return false, nil
}

// prepare does what takes long, while the old application runs: images are resolved, and what the new services need is
// checked. An engine that is not available is waited for, until Options.Deadline is over.
func (u *Updater) prepare(
	ctx context.Context, a accepted, before engine.Images,
) (p application.Plan, to engine.Images, err error) {
	until := time.Now().Add(u.times.Load().deadline)
	for n := 0; ; n++ {
		p, to, err = u.plan(ctx, a, before)
		delay := engine.Again.Delay(n, 0)
		if !errors.Is(err, engine.ErrUnavailable) {
			return p, to, err
		}
		if time.Now().Add(delay).After(until) {
			return p, to, fmt.Errorf("%w: %w", errDeadline, err)
		}
		select {
		case <-ctx.Done():
			return p, to, errors.Join(ctx.Err(), err)
		case <-time.After(delay):
		}
	}
}

// plan returns what to do for a, and what the names of its images mean.
func (u *Updater) plan(
	ctx context.Context, a accepted, before engine.Images,
) (p application.Plan, to engine.Images, err error) {
	if u.app.HasImages() {
		u.progress.say("images are looked up, and pulled where they are missing")
	}
	images, err := u.app.Resolve(ctx, a.conf, a.images)
	if err != nil {
		return p, to, err
	}
	old, _ := u.app.Current()
	if p, err = application.DiffImages(old, a.conf, before.Running, images); err != nil {
		return p, to, err
	}
	return p, next(a.data, before, images), u.app.Prepare(ctx, p, a.conf)
}

// stage returns what writes the record of the images of an update; nil: the engine has none.
func (u *Updater) stage(to engine.Images) func() error {
	if !u.app.HasImages() {
		return nil
	}
	return func() error { return u.files.staged(u.log).Save(to) }
}

// try changes the services and waits until the new ones have stayed up. Options.Deadline begins here, when images have
// been pulled already.
func (u *Updater) try(ctx context.Context, p application.Plan, to *app.Config) error {
	times := u.times.Load()
	ctx, cancel := context.WithTimeoutCause(ctx, times.deadline, errDeadline)
	defer cancel()
	err := u.app.Change(ctx, p, to, false)
	if err == nil {
		fault.At("started")
		u.progress.say(fmt.Sprintf("new services have to stay up for %s", times.healthy))
		err = u.app.AwaitHealthy(ctx, p, times.healthy)
	}
	if err != nil && errors.Is(context.Cause(ctx), errDeadline) && !errors.Is(err, errDeadline) {
		return fmt.Errorf("%w: %w", errDeadline, err)
	}
	if err == nil {
		fault.At("healthy")
	}
	return err
}

var errDeadline = errors.New("update.deadline is over")

// commit makes the new application the one that boots. What comes after can fail without harm.
func (u *Updater) commit() error {
	committed, err := u.files.commit()
	if !committed {
		return err
	}
	if err != nil {
		u.opts.Log.WithError(err).
			Warnf("the new application.yml is in place, but a power cut now could bring the old one back")
	}
	return nil
}

// undo puts the old application back, which was read from data, with the images before, because of cause. Its services
// may start later, when the engine is back; the new ones never do.
func (u *Updater) undo(
	ctx context.Context, a accepted, old *app.Config, data []byte, before engine.Images, cause error,
) (undone bool, err error) {
	u.step(a.Update, masterapi.StepRollingBack, "the update failed; the previous application is put back", cause)
	fault.At("rolling back")
	a.Failed = cause.Error()
	if err := u.records.Save(a.Update); err != nil { // a restart would roll back as well, without the reason
		u.opts.Log.WithError(err).Errorf("cannot record why the update failed; it is rolled back all the same")
	}
	restored, err := u.files.putBack()
	if !restored { // what is on disk must never be what has failed
		write := u.files.write(data)
		restored, err = write == nil, errors.Join(err, write)
	}
	if err != nil {
		cause = errors.Join(cause, err)
	}
	fault.At("file put back")
	if ctx.Err() != nil {
		return false, cause // the next start runs it
	}
	tried := u.app.Images().Running
	u.app.UseImages(before, false)
	back, err := application.DiffImages(a.conf, old, tried, before.Running)
	if err != nil {
		return false, errors.Join(cause, err)
	}
	// A service that cannot start now must not keep the others of the old application down.
	if err := u.app.Change(ctx, back, old, true); err != nil {
		return false, errors.Join(cause, err)
	}
	fault.At("services put back")
	return restored, cause
}
