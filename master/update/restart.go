package update

import (
	"context"
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// start finishes what an earlier process has left, and runs the application on disk. Whatever is wrong with the
// application, the master stays up and shows it in inspect. An error is ErrRejected.
func (u *Updater) start(ctx context.Context) error {
	if err := errors.Join(u.files.tidy(), u.records.Tidy(), u.app.Tidy()); err != nil {
		u.log.WithError(err).Warnf("cannot remove temporary files of an interrupted write; the next start tries again")
	}
	pending, _ := u.records.Pending() // an error shows again below
	sum := ""
	if pending != nil {
		sum = pending.SHA256
	}
	u.history.Open(sum)
	u.progress.load(u.opts.OTALog)
	c, data, err := u.toStart(ctx.Err() != nil)
	u.app.Note(err)
	for _, w := range u.opts.Rules(c) { // a version before has accepted it
		u.log.Warnf("application: %s", w)
	}
	if u.app.HasImages() {
		u.app.UseImages(u.images(data), false)
	}
	u.app.Start(ctx, c, data)
	committed := false
	if u.opts.Ready != nil && ctx.Err() == nil {
		fault.At("candidate started")
		if err = u.opts.Ready(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("%w: %w", ErrRejected, err)
		}
		if committed = err == nil; committed {
			fault.At("candidate committed")
		}
	}
	if ctx.Err() != nil && !committed {
		if u.opts.Ready != nil && !u.opts.HasParent { // a parent of a version before does so itself
			u.uncount()
		}
		return nil
	}
	u.settle(committed)
	u.settleImages()
	u.found(c, data)
	return nil
}

// toStart returns the application to start, and what is wrong with the one on disk: then it is the last good one
// (application.Choose). A missing file is an empty application, but for services that an earlier master has left when
// it crashed: they are not ended because of a file. They go on until there is one, or an update. ending tells that this
// process ends at once.
func (u *Updater) toStart(ending bool) (c *app.Config, data []byte, err error) {
	if err = u.recover(u.opts.Ready != nil || ending); err != nil { // application.yml may be the old or the new one
		return application.Instead(u.files.disk, u.opts.Workdir, err)
	}
	u.restore()
	c, data, err = application.Choose(u.files.disk, u.opts.Workdir)
	if err != nil || data != nil || !u.app.Left() {
		return c, data, err
	}
	ran, was, none := application.ReadLast(u.files.disk, u.opts.Workdir)
	if none != nil || len(ran.Services) == 0 {
		return c, data, nil
	}
	return ran, was, fmt.Errorf("load application: %s is missing; the application that ran before goes on", u.files.app())
}

// restore puts back the last good application after an update that failed, when there is no backup any more.
func (u *Updater) restore() {
	f, state, err := u.readState()
	if err != nil || state != AppStuck {
		return
	}
	_, was, err := application.ReadLast(u.files.disk, u.opts.Workdir)
	if err != nil || digest(was) == f.update.SHA256 {
		return
	}
	u.log.WithField("state", string(state)).Warnf("the last update was interrupted; recovery: %s", restore)
	if err := u.files.write(was); err != nil {
		u.log.WithError(err).Errorf("cannot %s; the new one goes on", restore)
	}
}

// unknownOutcome is logged when files of the last update cannot be read.
const unknownOutcome = "cannot read what the last update left on disk; the master starts with what is readable"

// recover takes the steps of the table restarts until the application can be started. An error means that it must not
// be started, since application.yml may be the old or the new one. others tells that another process decides about a
// new master: this one is that, or ends at once.
func (d disk) recover(others bool) error {
	for range restarts { // no way through the table is longer
		f, state, err := d.readState()
		if err != nil {
			d.log.WithError(err).Errorf(unknownOutcome)
		}
		do := restarts[state].do
		switch {
		case do == nothing || do == end || do == forget || do == restore:
			return nil
		case others && (do == try || do == giveUp || do == discard):
			return nil
		}
		d.log.WithField("state", string(state)).Warnf("the last update was interrupted; recovery: %s", do)
		err = d.act(do, f.update)
		switch {
		case err != nil && (do == putBack || do == setAside):
			return err
		case err != nil:
			d.log.WithError(err).Errorf("cannot %s; the next start tries again", do)
			return nil
		}
	}
	return nil
}

// act takes one step.
func (d disk) act(do action, u ota.Update) error {
	switch do {
	case putBack:
		done, err := d.files.putBack()
		if done && err != nil {
			d.log.WithError(err).Warnf("application.yml is restored, but a power cut now could bring the new one back")
			return nil
		}
		return err
	case setAside:
		return d.files.setAside()
	case discard:
		return d.program.Discard()
	case giveUp:
		return d.giveUp(u, fmt.Errorf("try new master: started %d times without becoming ready", u.Starts))
	case try: // resume has run before, and has not given up the candidate
		return d.giveUp(u, fmt.Errorf("try new master: %w", errNoKeeper))
	}
	return nil
}

// settle ends an update that an earlier process has begun, as the table restarts says. committed tells that this
// program has been a candidate, and has been put in place.
func (u *Updater) settle(committed bool) {
	for range restarts {
		f, state, err := u.readState()
		if err != nil {
			u.log.WithError(err).Errorf(unknownOutcome)
		}
		final := restarts[state].final
		if committed && f.update.Type != "" && !f.ended {
			final = masterapi.StepUpdated // whatever else the disk says
		}
		switch {
		case restarts[state].do == forget:
			if f.reason != "" {
				u.note(errors.New(f.reason))
			}
			if err := u.records.Forget(); err != nil {
				u.log.WithError(err).Errorf("cannot %s; the next start tries again", forget)
				return
			}
			continue // the log may go on with another update
		case final == masterapi.StepUpdated && state != AppStuck:
			u.finish(f.update, 0, final, nil)
		case final != "":
			err := fmt.Errorf("update of type %s: %w", f.update.Type, f.cause())
			u.note(err)
			u.finish(f.update, 0, final, err)
		}
		return
	}
}

// note adds why an update failed to what inspect says about the application.
func (u *Updater) note(err error) {
	if broken := u.app.Failure(); broken != "" {
		err = errors.Join(err, errors.New(broken))
	}
	u.app.Note(err)
}

// cause is why an update that an earlier process has begun is rolled back.
func (f facts) cause() error {
	if f.update.Failed != "" {
		return errors.New(f.update.Failed)
	}
	return errors.New("the master ended before the update was complete; the previous version is restored")
}
