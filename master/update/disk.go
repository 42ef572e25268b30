package update

import (
	"errors"
	"path/filepath"

	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// disk is all that an update keeps on disk.
type disk struct {
	files   files
	records *ota.Records
	program ota.Binary
	log     log.Logger
}

func newDisk(opts Options, written func(masterapi.OTARecord)) disk {
	return disk{
		files:   files{opts.Workdir, opts.Disk.Or()},
		records: ota.NewRecords(filepath.Join(opts.Workdir, recordFile), opts.OTALog, opts.Disk, opts.Log, written),
		program: ota.Binary{Path: opts.Program, Disk: opts.Disk},
		log:     opts.Log,
	}
}

// readState tells in which state the disk is. An error means that something could not be read; the state follows from
// the rest.
func (d disk) readState() (facts, State, error) {
	var f facts
	var errs []error
	read := func(err error) {
		errs = append(errs, err)
		f.unreadable = f.unreadable || err != nil
	}
	pending, err := d.records.Pending()
	read(err)
	if pending != nil {
		f.update, f.announced = *pending, pending.SHA256 == ""
	}
	path := d.files.app()
	if f.update.Type == masterapi.UpdateMaster {
		path = d.program.Path
	}
	if pending != nil && !f.announced {
		var final *masterapi.OTARecord
		f.ended, final, err = d.records.Ended(f.update)
		read(err)
		if final != nil {
			f.reason = final.Error
		}
		f.inPlace, err = d.files.is(path, f.update.SHA256)
		read(err)
		if f.update.Same && f.inPlace { // the images tell
			f.inPlace, err = d.files.isStaged()
			read(err)
		}
	}
	f.backup, err = d.files.backupState()
	read(err)
	f.candidate, err = d.program.HasCandidate()
	read(err)
	return f, f.state(), errors.Join(errs...)
}

// giveUp rejects the candidate because of cause. The program on disk is still the old one, so nothing is put back.
func (d disk) giveUp(u ota.Update, cause error) error {
	const msg = "the new master is rejected; the previous master keeps running"
	d.logOf(u).WithError(cause).Errorf(msg)
	err := d.records.Step(u, masterapi.StepRollingBack, msg, cause)
	u.Failed = cause.Error()
	err = errors.Join(err, d.records.Save(u))
	fault.At("candidate failed")
	return errors.Join(err, d.program.Discard())
}

// logOf returns the log of the master with what identifies u.
func (d disk) logOf(u ota.Update) log.Logger {
	return d.log.WithField("type", u.Type).WithField("trace", u.Trace)
}

// step and end write to the OTA log, and to that of the master. end is called when inspect shows the same already. When
// the line cannot be written (a full disk), the update goes on without it, and the next start settles the record.
func (d disk) step(u ota.Update, step, msg string, cause error) {
	l := d.logOf(u).WithField("step", step)
	if cause == nil {
		l.Infof("%s", msg)
	} else {
		l.WithError(cause).Warnf("%s", msg)
	}
	if err := d.records.Step(u, step, msg, cause); err != nil {
		d.log.WithError(err).Errorf("cannot write step %s of the update to the OTA log; the update continues without", step)
	}
}

func (d disk) end(u ota.Update, step string, cause error) {
	msg := map[string]string{
		masterapi.StepUpdated:    "update done",
		masterapi.StepRolledBack: "update rolled back, the previous version is running",
		masterapi.StepFailure:    "update failed, and the previous version could not be restored completely",
	}[step]
	l := d.logOf(u).WithField("step", step)
	if step == masterapi.StepUpdated && cause != nil {
		msg = "update failed, but of the previous version nothing is left: the new one is running"
		l.WithError(cause).Errorf("%s", msg)
	}
	switch step {
	case masterapi.StepUpdated:
		l.Infof("%s", msg)
	case masterapi.StepRolledBack:
		l.Warnf("%s", msg)
	default:
		l.Errorf("%s", msg)
	}
	if err := d.records.End(u, step, msg, cause); err != nil {
		d.log.WithError(err).Errorf("cannot record that the update ended with %s; the next start of the master does", step)
	}
}
