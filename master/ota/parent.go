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

// Parent is the master that has started this one as its candidate. A nil Parent is that of a master that is none.
type Parent struct{ say, hear *os.File }

// FindParent returns the other side of Candidate.Run, nil in a master that is not a candidate. It is called once,
// first of all.
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
