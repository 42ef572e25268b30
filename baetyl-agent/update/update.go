// Package update carries out the updates of the event store, one after the other.
//
//	eventstore ─► prepare: download, read ─► ask the master ─► follow its log to the end ─► clean ─► next
//	                   │                            │                  │
//	                   └── FAILURE                  └── FAILURE        └── TIMEOUT, or what the log says
//
// It promises that an update is resumed after a crash at any point: what was done is found done (volumes by their digest, the
// hand-over by the master's log), the rest is done then. The master alone writes its log; here it is only read.
package update

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/baetyl-agent/volume"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/backoff"
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

func (u *Updater) retry() backoff.Policy {
	return backoff.Policy{Min: u.poll(), Max: time.Minute, Jitter: 0.2}
}

func (u *Updater) poll() time.Duration {
	if u.Poll <= 0 {
		return Poll
	}
	return u.Poll
}

// work brings a job one stage further.
func (u *Updater) work(ctx context.Context, job eventstore.Job) error {
	if job.Done() {
		return u.clean(ctx, job)
	}
	l := u.Log.WithField("trace", job.OTA.Trace)
	if records := u.records(job.OTA.Trace); len(records) == 0 && job.Seen == 0 {
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

// ask hands the update over. A master that is busy or away is asked again until the timeout; one that took the update although
// its answer was lost has it in its log.
func (u *Updater) ask(ctx context.Context, o cloud.OTA, target string) error {
	deadline := time.Now().Add(u.Timeout)
	for n := 0; ; n++ {
		err := u.Master.Update(ctx, o.Trace, o.Type, target)
		if err == nil {
			return nil
		}
		if he := new(http.Error); errors.As(err, &he) && he.Status < 500 && he.Status != 409 {
			return err
		}
		if err := wait(ctx, u.retry().Delay(n, rand.Float64())); err != nil {
			return err
		}
		if len(u.records(o.Trace)) > 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// follow copies the steps of the master's log into the store until the last one. A master that answers is given twice the time: by
// default its own deadline is as long as ours, and putting the old application back comes after it.
func (u *Updater) follow(ctx context.Context, job eventstore.Job, l log.Logger) error {
	o, seen := job.OTA, job.Seen
	alive, limit := time.Now(), u.Timeout
	for {
		if records := u.records(o.Trace); len(records) > seen {
			var steps []cloud.Progress
			for _, r := range records[seen:] {
				steps = append(steps, cloud.Progress{Time: r.Time, Step: r.Step, Trace: r.Trace, Error: r.Error})
				if masterapi.Final(r.Step) {
					break
				}
			}
			seen += len(steps)
			last := steps[len(steps)-1]
			clean := last.Step == masterapi.StepUpdated && o.Type == masterapi.UpdateApp
			if err := u.Events.Step(o.Trace, seen, clean, steps...); err != nil {
				return err
			}
			l.WithField("step", last.Step).Infof("update goes on")
			if masterapi.Final(last.Step) {
				return nil
			}
			alive, limit = time.Now(), u.Timeout
		}
		if time.Since(alive) >= limit {
			if limit > u.Timeout || !u.answers(ctx) {
				l.Errorf("update is given up: no step for %s", limit)
				return u.Events.Step(o.Trace, seen, false, step(o.Trace, masterapi.StepTimeout, fmt.Errorf("no step of the master for %s", limit)))
			}
			limit = 2 * u.Timeout
		}
		if err := wait(ctx, u.poll()); err != nil {
			return err
		}
	}
}

// answers tells whether the master is there.
func (u *Updater) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	_, err := u.Master.Inspect(ctx)
	return err == nil
}

// records returns the master's records of trace.
func (u *Updater) records(trace string) []masterapi.OTARecord {
	return slices.DeleteFunc(u.all(), func(r masterapi.OTARecord) bool { return r.Trace != trace })
}

// all returns all records that can be read. A log that is damaged has fewer, one that is missing none; the master begins it anew
// with the next update.
func (u *Updater) all() []masterapi.OTARecord {
	f, err := os.Open(u.LogPath)
	if err == nil {
		defer f.Close()
		var all []masterapi.OTARecord
		if all, err = masterapi.ReadOTALog(f); err == nil {
			return all
		}
		u.Log.WithError(err).Debugf("log of the master is damaged")
		return all
	}
	if !errors.Is(err, fs.ErrNotExist) {
		u.Log.WithError(err).Debugf("log of the master can't be read")
	}
	return nil
}

func step(trace, name string, err error) cloud.Progress {
	return cloud.Progress{Time: time.Now().UTC(), Step: name, Trace: trace, Error: err.Error()}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
