package update

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// ask asks the master for the update. If the master is busy or does not answer it is asked again until Timeout, unless
// the update is in its log: then only its answer was lost.
func (u *Updater) ask(ctx context.Context, o cloud.OTA, target string) error {
	deadline := time.Now().Add(u.Timeout)
	for n := 0; ; n++ {
		r := masterapi.UpdateRequest{Type: o.Type, Path: target, Trace: o.Trace, Force: o.Force}
		err := u.Master.RequestUpdate(ctx, r)
		if err == nil {
			return nil
		}
		if he := new(http.Error); errors.As(err, &he) && he.Status < 500 && he.Status != 409 {
			return err
		}
		if err := wait(ctx, u.retry().Delay(n, rand.Float64())); err != nil {
			return err
		}
		if records, _ := u.otaLog().of(o.Trace); len(records) > 0 { // if the log can't be read now, follow reads it
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// follow copies the steps of the master's log into the store until a final one, or until no step came for Timeout. If
// the master answers then, it gets that time once more: by default its own deadline is as long, and it puts the
// previous application back after that.
func (u *Updater) follow(ctx context.Context, job eventstore.Job, l log.Logger) error {
	o, seen := job.OTA, job.Seen
	alive, limit := time.Now(), u.Timeout
	for {
		records, err := u.otaLog().of(o.Trace)
		if err != nil {
			l.WithError(err).Debugf("the master's log of updates can't be read; next attempt in %s", u.poll())
		}
		if len(records) > seen {
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
			l.WithField("step", last.Step).Infof("the master has made a step of the update")
			if masterapi.Final(last.Step) {
				return nil
			}
			alive, limit = time.Now(), u.Timeout
		}
		if time.Since(alive) >= limit {
			if limit > u.Timeout || !u.answers(ctx) {
				err := fmt.Errorf("no step of the master for %s", limit)
				l.WithError(err).Errorf("update is not followed any longer; TIMEOUT is reported")
				return u.Events.Step(o.Trace, seen, false, step(o.Trace, masterapi.StepTimeout, err))
			}
			limit = 2 * u.Timeout
		}
		if err := wait(ctx, u.poll()); err != nil {
			return err
		}
	}
}

// answers tells whether the master answers.
func (u *Updater) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	_, err := u.Master.Inspect(ctx)
	return err == nil
}

func step(trace, name string, err error) cloud.Progress {
	return cloud.Progress{Time: time.Now().UTC(), Step: name, Trace: trace, Error: err.Error()}
}
