package update

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
)

// accepted is an update that has been checked and written down, and waits to be carried out.
type accepted struct {
	ota.Update
	conf *app.Config // of an application
	data []byte      // of its file

	images map[string]engine.Image // what names have to mean, of a revert, as far as those images are to be had
}

// Request checks r and hands it over; masterapi.ErrBusy when another update runs, masterapi.ErrRefused when r is
// wrong; any other error is one of this device, as a full disk. The new application, or binary, takes over in the
// background, since the caller may be one of the services that the update stops.
func (u *Updater) Request(r masterapi.UpdateRequest, by masterapi.By) error {
	return u.begin(func() (accepted, error) {
		a := accepted{Update: ota.Update{Type: cmp.Or(r.Type, masterapi.UpdateApp), Trace: r.Trace, By: by}}
		switch a.Type {
		case masterapi.UpdateApp:
			c, err := u.candidate(r.Application, cmp.Or(r.Path, r.File))
			if err != nil {
				return a, err
			}
			return a, u.acceptApp(c, r, &a)
		case masterapi.UpdateMaster:
			return a, u.acceptMaster(r, &a)
		}
		return a, refuse(fmt.Errorf("type %q is not %s or %s", r.Type, masterapi.UpdateApp, masterapi.UpdateMaster))
	})
}

// Revert begins an update to an application that has run before (history). It asks nobody outside of the device: images
// are those that the application had, as long as they are here. Errors are those of Request.
func (u *Updater) Revert(r masterapi.RevertRequest, by masterapi.By) (out masterapi.Reverted, err error) {
	err = u.begin(func() (accepted, error) {
		a := accepted{Update: ota.Update{Type: masterapi.UpdateApp, Trace: r.Trace, By: by}}
		e, err := u.history.Get(r.Number)
		if err != nil {
			return a, refuse(err)
		}
		out = masterapi.Reverted{Number: e.Number, Version: e.Version}
		if u.history.Running(e) {
			return a, refuse(fmt.Errorf("application %d runs already", e.Number))
		}
		data, err := u.history.Text(e)
		if err != nil {
			return a, refuse(err)
		}
		a.Revert, a.images = e.Number, e.Images
		name := fmt.Sprintf("application %d of the history", e.Number)
		return a, u.acceptApp(candidate{name, data}, masterapi.UpdateRequest{Force: r.Force}, &a)
	})
	return out, err
}

// begin lets accept check an update and hands it over. When it is refused, nothing was written.
func (u *Updater) begin(accept func() (accepted, error)) error {
	if err := u.take(context.Background(), false); err != nil {
		return err
	}
	u.updating.Store(true)
	a, err := accept()
	if err == nil {
		a.Began = time.Now().UTC()
		if err = u.records.Begin(a.Update); err != nil {
			err = errors.Join(err, u.program.Discard())
		}
	}
	if err != nil {
		u.release()
		return err
	}
	u.logOf(a.Update).WithField("by", a.By.String()).Infof("update accepted")
	u.accepted <- a
	return nil
}

// refuse marks an error of the candidate, as opposed to one of this device.
func refuse(err error) error { return fmt.Errorf("%w: %w", masterapi.ErrRefused, err) }

// candidate is an application.yml, and where it comes from, for messages.
type candidate struct {
	name string
	data []byte
}

// candidate returns the application that stands in text, or at path.
func (u *Updater) candidate(text, path string) (candidate, error) {
	switch {
	case text != "" && path != "":
		return candidate{}, refuse(errors.New("application and path: give one of them"))
	case text != "":
		return candidate{"application", []byte(text)}, nil
	}
	f, name, err := u.files.open(path, filepath.Base(application.File))
	if err != nil {
		return candidate{}, refuse(fmt.Errorf("path: %w", err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, conf.MaxSize+1))
	return candidate{name, data}, err
}

// parse reads an application.
func parse(c candidate) (*app.Config, error) {
	if len(c.data) > conf.MaxSize {
		return nil, refuse(fmt.Errorf("%s: larger than %d bytes", c.name, conf.MaxSize))
	}
	out, err := app.Parse(c.name, c.data)
	if err != nil {
		return nil, refuse(err)
	}
	return out, nil
}

func (u *Updater) acceptApp(c candidate, r masterapi.UpdateRequest, a *accepted) (err error) {
	a.data = c.data
	if a.conf, err = parse(c); err != nil {
		return err
	}
	if broken := u.opts.Rules(a.conf); len(broken) > 0 {
		return refuse(fmt.Errorf("%s: %s", c.name, strings.Join(broken, "; ")))
	}
	a.SHA256, a.Version = digest(a.data), a.conf.Version
	if err := checkDigest(r.SHA256, a.SHA256); err != nil {
		return refuse(err)
	}
	running, _ := u.app.Current()
	if s, err := running.Service(a.By.Service); err == nil {
		a.By.Agent = isAgent(s)
	}
	if lost := lostWay(running, a.conf, a.By.Service); lost != "" && !r.Force {
		return refuse(fmt.Errorf("%s: %s", c.name, lost))
	} else if lost != "" {
		u.logOf(a.Update).Warnf("the update is forced: %s", strings.TrimSuffix(lost, forceText))
	}
	if err := u.history.Keep(a.SHA256, a.data); err != nil { // of a full disk, which the update may relieve
		u.log.WithError(err).Warnf("no revert to the new application will be possible")
	}
	if !u.app.HasImages() {
		return nil
	}
	if state, err := u.files.backupState(); err != nil {
		return err
	} else if state == backupNone { // the record of the images of the update before, if that was left beside its place
		if err := u.files.promote(); err != nil {
			return err
		}
	}
	a.Same, err = u.files.is(u.files.app(), a.SHA256)
	return err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (u *Updater) acceptMaster(r masterapi.UpdateRequest, a *accepted) error {
	if u.opts.Program == "" {
		return refuse(errors.New("this master does not know its own program, which it would replace"))
	}
	if u.opts.Keeper == nil {
		return refuse(errNoKeeper)
	}
	f, _, err := u.files.open(cmp.Or(r.Path, r.File), "bin/baetyl")
	if err != nil {
		return refuse(fmt.Errorf("path: %w", err))
	}
	defer f.Close()
	if a.SHA256, err = u.program.Stage(f); err != nil {
		return errors.Join(fmt.Errorf("copy candidate: %w", err), u.program.Discard())
	}
	if err = checkDigest(r.SHA256, a.SHA256); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), u.times.Load().deadline)
		defer cancel()
		if err = u.program.Check(ctx, u.opts.Workdir, u.opts.Config); err == nil {
			_, err = u.program.HasKeeper(ctx)
		}
	}
	if err != nil {
		return errors.Join(refuse(err), u.program.Discard())
	}
	fault.At("staged")
	return nil
}

func checkDigest(want, got string) error {
	if want != "" && !strings.EqualFold(want, got) {
		return fmt.Errorf("sha256: the candidate has %s, not %s", got, want)
	}
	return nil
}
