package update

import (
	"context"
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Keeper runs a candidate in place of this master; keeper.Client implements it. Its methods are called from the
// goroutine of Run.
//
//	old master ── counts ── Try ── ends                         <program> ── Hello says why it was rejected ── giveUp
//	                         └─► keeper runs <program>.new ──┬─► ends, or is not ready in time ──▲
//	                               ready, stays up, rename ──┴─► Ready returns ── UPDATED
type Keeper interface {
	// Try makes the candidate the successor of this master, which ends soon. After an error this master goes on.
	Try(t keeper.Trial) error
}

// ErrRejected says that this master was a candidate, and is not the one that boots. Services that its keeper holds are
// its successor's.
var ErrRejected = errors.New("this master was a candidate and has been rejected")

// errNoKeeper is why a master without a keeper refuses a new one: nobody would be left to judge it.
var errNoKeeper = errors.New("this master has no keeper to try a new one; replace the program and restart it")

// resume goes on with an update of the master's program that an earlier process has begun, before anything else of this
// one runs. It returns true when the keeper tries the new program as soon as this process has ended. Otherwise this one
// is the master.
func (u *Updater) resume(ctx context.Context) (leave bool) {
	if u.opts.Ready != nil || u.opts.Keeper == nil { // this is the candidate, or nobody tries one
		return false
	}
	f, state, err := u.readState()
	switch {
	case err != nil: // the start of the application finds the same error, and logs it
		return false
	case u.opts.Rejected != "" && (state == MasterTried || state == MasterExhausted):
		err = errors.New(u.opts.Rejected)
	case restarts[state].do == try && ctx.Err() == nil:
		leave, err = u.handOver(ctx, f.update, func() error { // what earlier masters left
			u.app.Start(ctx, &app.Config{}, nil)
			return ctx.Err()
		})
	}
	if err != nil {
		u.reject(f.update, err)
	}
	return leave
}

// renew lets the keeper replace this master by a. leave tells that it does; otherwise this master goes on.
func (u *Updater) renew(ctx context.Context, a accepted) (leave bool) {
	u.step(a.Update, masterapi.StepRestarting, "the master leaves its services to the new master", nil)
	fault.At("restarting")
	stopped := false
	leave, err := u.handOver(ctx, a.Update, func() error { stopped = true; return u.app.StopAll() })
	if err == nil {
		return leave
	}
	u.reject(a.Update, err)
	if stopped {
		c, data := u.app.Current()
		u.app.Start(ctx, c, data)
	}
	err = fmt.Errorf("update of type %s: %w", a.Type, err)
	u.note(err)
	u.end(a.Update, masterapi.StepRolledBack, err)
	return false
}

// handOver counts a start of the candidate and lets the keeper try it; an error says why it is to be rejected. stop
// ends all services: one of a version before would start each a second time, and not know of those that run. When ctx
// ends first, or the keeper stops everything, that says nothing about the candidate: the next start tries it.
func (u *Updater) handOver(ctx context.Context, a ota.Update, stop func() error) (leave bool, err error) {
	hasKeeper, err := u.program.HasKeeper(ctx)
	if ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a.Starts++
	if err := u.records.Save(a); err != nil { // what cannot be counted is not tried
		return false, err
	}
	fault.At("candidate counted")
	msg := fmt.Sprintf("trying the new master, start %d of at most %d", a.Starts, maxStarts)
	u.step(a, masterapi.StepRestarted, msg, nil)
	if !hasKeeper {
		u.logOf(a).Warnf("the new master is of a version whose services end with it; all services are stopped")
		if err := stop(); err != nil {
			return false, err
		}
	}
	times := u.times.Load()
	err = u.opts.Keeper.Try(keeper.Trial{
		Candidate: u.program.Candidate(), Program: u.program.Path, Plain: !hasKeeper,
		Deadline: times.deadline, Healthy: times.healthy,
	})
	if errors.Is(err, keeper.ErrStopping) {
		u.uncount()
		<-ctx.Done() // what the keeper says next
		return false, nil
	}
	return err == nil, err
}

// reject gives the candidate up because of cause.
func (u *Updater) reject(a ota.Update, cause error) {
	if err := u.giveUp(a, fmt.Errorf("try new master: %w", cause)); err != nil {
		u.log.WithError(err).Errorf("cannot record that the new master is rejected; the start of this master tries again")
	}
}

// uncount takes back that the candidate was started.
func (u *Updater) uncount() {
	f, state, err := u.readState()
	if err == nil && (state == MasterTried || state == MasterExhausted) {
		f.update.Starts--
		err = u.records.Save(f.update)
	}
	if err != nil {
		u.log.WithError(err).Warnf("cannot record that this start of a new master does not count")
	}
}
