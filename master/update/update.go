// Package update changes what master/application runs: it accepts an update, carries it out, and after a crash
// finishes it or rolls it back.
//
//	Request ─► check ─► record ─┬ APP ─► prepare ─► swap files ─► stop, start ─► healthy ─► commit, or put back
//	                            └ MST ─► count ─► the keeper tries it ─► the new master commits, or the old one rejects
//	Run ─► state of the files ─► table restarts ─► application.Start ─► final line of the log
//
// It promises that an update which fails, or a master that is killed in one, leaves the old application or the new one
// running, whole; so for the master's binary. state.go names what can lie on disk, and says what a start does with it.
package update

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/protocol/app"
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
	Log      log.Logger
	Disk     file.Disk // where all this lies; by default that of this machine

	// Ended is called when an update of the application has ended, from the goroutine of Run; nil: nothing
	Ended func()
	// Rules names what is wrong with an application beyond what app.Validate refuses: a new one is refused for it, one
	// that is on disk at the start is run all the same, with a warning. nil: there are no such rules
	Rules func(*app.Config) []string

	Keeper   Keeper // that this master has; nil: updates of type MST are refused
	Rejected string // why the candidate that was tried before this master was rejected

	// Ready is set in a candidate that has not proved itself: it is called when the application has been started, and
	// returns when this binary is the one that boots. An error means that this binary was rejected.
	Ready     func(ctx context.Context) error
	HasParent bool // Ready asks a master of a version before, not the keeper
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

// New returns an updater of a. It opens nothing.
func New(a *application.Application, opts Options) *Updater {
	if opts.Rules == nil {
		opts.Rules = func(*app.Config) []string { return nil }
	}
	u := &Updater{
		disk: newDisk(opts), opts: opts, app: a, free: make(chan struct{}, 1), accepted: make(chan accepted, 1),
	}
	u.SetTimes(opts.Healthy, opts.Deadline)
	return u
}

// SetTimes changes Options.Healthy and Options.Deadline. An update that waits for its services keeps those that it has.
func (u *Updater) SetTimes(healthy, deadline time.Duration) { u.times.Store(&times{healthy, deadline}) }

// Run starts the application and carries updates out one after the other. It returns when ctx ends, or when another
// program is to take over: then leave is true, and what runs is left to that. With ErrRejected, too, it is left to a
// successor. It is the only goroutine that changes which services there are.
func (u *Updater) Run(ctx context.Context) (leave bool, err error) {
	if u.resume(ctx) {
		return true, nil
	}
	if err := u.start(ctx); err != nil {
		return false, err
	}
	u.free <- struct{}{}
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case a := <-u.accepted:
			if a.Type != masterapi.UpdateMaster {
				u.replace(ctx, a)
				if u.opts.Ended != nil {
					u.opts.Ended()
				}
			} else if u.renew(ctx, a) {
				return true, nil
			}
			u.free <- struct{}{}
		}
	}
}
