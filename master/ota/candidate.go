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
// When the candidate exits before that, or is not ready in time, Run returns the reason, and the program runs the
// application itself. So whatever is killed, and whenever, the supervisor starts a binary that works. parent.go is the
// candidate's side.
const envCandidate = "BAETYL_MASTER_TRIAL"

// Words between program and candidate. They stay as they are: both sides are of different versions.
const (
	wordReady = "ready"
	wordGo    = "go"
	wordError = "error " // and the reason
)

// Candidate is a new binary that is to be tried.
type Candidate struct {
	Binary   Binary        // that it is to replace
	Args     []string      // of its start
	Healthy  time.Duration // that it stays up after it is ready
	Deadline time.Duration // until it is ready
	Grace    time.Duration // of its services, between asking it to end and killing it
	Log      log.Logger
}

// Run runs the candidate until it ends. committed tells that it stayed up and has become the binary. Otherwise err says
// why not, or ctx has ended. status is the exit status of the candidate.
func (c Candidate) Run(ctx context.Context) (committed bool, status int, err error) {
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
	// In ps the candidate has the name that it will have later.
	child := &exec.Cmd{Path: c.Binary.Candidate(), Args: append([]string{c.Binary.Path}, c.Args...)}
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = append(os.Environ(), envCandidate+"=1")
	child.ExtraFiles = []*os.File{said, heard} // 3, 4
	endWithParent(child)
	err = errors.Join(child.Start(), said.Close(), heard.Close())
	if err != nil {
		return false, 0, err
	}
	fault.At("candidate started")
	ended := make(chan struct{})
	go func() { _ = child.Wait(); close(ended) }() // the state is in child.ProcessState
	committed, err = c.follow(ctx, fromChild, toChild, ended)
	if !committed || ctx.Err() != nil {
		_ = child.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(c.Grace + stopTimeout):
			_ = child.Process.Kill()
			<-ended
		}
	}
	if status = child.ProcessState.ExitCode(); status < 0 { // by a signal
		status = 1
	}
	return committed, status, err
}

// stopTimeout is how long a master may take to stop, beside the grace time of its services.
const stopTimeout = 20 * time.Second

// follow commits the candidate when it has proved itself, and returns when it has ended or is to be ended.
func (c Candidate) follow(
	ctx context.Context, from io.Reader, to io.Writer, ended <-chan struct{},
) (committed bool, err error) {
	words := make(chan string, 2) // a candidate says one or two; more are ignored
	go func() {
		defer close(words)
		in := bufio.NewScanner(io.LimitReader(from, 64<<10))
		for n := 0; n < cap(words) && in.Scan(); n++ {
			words <- in.Text()
		}
	}()
	deadline := time.NewTimer(c.Deadline)
	defer deadline.Stop()
	var healthy <-chan time.Time
	reason := errors.New("it ended before it had started the application")
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-ended:
			return false, c.lastWord(words, reason)
		case <-deadline.C:
			return false, fmt.Errorf("it has not started the application within %s", c.Deadline)
		case word, ok := <-words:
			if !ok {
				words = nil
			}
			if word == wordReady {
				deadline.Stop()
				healthy = time.After(c.Healthy)
				fault.At("candidate ready")
			}
			reason = c.reasonOf(word, reason)
		case <-healthy:
			select {
			case <-ended: // at the same time
				return false, reason
			default:
			}
			committed, err := c.Binary.Commit()
			if !committed {
				return false, err
			}
			if err != nil {
				c.Log.WithError(err).Warnf("the new master is in place, but a power cut now could bring the old one back")
			}
			fault.At("candidate committed")
			_, _ = io.WriteString(to, wordGo+"\n") // fails when it has just ended: its supervisor starts it again
			select {
			case <-ctx.Done():
			case <-ended:
			}
			return true, nil
		}
	}
}

// lastWord waits up to a second for what an ended candidate has said: a child of it may still hold the pipe.
func (c Candidate) lastWord(words <-chan string, reason error) error {
	for {
		select {
		case word, ok := <-words:
			if !ok {
				return reason
			}
			reason = c.reasonOf(word, reason)
		case <-time.After(time.Second):
			return reason
		}
	}
}

// reasonOf is why a candidate is rejected that ends after it has said word.
func (c Candidate) reasonOf(word string, otherwise error) error {
	if word == wordReady {
		return fmt.Errorf("it did not stay up for %s", c.Healthy)
	}
	if text, ok := strings.CutPrefix(word, wordError); ok {
		return errors.New(text)
	}
	return otherwise
}
