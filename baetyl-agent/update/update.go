// Package update carries out the updates of the event store, one after the other.
//
//	eventstore ─► prepare: download, read ─► ask the master ─► follow its log to the end ─► clean ─► next
//	                   │                            │                  │
//	                   └── FAILURE                  └── FAILURE        └── TIMEOUT, or what the log says
//
// It promises that an update is resumed after a crash at any point: what was done is found done (volumes by their
// digest, the hand-over by the master's log), the rest is done then. The master alone writes its log; here it is only
// read.
package update

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/baetyl-agent/volume"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// Poll is how often the master's log is read while an update is followed.
const Poll = time.Second

// inspectTimeout is how long the master has to answer whether it is there.
const inspectTimeout = 20 * time.Second

// Master is what an update needs of the master.
type Master interface {
	// Inspect returns the state of the running application.
	Inspect(ctx context.Context) (*masterapi.Inspect, error)
	// Update hands an update over. An *http.Error is the master's answer; any other error leaves open whether it took it.
	Update(ctx context.Context, trace, kind, path string) error
}

// Updater works through a store of events. Its fields are set before Run and not changed.
type Updater struct {
	Events  *eventstore.Store
	Volumes *volume.Store
	Master  Master
	LogPath string        // of the master's log of updates
	Disk    file.Disk     // where LogPath lies; zero: file.OS
	Timeout time.Duration // without a new step after which an update is given up; twice that if the master answers
	Poll    time.Duration // 0: Poll
	Log     log.Logger
}

// Run works until ctx ends. An update that is under way then goes on with the next Run.
func (u *Updater) Run(ctx context.Context) error {
	for n := 0; ; {
		job, err := u.Events.Next(ctx)
		if err == nil {
			err = u.work(ctx, job)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			n = 0
			continue
		}
		// A disk that takes no note ends here, and a master that is away when it is time to clean.
		delay := u.retry().Delay(n, rand.Float64())
		u.Log.WithError(err).Errorf("work goes on in %s", delay.Round(time.Millisecond))
		n++
		if wait(ctx, delay) != nil {
			return nil
		}
	}
}

// work brings a job one stage further.
func (u *Updater) work(ctx context.Context, job eventstore.Job) error {
	if job.Done() {
		return u.clean(ctx, job)
	}
	l := u.Log.WithField("trace", job.OTA.Trace)
	records, err := u.otaLog().of(job.OTA.Trace)
	if err != nil { // the master may have the update, so that it must not be asked again
		return err
	}
	if len(records) == 0 && job.Seen == 0 {
		l.WithField("type", job.OTA.Type).WithField("version", job.OTA.Version).Infof("update begins")
		target, app, err := u.prepare(ctx, job.OTA)
		if err == nil {
			if err := u.Events.HandOver(job.OTA.Trace, app); err != nil {
				return err
			}
			err = u.ask(ctx, job.OTA, target)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			l.WithError(err).Errorf("update ends before the master has it")
			return u.Events.Step(job.OTA.Trace, 0, false, step(job.OTA.Trace, masterapi.StepFailure, err))
		}
		l.Infof("master has the update")
	}
	return u.follow(ctx, job, l)
}
