package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/baetyl/baetyl/master/application"
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
}

// Request checks r and hands it over; masterapi.ErrBusy when another update runs, masterapi.ErrRefused when r is
// wrong; any other error is one of this device, as a full disk. The new application, or binary, takes over in the
// background, since the caller may be one of the services that the update stops. by is that service, empty for a
// person.
func (u *Updater) Request(r masterapi.UpdateRequest, by string) error {
	select {
	case <-u.free:
	default:
		return masterapi.ErrBusy
	}
	a, err := u.accept(r, by)
	if err != nil {
		u.free <- struct{}{}
		return err
	}
	u.accepted <- a
	return nil
}

// accept checks a candidate completely. When it is refused, nothing was written.
func (u *Updater) accept(r masterapi.UpdateRequest, by string) (accepted, error) {
	if r.Path == "" {
		r.Path = r.File
	}
	a := accepted{Update: ota.Update{Type: r.Type, Trace: r.Trace}}
	var err error
	switch r.Type {
	case masterapi.UpdateApp, "":
		a.Type = masterapi.UpdateApp
		err = u.acceptApp(r, by, &a)
	case masterapi.UpdateMaster:
		err = u.acceptMaster(r, &a)
	default:
		err = refuse(fmt.Errorf("type %q is not %s or %s", r.Type, masterapi.UpdateApp, masterapi.UpdateMaster))
	}
	if err != nil {
		return a, err
	}
	if err := u.records.Begin(a.Update); err != nil {
		return a, errors.Join(err, u.program.Discard())
	}
	u.logOf(a.Update).WithField("path", r.Path).Infof("update accepted")
	return a, nil
}

// refuse marks an error of the candidate, as opposed to one of this device.
func refuse(err error) error { return fmt.Errorf("%w: %w", masterapi.ErrRefused, err) }

func (u *Updater) acceptApp(r masterapi.UpdateRequest, by string, a *accepted) error {
	f, name, err := u.files.open(r.Path, filepath.Base(application.File))
	if err != nil {
		return refuse(fmt.Errorf("path: %w", err))
	}
	defer f.Close()
	if a.data, err = io.ReadAll(io.LimitReader(f, conf.MaxSize+1)); err != nil {
		return err
	}
	if len(a.data) > conf.MaxSize {
		return refuse(fmt.Errorf("%s: larger than %d bytes", name, conf.MaxSize))
	}
	a.SHA256 = digest(a.data)
	if err := checkDigest(r.SHA256, a.SHA256); err != nil {
		return refuse(err)
	}
	if a.conf, err = app.Parse(name, a.data); err != nil {
		return refuse(err)
	}
	if broken := u.opts.Rules(a.conf); len(broken) > 0 {
		return refuse(fmt.Errorf("%s: %s", name, strings.Join(broken, "; ")))
	}
	running, _ := u.app.Current()
	if lost := lostWay(running, a.conf, by); lost != "" && !r.Force {
		return refuse(fmt.Errorf("%s: %s", name, lost))
	} else if lost != "" {
		u.logOf(a.Update).Warnf("the update is forced: %s", strings.TrimSuffix(lost, forceText))
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
	f, _, err := u.files.open(r.Path, "bin/baetyl")
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
