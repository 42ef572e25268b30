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
	"cmp"
	"context"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/events"
	"github.com/baetyl/baetyl/master/history"
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
	Events   *events.Ring // is told of each update and its steps; nil: nobody wants to know
	Disk     file.Disk    // where all this lies; by default that of this machine

	// Ended is called when an update of the application has ended, from the goroutine of Run; nil: nothing
	Ended func()
	// Rules names what is wrong with an application beyond what app.Validate refuses: a new one is refused for it, one
	// that is on disk at the start is run all the same, with a warning. nil: there are no such rules
	Rules func(*app.Config) []string

	Keep Keep // how much of the history is kept
	// Started is called once, when each service of the application has been started, or could not be. nil: nothing
	Started func()

	Keeper   Keeper // that this master has; nil: updates of type MST are refused
	Rejected string // why the candidate that was tried before this master was rejected

	// Ready is set in a candidate that has not proved itself: it is called when the application has been started, and
	// returns when this binary is the one that boots. An error means that this binary was rejected.
	Ready     func(ctx context.Context) error
	HasParent bool // Ready asks a master of a version before, not the keeper
}

// Keep bounds the history (history.Options); 0: 20 entries, 8 MiB.
type Keep struct {
	Max  int
	Size int64
}

// Updater changes an application. Run is called once; Request may be called from any goroutine.
type Updater struct {
	disk
	opts     Options
	app      *application.Application
	free     chan struct{} // holds a value while no update, no start of the application and no errand runs
	accepted chan accepted // has room for the update of the caller that took that value
	errands  chan errand   // the same for an errand
	ended    chan struct{} // closed when Run has returned
	updating atomic.Bool   // what runs is an update, or the start of the application, which nobody waits for
	history  *history.History
	progress *progress
	times    atomic.Pointer[times]
}

// times are those of the options that may change: an update takes them when its services are changed.
type times struct{ healthy, deadline time.Duration }

// New returns an updater of a. It opens nothing.
func New(a *application.Application, opts Options) *Updater {
	if opts.Rules == nil {
		opts.Rules = func(*app.Config) []string { return nil }
	}
	steps := newProgress(opts.Events)
	u := &Updater{
		disk: newDisk(opts, steps.written), opts: opts, app: a, free: make(chan struct{}, 1),
		accepted: make(chan accepted, 1), errands: make(chan errand, 1), ended: make(chan struct{}), progress: steps,
		history: history.New(history.Options{
			Dir: filepath.Join(opts.Workdir, history.Dir), Max: cmp.Or(opts.Keep.Max, 20),
			Size: cmp.Or(opts.Keep.Size, 8<<20), Disk: opts.Disk, Log: opts.Log,
		}),
	}
	u.updating.Store(true)
	a.Tell(steps.say)
	u.SetTimes(opts.Healthy, opts.Deadline)
	return u
}

// SetTimes changes Options.Healthy and Options.Deadline. An update that waits for its services keeps those that it has.
func (u *Updater) SetTimes(healthy, deadline time.Duration) { u.times.Store(&times{healthy, deadline}) }

// holdLimit is how long Hold waits.
const holdLimit = time.Minute

// Hold keeps updates from being accepted, and services from being started and stopped by hand, until release is called.
// It waits for at most a minute while the application starts, or while a person's action is carried out.
// masterapi.ErrBusy: an update runs, or that was not enough; masterapi.ErrEnding: this master ends.
func (u *Updater) Hold(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, holdLimit)
	defer cancel()
	if err := u.take(ctx, true); err != nil {
		return nil, err
	}
	return u.release, nil
}

// Run starts the application and carries updates out one after the other. It returns when ctx ends, or when another
// program is to take over: then leave is true, and what runs is left to that. With ErrRejected, too, it is left to a
// successor. It is the only goroutine that changes which services there are.
func (u *Updater) Run(ctx context.Context) (leave bool, err error) {
	defer close(u.ended)
	if u.resume(ctx) {
		return true, nil
	}
	if err := u.start(ctx); err != nil {
		return false, err
	}
	if u.opts.Started != nil && ctx.Err() == nil {
		u.opts.Started()
	}
	u.release()
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case a := <-u.errands:
			a.done <- a.do(ctx)
			u.release()
		case a := <-u.accepted:
			if a.Type != masterapi.UpdateMaster {
				u.replace(ctx, a)
				if u.opts.Ended != nil {
					u.opts.Ended()
				}
			} else if u.renew(ctx, a) {
				return true, nil
			}
			u.release()
		}
	}
}
