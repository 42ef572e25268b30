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

func newDisk(opts Options) disk {
	return disk{
		files:   files{opts.Workdir, opts.Disk.Or()},
		records: ota.NewRecords(filepath.Join(opts.Workdir, recordFile), opts.OTALog, opts.Disk, opts.Log),
		program: ota.Binary{Path: opts.Program, Disk: opts.Disk},
		log:     opts.Log,
	}
}

// look tells in which state the disk is. With an error something could not be read, and the state is told from the
// rest.
func (d disk) look() (facts, State, error) {
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
	}
	f.backup, err = d.files.lookAtBackup()
	read(err)
	f.candidate, err = d.program.HasCandidate()
	read(err)
	return f, f.state(), errors.Join(errs...)
}

// giveUp puts the old binary back in charge; it has never been anything else on disk.
func (d disk) giveUp(u ota.Update, cause error) error {
	d.log.WithError(cause).Errorf("the master that was there before goes on")
	err := d.records.Step(u, masterapi.StepRollingBack, "the master that was there before goes on", cause)
	u.Failed = cause.Error()
	err = errors.Join(err, d.records.Save(u))
	fault.At("candidate failed")
	return errors.Join(err, d.program.Discard())
}

// step and end write to the log, end when inspect shows the same already. What cannot be written (a full disk) costs
// the line; the record is settled at the next start.
func (d disk) step(u ota.Update, step, msg string, cause error) {
	if err := d.records.Step(u, step, msg, cause); err != nil {
		d.log.WithError(err).Errorf("record step %s of the update", step)
	}
}

func (d disk) end(u ota.Update, step string, cause error) {
	msg := map[string]string{
		masterapi.StepUpdated:    "update done",
		masterapi.StepRolledBack: "what was before is in charge",
		masterapi.StepFailure:    "update failed, and not all of what was before could be put back",
	}[step]
	if err := d.records.End(u, step, msg, cause); err != nil {
		d.log.WithError(err).Errorf("record the end of the update")
	}
}
