package update

import (
	"context"
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// start runs the application on disk, after whatever an earlier process has left. Whatever is wrong with it, the
// master stays up and says so; an error means that this binary was a candidate and is not wanted.
func (u *Updater) start(ctx context.Context) error {
	u.app.Reap(ctx)
	if err := errors.Join(u.files.tidy(), u.records.Tidy()); err != nil {
		u.log.WithError(err).Warnf("what a write has left that was cut off stays")
	}
	c, data := &app.Config{}, []byte(nil)
	err := u.recover(u.opts.Ready != nil)
	if err == nil {
		c, data, err = u.files.load(u.files.app())
	}
	u.app.Note(err)
	u.app.Start(ctx, c, data)
	if ctx.Err() != nil {
		return nil
	}
	if u.opts.Ready != nil {
		if err := u.opts.Ready(ctx); err != nil {
			return err
		}
	}
	u.settle()
	return nil
}

// recover takes the steps of the table restarts until the application can be started. An error means that it must not
// be started: which one it is, is not known.
func (d disk) recover(candidate bool) error {
	for range restarts { // no way through the table is longer
		f, state, err := d.look()
		if err != nil {
			d.log.WithError(err).Errorf("how the last update went is not known")
		}
		do := restarts[state].do
		switch {
		case do == nothing || do == end || do == forget:
			return nil
		case candidate && (do == try || do == giveUp || do == discard): // that is this binary, and its parent decides
			return nil
		}
		d.log.WithField("state", string(state)).Warnf("an update was not finished: %s", do)
		err = d.act(do, f.update)
		switch {
		case err != nil && (do == putBack || do == setAside):
			return err
		case err != nil:
			d.log.WithError(err).Errorf("%s; the next start tries again", do)
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
			d.log.WithError(err).Warnf("a power cut now would start the new application once more")
			return nil
		}
		return err
	case setAside:
		return d.files.setAside()
	case discard:
		return d.program.Discard()
	case giveUp:
		return d.giveUp(u, fmt.Errorf("try new master: started %d times without becoming ready", u.Starts))
	case try: // has its chance before: see Try
		return d.giveUp(u, errors.New("try new master: it could not be started"))
	}
	return nil
}

// settle ends an update that an earlier process has begun, as the table restarts says.
func (u *Updater) settle() {
	for range restarts {
		f, state, err := u.look()
		if err != nil {
			u.log.WithError(err).Errorf("how the last update went is not known")
		}
		final := restarts[state].final
		if u.opts.Ready != nil && f.update.Type != "" && !f.ended {
			final = masterapi.StepUpdated // the parent has put this program in place, whatever else the disk says
		}
		switch {
		case restarts[state].do == forget:
			if f.reason != "" {
				u.note(errors.New(f.reason))
			}
			if err := u.records.Forget(); err != nil {
				u.log.WithError(err).Errorf("%s; the next start tries again", forget)
				return
			}
			continue // the log may go on with another update
		case final == masterapi.StepUpdated:
			u.end(f.update, final, nil)
		case final != "":
			err := fmt.Errorf("update of type %s: %w", f.update.Type, f.cause())
			u.note(err)
			u.end(f.update, final, err)
		}
		return
	}
}

// note shows why an update failed, beside what is wrong with the application itself.
func (u *Updater) note(err error) {
	if broken := u.app.Failure(); broken != "" {
		err = errors.Join(err, errors.New(broken))
	}
	u.app.Note(err)
}

// cause is why an update that an earlier process has begun is put back.
func (f facts) cause() error {
	if f.update.Failed != "" {
		return errors.New(f.update.Failed)
	}
	return errors.New("the master ended before the update had; what was before is put back")
}
