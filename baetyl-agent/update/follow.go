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

// ask hands the update over. A master that is busy or away is asked again until the timeout; one that took the update
// although its answer was lost has it in its log.
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
		if records, _ := u.otaLog().of(o.Trace); len(records) > 0 { // one that can't be read now is read by follow
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// follow copies the steps of the master's log into the store until the last one. A master that answers is given twice
// the time: by default its own deadline is as long as ours, and putting the old application back comes after it.
func (u *Updater) follow(ctx context.Context, job eventstore.Job, l log.Logger) error {
	o, seen := job.OTA, job.Seen
	alive, limit := time.Now(), u.Timeout
	for {
		records, err := u.otaLog().of(o.Trace)
		if err != nil {
			l.WithError(err).Debugf("log of the master is read again")
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
			l.WithField("step", last.Step).Infof("update goes on")
			if masterapi.Final(last.Step) {
				return nil
			}
			alive, limit = time.Now(), u.Timeout
		}
		if time.Since(alive) >= limit {
			if limit > u.Timeout || !u.answers(ctx) {
				l.Errorf("update is given up: no step for %s", limit)
				return u.Events.Step(
					o.Trace,
					seen,
					false,
					step(o.Trace, masterapi.StepTimeout, fmt.Errorf("no step of the master for %s", limit)),
				)
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

func step(trace, name string, err error) cloud.Progress {
	return cloud.Progress{Time: time.Now().UTC(), Step: name, Trace: trace, Error: err.Error()}
}
