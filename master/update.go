package master

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// update replaces the application by u, or leaves the old one running.
//
//	accepted ─► prepare ─► backup ─► swap ─► stop, start ─► healthy ─► remove backup: done
//	              │error     │         └error, or the master ends─► put the file back, stop, start
//	              ▼          ▼
//	            nothing was touched
func (m *Master) update(ctx context.Context, u accepted) {
	undone, err := m.replace(ctx, u)
	m.note(err)
	switch {
	case err == nil:
		m.end(u.Update, masterapi.StepUpdated, nil)
	case ctx.Err() != nil: // the next boot starts what is whole, and says how it went
	case undone:
		m.end(u.Update, masterapi.StepRolledBack, err)
	default:
		m.end(u.Update, masterapi.StepFailure, err)
	}
}

// replace carries an update out. undone tells that after an error the old application is in charge again.
func (m *Master) replace(ctx context.Context, u accepted) (undone bool, err error) {
	m.mu.Lock()
	old, running := m.conf, m.data
	m.mu.Unlock()
	p, err := diff(old, u.conf)
	if err != nil {
		return true, fmt.Errorf("update application: %w", err)
	}
	for _, s := range p.start {
		if err := m.engine.Prepare(ctx, serviceOf(u.conf, s.service)); err != nil {
			return true, fmt.Errorf("update application: service %s: %w", s.service.Name, err)
		}
	}
	fault.At("prepared")
	if err := m.swap(u.data, running); err != nil {
		return true, fmt.Errorf("update application: %w", err)
	}
	if err = m.try(ctx, p, u.conf); err == nil {
		err = m.commit()
	}
	if err != nil {
		err = fmt.Errorf("update application to version %q (the old one is put back): %w", u.conf.Version, err)
		return m.undo(ctx, u, old, err)
	}
	m.setConf(u.conf, u.data)
	m.opts.Log.WithField("version", u.conf.Version).Infof("application updated")
	return false, nil
}

// try changes the services and waits until the new ones have proved themselves. Its time begins when what takes long, as an image
// that is pulled, is there.
func (m *Master) try(ctx context.Context, p plan, to *app.Config) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.cfg.Update.Deadline, errDeadline)
	defer cancel()
	err := m.change(ctx, p, to, false)
	if err == nil {
		fault.At("started")
		err = m.services.AwaitHealthy(ctx, m.cfg.Update.Healthy, p.started()...)
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
func (m *Master) commit() error {
	backup := filepath.Join(m.opts.Workdir, backupFile)
	if err := os.Remove(backup); err != nil {
		return fmt.Errorf("finish update of application: %w", err)
	}
	fault.At("committed")
	if err := file.SyncDir(filepath.Dir(backup)); err != nil {
		m.opts.Log.WithError(err).Warnf("a power cut now would start the old application")
	}
	return nil
}

// undo puts the old application back, because of cause.
func (m *Master) undo(ctx context.Context, u accepted, old *app.Config, cause error) (undone bool, err error) {
	m.step(u.Update, masterapi.StepRollingBack, "the old application is put back", cause)
	fault.At("rolling back")
	u.Failed = cause.Error()
	if err := m.ledger.Save(u.Update); err != nil {
		m.opts.Log.WithError(err).Errorf("record why the update failed") // the next boot puts back as well, without the reason
	}
	if err := rename(filepath.Join(m.opts.Workdir, backupFile), filepath.Join(m.opts.Workdir, AppFile)); err != nil {
		cause = errors.Join(cause, fmt.Errorf("put back application: %w", err))
	}
	fault.At("file put back")
	if ctx.Err() != nil {
		return false, cause // the next boot starts it
	}
	back, err := diff(u.conf, old)
	if err != nil {
		return false, errors.Join(cause, err)
	}
	// One that cannot start now must not keep the rest of the old application down.
	if err := m.change(ctx, back, old, true); err != nil {
		return false, errors.Join(cause, err)
	}
	fault.At("services put back")
	return true, cause
}

// swap keeps the file of the running application as the backup and writes the new one. Each step is whole on disk before the
// next begins. running is what the application that runs was read from.
func (m *Master) swap(data, running []byte) error {
	path, backup := filepath.Join(m.opts.Workdir, AppFile), filepath.Join(m.opts.Workdir, backupFile)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := app.Parse(path, old); err != nil { // kept for its author, and never put back
		if err := file.WriteAtomic(path+damaged, old, 0o644); err != nil {
			return err
		}
		old = running
	}
	if err := file.WriteAtomic(backup, old, 0o644); err != nil { // an empty one: there was no application
		return err
	}
	fault.At("backup written")
	if err := file.WriteAtomic(path, data, 0o644); err != nil {
		return errors.Join(err, os.Remove(backup))
	}
	fault.At("swapped")
	return nil
}

// change carries a plan out. It returns at the first service that cannot start, or starts all and returns what went wrong.
func (m *Master) change(ctx context.Context, p plan, to *app.Config, all bool) error {
	names := make([]string, 0, len(p.stop))
	for _, s := range p.stop {
		m.opts.Log.WithField(log.KeyService, s.service.Name).WithField(log.KeyReason, s.reason).Infof("service is stopped for the update")
		names = append(names, s.service.Name)
	}
	errs := []error{m.stop(names...)}
	fault.At("stopped")
	for _, s := range p.start {
		if err := errors.Join(errs...); err != nil && !all {
			return err
		}
		if err := m.services.Start(ctx, serviceOf(to, s.service)); err != nil {
			errs = append(errs, fmt.Errorf("start service %s: %w", s.service.Name, err))
		}
	}
	return errors.Join(errs...)
}

// started are the names of the services that the plan starts.
func (p plan) started() []string {
	var names []string
	for _, s := range p.start {
		names = append(names, s.service.Name)
	}
	return names
}

// step and end write to the ledger, end when inspect shows the same already. What cannot be written (a full disk) costs the record; the journal is settled at the next boot.
func (m *Master) step(u ota.Update, step, msg string, cause error) {
	if err := m.ledger.Step(u, step, msg, cause); err != nil {
		m.opts.Log.WithError(err).Errorf("record step %s of the update", step)
	}
}

func (m *Master) end(u ota.Update, step string, cause error) {
	msg := map[string]string{
		masterapi.StepUpdated:    "update done",
		masterapi.StepRolledBack: "what was before is in charge",
		masterapi.StepFailure:    "update failed, and not all of what was before could be put back",
	}[step]
	if err := m.ledger.End(u, step, msg, cause); err != nil {
		m.opts.Log.WithError(err).Errorf("record the end of the update")
	}
}
