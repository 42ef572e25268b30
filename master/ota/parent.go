package ota

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// A version from before there was a keeper tries a candidate as its child, which is killed with it:
//
//	supervisor ─► <program> start ── starts ──► <program>.new start: keeper ─► its first master
//	                   ▲                                                │ serves, has started the application
//	                   │◄───────────── "ready" on fd 3 ─────────────────┤
//	    stays up for `healthy`                                          │
//	    rename: <program>.new is <program> now                          │
//	                   │────────────── "go" on fd 4 ───────────────────►│ UPDATED, takes updates
//	                   └ passes signals on, ends as it ends
//
// This is the candidate's side, in the first master of its keeper. The other way, back to such a version, the keeper is
// that parent.
const envCandidate = "BAETYL_MASTER_TRIAL"

// Words between program and candidate. They stay as they are: both sides are of different versions.
const (
	wordReady = "ready"
	wordGo    = "go"
	wordError = "error " // and the reason
)

// Parent is the master of a version before, which tries this one. A nil Parent is that of a master without one.
type Parent struct{ say, hear *os.File }

// FindParent returns the parent of a candidate, nil in a master that has none. It is called once, first of all.
func FindParent() *Parent {
	if os.Getenv(envCandidate) == "" {
		return nil
	}
	_ = os.Unsetenv(envCandidate)
	syscall.CloseOnExec(3) // no service gets them
	syscall.CloseOnExec(4)
	return &Parent{say: os.NewFile(3, "to parent"), hear: os.NewFile(4, "from parent")}
}

// Ready tells the parent that this master serves and has started the application. It returns when this master is the
// one that boots; an error means that the parent has rejected it, or ended.
func (p *Parent) Ready(ctx context.Context) error {
	if _, err := io.WriteString(p.say, wordReady+"\n"); err != nil {
		return fmt.Errorf("tell that this master is ready: %w", err)
	}
	word := make(chan string, 1)
	go func() { // ends at the latest with the process on the other side
		line, _ := bufio.NewReader(p.hear).ReadString('\n')
		word <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case w := <-word:
		if w != wordGo {
			return errors.New("this master was a candidate, and the previous master has rejected it")
		}
		return nil
	}
}

// Fail tells the parent why this master ends. It does nothing without a parent or an error.
func (p *Parent) Fail(err error) {
	if p != nil && err != nil {
		_, _ = io.WriteString(p.say, wordError+strings.ReplaceAll(err.Error(), "\n", "; ")+"\n")
	}
}
