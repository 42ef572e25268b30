package service

import (
	"errors"
	"fmt"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/backoff"
)

// decision is what becomes of an instance that has ended, or could not start.
type decision struct {
	restart  bool
	anew     bool          // nothing of it has run since the machine has started: it takes its place in the order of start
	after    time.Duration // until the restart
	failures int           // restarts without a healthy run between them, this one included
	status   string        // meanwhile, or for good
	reason   string        // for people; empty after success
}

// decide applies the restart policy. started is false when the instance could not start, which counts as a failed
// run. failures is that of the decision before. random in [0,1) spreads the delay by a tenth, so that instances which
// ended together do not start again together.
func decide(p app.Restart, exit engine.Exit, started bool, failures int, random float64) decision {
	if exit.Ran >= healthy(p.Backoff) {
		failures = 0
	}
	if exit.Interrupted || errors.Is(exit.Err, engine.ErrUnavailable) { // no fault of the service: it counts for nothing
		d := decision{restart: true, after: uncounted, failures: failures, status: masterapi.StatusStarting}
		if exit.Err != nil {
			d.reason = exit.Err.Error()
		}
		return d
	}
	d := decision{status: masterapi.StatusExited}
	if exit.Err != nil {
		d.status, d.reason = masterapi.StatusFailed, exit.Err.Error()
	}
	switch {
	case p.Policy == app.RestartNo:
		return d
	case p.Policy == app.RestartOnFailure && exit.Err == nil:
		return d
	case p.Retry.Max > 0 && failures >= p.Retry.Max:
		d.status = masterapi.StatusFailed
		d.reason = fmt.Sprintf("given up after %d restarts", failures)
		if exit.Err != nil {
			d.reason += ": " + exit.Err.Error()
		}
		return d
	}
	d.restart = true
	if started {
		d.status = masterapi.StatusRestarting
	}
	delays := backoff.Policy{Min: p.Backoff.Min, Max: p.Backoff.Max, Factor: p.Backoff.Factor, Jitter: 0.1}
	d.after, d.failures = delays.Delay(failures, random), failures+1
	return d
}

// uncounted is the time before a start for which no policy is asked. An engine that is away makes the start wait.
const uncounted = time.Second

// healthy is how long an instance has to run until its earlier failures no longer count: as long as its longest
// backoff, at least a minute and at most ten.
func healthy(b app.Backoff) time.Duration {
	return min(max(b.Max, time.Minute), 10*time.Minute)
}
