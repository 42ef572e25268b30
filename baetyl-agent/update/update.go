// Package update carries out the updates of the event store, one after the other.
//
//	eventstore ─► prepare: download, read ─► ask the master ─► follow its log to a final step ─► clean ─► next
//	                   │                            │                  │                          after UPDATED of an
//	                   └── FAILURE                  └── FAILURE        └── TIMEOUT                application
//
// It promises that an update continues after a crash at any point: volumes that are in place are found by their digest,
// an update that the master has is found in the master's log, and the rest is done then. The master alone writes its
// log; this package reads it.
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

// Poll is the default of Updater.Poll.
const Poll = time.Second

// inspectTimeout is how long the master has to answer when no step has come for Updater.Timeout.
const inspectTimeout = 20 * time.Second

// Master is what an update needs of the master.
type Master interface {
	// Inspect returns the state of the running application.
	Inspect(ctx context.Context) (*masterapi.Inspect, error)
	// RequestUpdate asks the master for an update. An *http.Error is its answer; after any other error the master may have
	// taken the update or not.
	RequestUpdate(ctx context.Context, r masterapi.UpdateRequest) error
}

// Updater carries out the updates of a store. Its fields are set before Run and not changed.
type Updater struct {
	Events  *eventstore.Store
	Volumes *volume.Store
	Master  Master
	LogPath string        // of the master's log of updates
	Disk    file.Disk     // where LogPath lies; zero: file.OS
	Timeout time.Duration // time without a new step after which an update ends with TIMEOUT; doubled if the master answers
	Poll    time.Duration // time between two reads of the log while an update runs; 0: Poll
	Log     log.Logger
}

// Run carries out updates until ctx ends. The next Run continues an update that is not finished then. Errors are logged
// and tried again; Run returns nil.
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
		// The disk can't be read or written, or the master did not answer when it was time to clean.
		delay := u.retry().Delay(n, rand.Float64())
		u.Log.WithError(err).Errorf("update interrupted; next attempt in %s", delay.Round(time.Millisecond))
		n++
		if wait(ctx, delay) != nil {
			return nil
		}
	}
}

// work carries out the update of a job; if that has ended, it cleans up.
func (u *Updater) work(ctx context.Context, job eventstore.Job) error {
	if job.Done() {
		return u.clean(ctx, job)
	}
	l := u.Log.WithField("trace", job.OTA.Trace)
	records, err := u.otaLog().of(job.OTA.Trace)
	if err != nil { // the master may have the update already: it must not be asked again
		return err
	}
	if len(records) == 0 && job.Seen == 0 {
		l.WithField("type", job.OTA.Type).WithField("version", job.OTA.Version).Infof("update starts with its downloads")
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
			l.WithError(err).Errorf("update failed before the master accepted it; FAILURE is reported")
			return u.Events.Step(job.OTA.Trace, 0, false, step(job.OTA.Trace, masterapi.StepFailure, err))
		}
		l.Infof("update handed to the master; its steps follow")
	}
	return u.follow(ctx, job, l)
}
