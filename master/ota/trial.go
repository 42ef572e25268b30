package ota

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// A candidate is tried by the binary that it is to replace, which is known to work:
//
//	supervisor ─► <program> start ── counts, starts ──► <program>.new start
//	                   ▲                                     │ serves, has started the application
//	                   │◄──────── "ready" on fd 3 ───────────┤
//	    stays up for `healthy`                               │
//	    rename: <program>.new is <program> now               │
//	                   │──────── "go" on fd 4 ──────────────►│ UPDATED, takes updates
//	                   └ passes signals on, ends as it ends ─┘
//
// It ends before that, or is not ready in time, or was started maxStarts times: the program removes it and runs the application
// itself. So whatever is killed, and whenever, the supervisor starts a binary that works.
const envTrial = "BAETYL_MASTER_TRIAL"

// maxStarts is how often a candidate is started; more than once only when the machine or the program falls while it is on trial.
const maxStarts = 3

// Words between program and candidate. They stay as they are: both sides are of different versions.
const (
	wordReady = "ready"
	wordGo    = "go"
	wordError = "error " // and the reason
)

// Trial is what Try needs.
type Trial struct {
	Binary   Binary
	Args     []string      // of the candidate
	Healthy  time.Duration // that it stays up after it is ready
	Deadline time.Duration // until then
	Grace    time.Duration // between asking it to end and killing it
	Ledger   *Ledger
	Log      log.Logger
}

// Try runs the candidate when an update to it is pending. done tells that it took over, or was stopped by ctx, and has ended with that
// exit status: the caller ends too. Otherwise there was none, or it was given up: the caller is the master.
func (t Trial) Try(ctx context.Context) (done bool, status int, err error) {
	u, err := t.Ledger.Pending()
	if err != nil || u == nil || u.Type != masterapi.UpdateMaster || u.Failed != "" {
		return false, 0, nil // an error is found, and told, by the master
	}
	if _, err := os.Stat(t.Binary.Candidate()); err != nil {
		return false, 0, nil // committed, and killed before that was recorded; the master looks at the files
	}
	if u.Starts >= maxStarts {
		return false, 0, t.giveUp(*u, fmt.Errorf("started %d times without becoming ready", u.Starts))
	}
	u.Starts++
	if err := t.Ledger.Save(*u); err != nil {
		return false, 0, t.giveUp(*u, err) // what cannot be counted is not tried
	}
	fault.At("trial counted")
	if err := t.Ledger.Step(*u, masterapi.StepRestarted, fmt.Sprintf("the new binary is tried, start %d", u.Starts), nil); err != nil {
		t.Log.WithError(err).Errorf("record the trial")
	}
	committed, status, err := t.run(ctx)
	switch {
	case committed:
		return true, status, nil
	case ctx.Err() != nil: // asked to end: that says nothing about the candidate
		u.Starts--
		return true, status, t.Ledger.Save(*u)
	}
	return false, 0, t.giveUp(*u, err)
}

// giveUp puts the old binary back in charge; it has never been anything else on disk.
func (t Trial) giveUp(u Update, cause error) error {
	cause = fmt.Errorf("try new master: %w", cause)
	t.Log.WithError(cause).Errorf("the master that was there before goes on")
	err := t.Ledger.Step(u, masterapi.StepRollingBack, "the master that was there before goes on", cause)
	u.Failed = cause.Error()
	err = errors.Join(err, t.Ledger.Save(u))
	fault.At("trial failed")
	return errors.Join(err, t.Binary.Discard())
}

// run runs the candidate until it ends.
func (t Trial) run(ctx context.Context) (committed bool, status int, err error) {
	runtime.LockOSThread() // the candidate is killed when the thread that started it ends (endWithParent)
	defer runtime.UnlockOSThread()
	fromChild, said, err := os.Pipe()
	if err != nil {
		return false, 0, err
	}
	defer fromChild.Close()
	heard, toChild, err := os.Pipe()
	if err != nil {
		_ = said.Close()
		return false, 0, err
	}
	defer toChild.Close()
	c := &exec.Cmd{Path: t.Binary.Candidate(), Args: append([]string{string(t.Binary)}, t.Args...)} // ps shows what it is going to be
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), envTrial+"=1")
	c.ExtraFiles = []*os.File{said, heard} // 3, 4
	endWithParent(c)
	err = errors.Join(c.Start(), said.Close(), heard.Close())
	if err != nil {
		return false, 0, err
	}
	fault.At("trial started")
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }() // the state is in c.ProcessState
	committed, err = t.follow(ctx, fromChild, toChild, ended)
	if !committed || ctx.Err() != nil {
		_ = c.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(t.Grace + stopTime):
			_ = c.Process.Kill()
			<-ended
		}
	}
	if status = c.ProcessState.ExitCode(); status < 0 { // by a signal
		status = 1
	}
	return committed, status, err
}

// stopTime is what a master needs beside the grace time of its services.
const stopTime = 20 * time.Second

// follow commits the candidate when it has proved itself, and returns when it has ended or is to be ended.
func (t Trial) follow(ctx context.Context, from io.Reader, to io.Writer, ended <-chan struct{}) (committed bool, err error) {
	words := make(chan string, 2) // one is said; a candidate that babbles is not listened to
	go func() {
		defer close(words)
		in := bufio.NewScanner(io.LimitReader(from, 64<<10))
		for n := 0; n < cap(words) && in.Scan(); n++ {
			words <- in.Text()
		}
	}()
	deadline := time.NewTimer(t.Deadline)
	defer deadline.Stop()
	var healthy <-chan time.Time
	reason := errors.New("it ended before it had started the application")
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-ended:
			return false, t.lastWord(words, reason)
		case <-deadline.C:
			return false, fmt.Errorf("it has not started the application within %s", t.Deadline)
		case word, ok := <-words:
			if !ok {
				words = nil
			}
			if word == wordReady {
				deadline.Stop()
				healthy = time.After(t.Healthy)
				fault.At("trial ready")
			}
			reason = t.reasonOf(word, reason)
		case <-healthy:
			select {
			case <-ended: // at this very moment
				return false, reason
			default:
			}
			if err := t.Binary.Commit(); err != nil {
				return false, err
			}
			fault.At("trial committed")
			_, _ = io.WriteString(to, wordGo+"\n") // fails when it has just ended: its supervisor starts it again
			select {
			case <-ctx.Done():
			case <-ended:
			}
			return true, nil
		}
	}
}

// lastWord waits a moment for what an ended candidate has said. A child of it may still hold the pipe.
func (t Trial) lastWord(words <-chan string, reason error) error {
	for {
		select {
		case word, ok := <-words:
			if !ok {
				return reason
			}
			reason = t.reasonOf(word, reason)
		case <-time.After(time.Second):
			return reason
		}
	}
}

// reasonOf is why a candidate is given up that ends after it has said word.
func (t Trial) reasonOf(word string, otherwise error) error {
	if word == wordReady {
		return fmt.Errorf("it did not stay up for %s", t.Healthy)
	}
	if text, ok := strings.CutPrefix(word, wordError); ok {
		return errors.New(text)
	}
	return otherwise
}

// OnTrial returns the other side of Try, nil in a master that is not a candidate. It is called once, first of all.
func OnTrial() *Candidate {
	if os.Getenv(envTrial) == "" {
		return nil
	}
	_ = os.Unsetenv(envTrial)
	syscall.CloseOnExec(3) // no service gets them
	syscall.CloseOnExec(4)
	return &Candidate{say: os.NewFile(3, "trial"), hear: os.NewFile(4, "trial")}
}

// Candidate is a master on trial.
type Candidate struct{ say, hear *os.File }

// Ready tells that this master serves and has started the application, and returns when it is the one that boots.
func (c *Candidate) Ready(ctx context.Context) error {
	if _, err := io.WriteString(c.say, wordReady+"\n"); err != nil {
		return fmt.Errorf("tell that this master is ready: %w", err)
	}
	word := make(chan string, 1)
	go func() { // ends at the latest with the process on the other side
		line, _ := bufio.NewReader(c.hear).ReadString('\n')
		word <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case w := <-word:
		if w != wordGo {
			return errors.New("this master was on trial and is not wanted")
		}
		return nil
	}
}

// Fail tells why this master ends.
func (c *Candidate) Fail(err error) {
	if c != nil && err != nil {
		_, _ = io.WriteString(c.say, wordError+strings.ReplaceAll(err.Error(), "\n", "; ")+"\n")
	}
}
