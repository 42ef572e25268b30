package update

import (
	"context"
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// start runs the application on disk, after whatever an earlier process has left. Whatever is wrong with it, the master stays up and
// says so; an error means that this binary was a candidate and is not wanted.
func (u *Updater) start(ctx context.Context) error {
	u.app.Reap(ctx)
	c, data := &app.Config{}, []byte(nil)
	err := u.recover(u.opts.Ready != nil)
	if err == nil {
		c, data, err = application.Load(u.files.app())
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

// recover takes the steps of the table restarts until the application can be started. An error means that it must not be started:
// which one it is, is not known.
func (d disk) recover(candidate bool) error {
	for range restarts { // no way through the table is longer
		f, state, err := d.look()
		if err != nil {
			d.log.WithError(err).Errorf("how the last update went is not known")
		}
		d.log.WithField("state", string(state)).Debugf("disk looked at")
		do := restarts[state].do
		if candidate && (do == try || do == giveUp || do == discard) {
			return nil // that is this binary, and its parent decides
		}
		err = nil
		switch do {
		case nothing, end:
			return nil
		case putBack:
			d.log.Warnf("an update was not finished; the application before it is put back")
			if done, err := d.files.putBack(); !done {
				return err
			} else if err != nil {
				d.log.WithError(err).Warnf("a power cut now would start the new application once more")
			}
		case setAside:
			d.log.Warnf("the backup of an unfinished update is damaged and is moved aside")
			if err := d.files.setAside(); err != nil {
				return err
			}
		case discard:
			err = d.program.Discard()
		case forget:
			err = d.records.Forget()
		case giveUp:
			err = d.giveUp(f.update, fmt.Errorf("try new master: started %d times without becoming ready", f.update.Starts))
		case try:
			err = d.giveUp(f.update, errors.New("try new master: it could not be started"))
		}
		if err != nil {
			d.log.WithError(err).Warnf("tidy up after an update")
			return nil
		}
	}
	return nil
}

// settle ends an update that an earlier process has begun, as the table restarts says.
func (u *Updater) settle() {
	f, state, err := u.look()
	if err != nil {
		u.log.WithError(err).Errorf("how the last update went is not known")
	}
	final := restarts[state].final
	if u.opts.Ready != nil && f.update.Type != "" && !f.ended {
		final = masterapi.StepUpdated // the parent has put this program in place, whatever else the disk says
	}
	switch final {
	case "":
	case masterapi.StepUpdated:
		u.end(f.update, final, nil)
	default:
		cause := errors.New("the master ended before the update had; what was before is put back")
		if f.update.Failed != "" {
			cause = errors.New(f.update.Failed)
		}
		err := fmt.Errorf("update of type %s: %w", f.update.Type, cause)
		if broken := u.app.Failure(); broken == "" {
			u.app.Note(err)
		} else {
			u.app.Note(errors.Join(err, errors.New(broken)))
		}
		u.end(f.update, final, err)
	}
}
