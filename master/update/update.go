// Package update changes what master/application runs: it accepts an update, carries it out, and after a crash
// finishes it or rolls it back.
//
//	Request ─► check ─► record ─┬ APP ─► prepare ─► swap files ─► stop, start ─► healthy ─► commit, or put back
//	                            └ MST ─► end ─► next start: Try ─► ota.Candidate ─► commit, or reject
//	start ─► state of the files ─► table restarts ─► application.Start ─► final line of the log
//
// It promises that an update which fails, or a master that is killed in one, leaves the old application or the new one
// running, whole; so for the master's binary. state.go names what can lie on disk, and says what a start does with it.
package update

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// Options say what an update works on, and when it is done.
type Options struct {
	Workdir  string        // absolute
	Config   string        // path of the configuration file, which a new master checks
	OTALog   string        // path of the log of updates
	Program  string        // path of the master's program; empty: updates of type MST are refused
	Healthy  time.Duration // that every new instance, or a new master, has to stay up
	Deadline time.Duration // for that, from the stop of the old ones
	Grace    time.Duration // between asking services to end and killing them
	Log      log.Logger
	Disk     file.Disk // where all this lies; by default that of this machine

	// Ready is set in a candidate that has not proved itself: it is called when the application has been started, and
	// returns when this binary is the one that boots. An error means that this binary was rejected.
	Ready func(ctx context.Context) error
}

// Updater changes an application. Run is called once; Request may be called from any goroutine.
type Updater struct {
	disk
	opts     Options
	app      *application.Application
	free     chan struct{} // holds a value while no update and no start of the application runs
	accepted chan accepted // has room for the update of the caller that took that value
	times    atomic.Pointer[times]
}

// times are those of the options that may change: an update takes them when its services are changed.
type times struct{ healthy, deadline time.Duration }

// New returns an updater of app. It opens nothing.
func New(app *application.Application, opts Options) *Updater {
	u := &Updater{
		disk: newDisk(opts), opts: opts, app: app, free: make(chan struct{}, 1), accepted: make(chan accepted, 1),
	}
	u.SetTimes(opts.Healthy, opts.Deadline)
	return u
}

// SetTimes changes Options.Healthy and Options.Deadline. An update that waits for its services keeps those that it has.
func (u *Updater) SetTimes(healthy, deadline time.Duration) { u.times.Store(&times{healthy, deadline}) }

// Run starts the application, carries updates out one after the other, and stops everything when ctx ends, or when
// another binary is to take over. It is the only goroutine that changes which services there are.
func (u *Updater) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, u.app.StopAll()) }()
	if err := u.start(ctx); err != nil {
		return err
	}
	u.free <- struct{}{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-u.accepted:
			if a.Type == masterapi.UpdateMaster {
				const msg = "the master exits; when it is started again, it tries the new master"
				u.step(a.Update, masterapi.StepRestarting, msg, nil)
				fault.At("restarting")
				return nil
			}
			u.replace(ctx, a)
			u.free <- struct{}{}
		}
	}
}
