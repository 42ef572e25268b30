package cmd

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/backoff"
)

// updates are the flags of commands that begin an update.
type updates struct {
	noWait, yes, force bool
	timeout            time.Duration
}

func (u *updates) flags(c *cobra.Command) {
	c.Flags().Bool("wait", true, "wait until the update has ended; status 1 when it was rolled back")
	c.Flags().BoolVar(&u.noWait, "no-wait", false, "return when the update has begun")
	c.Flags().BoolVarP(&u.yes, "yes", "y", false, "do not ask, also on a terminal")
	c.Flags().BoolVar(&u.force, "force", false, "also when nobody could update the device after it but a person")
	c.Flags().DurationVar(&u.timeout, "timeout", 30*time.Minute, "how long to wait; the update goes on then")
	c.MarkFlagsMutuallyExclusive("wait", "no-wait")
}

// waits tells whether the command waits: --wait=false is --no-wait.
func (u *updates) waits(c *cobra.Command) bool {
	wait, err := c.Flags().GetBool("wait")
	return !u.noWait && (err != nil || wait)
}

// newTrace is the id of an update that nobody else has.
func newTrace() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// confirmed asks on a terminal; anywhere else, and with yes, nobody is asked.
func (e *env) confirmed(yes bool, question string) error {
	in, ok := e.Stdin.(*os.File)
	if yes || !ok || !out.IsTerminal(in) || e.Out.Terminal() == nil {
		return nil
	}
	fmt.Fprintf(e.Stderr, "%s [y/N] ", out.Harmless(question))
	answer, _ := bufio.NewReader(in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}

// request asks for the update with that trace. A master that has gone before its answer was whole may have accepted it:
// the next one says so.
func (e *env) request(ctx context.Context, trace string, ask func() error) error {
	err := e.patient(ctx, ask)
	for n := 0; isGone(err); n++ {
		state, failed := e.state(ctx, 0, 0)
		switch {
		case failed == nil && state.Trace == trace:
			return nil
		case failed == nil:
			return errors.New("the master has gone before it has accepted the update, and nothing was changed: ask again")
		case n == mostFailures || !isBetween(failed) || ctx.Err() != nil:
			return failed
		}
		pause(ctx, again.Delay(n, 0))
	}
	return err
}

// mostFailures is how often in a row a master is asked that does not answer: for two minutes.
const mostFailures = 60

// follow shows the steps of the update with that trace until it has ended, also over a restart of the master. An error
// says why it is not what was asked for.
func (e *env) follow(ctx context.Context, trace string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	shown := map[string]bool{} // steps, as a new master has others before them
	seen, failures := 0, 0
	for {
		state, err := e.state(ctx, seen, 30*time.Second)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("the update has not ended within %s, and goes on: baetyl history says how it ends", timeout)
		case err != nil && (failures > mostFailures || !isBetween(err)):
			return err
		case err != nil:
			failures++
			pause(ctx, again.Delay(failures, 0))
			continue
		case state.Trace != trace:
			return errors.New("another update has begun meanwhile: baetyl history says how this one has ended")
		}
		seen, failures = state.Seen, 0
		for _, s := range state.Steps {
			if key := s.Time + s.Step + s.Text; !shown[key] {
				shown[key] = true
				e.say(s)
			}
		}
		if !state.Running {
			return e.ended(state)
		}
	}
}

// state asks for the update, and waits for a step that was not seen.
func (e *env) state(ctx context.Context, seen int, wait time.Duration) (state masterapi.UpdateState, err error) {
	c, err := e.Client()
	if err != nil {
		return state, err
	}
	return state, c.Get(ctx, masterapi.PathUpdateState(seen, wait), &state)
}

// say shows a step while the update runs, beside what was asked for.
func (e *env) say(s masterapi.UpdateStep) {
	at := s.Time
	if t, err := time.Parse(time.RFC3339Nano, s.Time); err == nil {
		at = t.Local().Format(time.TimeOnly)
	}
	text := s.Text
	if s.Error != "" && !masterapi.Final(s.Step) {
		text += ": " + s.Error
	}
	fmt.Fprintf(e.Stderr, "%s  %s\n", at, out.Harmless(text))
}

// ended says how an update has ended.
func (e *env) ended(state masterapi.UpdateState) error {
	steps := state
	steps.Steps = nil
	if e.Out.Format != "" && e.Out.Format != out.Table {
		if err := e.Out.Print(steps, nil); err != nil {
			return err
		}
	}
	switch {
	case state.Result == masterapi.StepUpdated && state.Reason == "":
		return nil
	case state.Result == masterapi.StepRolledBack:
		return fmt.Errorf("the update was rolled back, and the previous application runs: %s", state.Reason)
	}
	return fmt.Errorf("the update failed: %s", state.Reason)
}

// startLimit is how long a command waits for the start of the application, which nothing may change meanwhile.
const startLimit = time.Minute

// patient carries out do again while the application is being started; an update that runs is an error at once.
func (e *env) patient(ctx context.Context, do func() error) error {
	until := time.Now().Add(startLimit)
	for n := 0; ; n++ {
		err := do()
		var answer *http.Error
		if !errors.As(err, &answer) || answer.Code != "busy" || time.Now().After(until) || ctx.Err() != nil {
			return err
		}
		if state, failed := e.state(ctx, 0, 0); failed != nil || state.Running {
			return err
		}
		pause(ctx, again.Delay(n, 0))
	}
}

// again is the time between calls to a master that is away, or not ready.
var again = backoff.Policy{Min: 50 * time.Millisecond, Max: 2 * time.Second, Factor: 2}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// isBetween tells whether err says that no master answers now, as between two of them.
func isBetween(err error) bool {
	var answer *http.Error
	return !errors.As(err, &answer) || answer.Status == 503
}
