package update

import (
	"context"
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Try runs the candidate when an update to it is pending. done tells that it took over, or was stopped by ctx, or
// another master runs, and the caller ends too, with that exit status. Otherwise there was none, or it was given up:
// the caller is the master.
//
// lock keeps every other master of the working directory from running. Whoever writes there holds it: this process
// before and after the candidate runs, the candidate itself meanwhile.
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
	f, state, lookErr := d.look()
	switch {
	case state != MasterTried && state != MasterExhausted:
		return true, 1, errors.Join(errors.New("the new master was replaced while it was tried"), lookErr)
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
	f, state, err := d.look()
	if err != nil || restarts[state].do != try {
		return false, nil // what is wrong is found, and told, by the master
	}
	f.update.Starts++
	if err := d.records.Save(f.update); err != nil { // what cannot be counted is not tried
		if err := d.giveUp(f.update, fmt.Errorf("try new master: %w", err)); err != nil {
			d.log.WithError(err).Errorf("give the new master up")
		}
		return false, nil
	}
	fault.At("candidate counted")
	d.step(f.update, masterapi.StepRestarted, fmt.Sprintf("the new binary is tried, start %d", f.update.Starts), nil)
	return true, nil
}
