package update

import (
	"context"
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Try runs the candidate when an update to it is pending. done tells that the candidate took over, or was stopped by
// ctx, or that another master runs; then the caller ends too, with that exit status or err. Otherwise there was no
// candidate, or it was rejected, and the caller is the master; err then only says that the rejection could not be
// written.
//
// lock keeps every other master of the working directory from running. The process that writes there holds it: this one
// before and after the candidate runs, the candidate meanwhile.
func Try(ctx context.Context, opts Options, lock func() (unlock func(), err error)) (done bool, status int, err error) {
	d := newDisk(opts)
	if pending, err := d.count(lock); !pending {
		return err != nil, 1, err
	}
	committed, status, err := ota.Candidate{
		Binary: d.program, Args: []string{"start", "-w", opts.Workdir, "-c", opts.Config},
		Healthy: opts.Healthy, Deadline: opts.Deadline, Grace: opts.Grace, Log: opts.Log,
	}.Run(ctx)
	if committed {
		return true, status, nil
	}
	unlock, lockErr := lock()
	if lockErr != nil { // one that was started meanwhile
		return true, 1, lockErr
	}
	defer unlock()
	f, state, readErr := d.readState()
	switch {
	case state != MasterTried && state != MasterExhausted:
		err := errors.New("the files of the update were changed while the new master was tried")
		return true, 1, errors.Join(err, readErr)
	case ctx.Err() != nil: // asked to end: that says nothing about the candidate
		f.update.Starts--
		return true, status, d.records.Save(f.update)
	}
	return false, 0, d.giveUp(f.update, fmt.Errorf("try new master: %w", err))
}

// count counts one more start of a pending candidate. An error means that the caller must not become the master.
func (d disk) count(lock func() (unlock func(), err error)) (pending bool, err error) {
	unlock, err := lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	f, state, err := d.readState()
	if err != nil || restarts[state].do != try {
		return false, nil // the caller becomes the master, finds the same error and logs it
	}
	f.update.Starts++
	if err := d.records.Save(f.update); err != nil { // what cannot be counted is not tried
		if err := d.giveUp(f.update, fmt.Errorf("try new master: %w", err)); err != nil {
			d.log.WithError(err).Errorf("cannot record that the new master is rejected; the start of this master tries again")
		}
		return false, nil
	}
	fault.At("candidate counted")
	msg := fmt.Sprintf("trying the new master, start %d of at most %d", f.update.Starts, maxStarts)
	d.step(f.update, masterapi.StepRestarted, msg, nil)
	return true, nil
}
