//go:build unix

package native

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
)

const (
	portionSize = 32 << 10    // bytes that are copied at once
	lastWait    = time.Second // for output after the end of all that could write, when a stranger still has the pipe
	lastBytes   = 1 << 20     // that are read then; a pipe holds no more
	endOfInput  = "\x04"      // what a terminal takes for the end of the input (stty eof)
)

// stdio is what a command reads and writes.
//
//	Stdin ─► pipe ─► command ─► pipe ─► Stdout          with a terminal one file is all three
type stdio struct {
	e      engine.Exec
	theirs [3]*os.File
	input  *os.File   // where Stdin goes; nil: nowhere
	output []*os.File // where Stdout and Stderr come from
	term   *os.File   // nil: pipes

	ended  chan struct{} // closed by finish
	copies sync.WaitGroup
}

// openStdio opens what the command gets. begin has to be called, or close.
func openStdio(e engine.Exec) (s *stdio, err error) {
	s = &stdio{e: e, ended: make(chan struct{})}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if e.Terminal != nil {
		var inner *os.File
		if s.term, inner, err = openTerminal(e.Terminal.Size); err != nil {
			return nil, err
		}
		s.theirs, s.input, s.output = [3]*os.File{inner, inner, inner}, s.term, []*os.File{s.term}
		return s, nil
	}
	if e.Stdin == nil {
		s.theirs[0], err = os.Open(os.DevNull)
	} else {
		s.theirs[0], s.input, err = os.Pipe()
	}
	for n := 1; n <= 2 && err == nil; n++ {
		var r *os.File
		if r, s.theirs[n], err = os.Pipe(); err == nil {
			s.output = append(s.output, r)
		}
	}
	return s, err
}

// begin copies, once the command has its own.
func (s *stdio) begin() {
	closeFiles(s.theirs[:])
	for n, from := range s.output {
		to := []io.Writer{s.e.Stdout, s.e.Stderr}[n]
		s.copies.Go(func() { s.copy(to, from) })
	}
	if s.input == nil || s.e.Stdin == nil {
		return
	}
	go func() { // ends with the next Read of Stdin after the end
		buf := make([]byte, portionSize)
		_, err := io.CopyBuffer(struct{ io.Writer }{s.input}, struct{ io.Reader }{s.e.Stdin}, buf)
		switch {
		case s.term == nil:
			_ = s.input.Close()
		case err == nil:
			_, _ = s.input.WriteString(endOfInput) // fails when the command has ended
		}
	}()
}

// copy copies until all writers have ended. What cannot be written any more is not read either: writers get SIGPIPE, or
// those at a terminal wait until they are killed.
func (s *stdio) copy(to io.Writer, from *os.File) {
	buf := make([]byte, portionSize)
	for left := lastBytes; left > 0; {
		over := isClosed(s.ended)
		if over {
			_ = from.SetReadDeadline(time.Now().Add(lastWait))
		}
		n, err := from.Read(buf)
		if over {
			left -= n
		}
		if n > 0 && to != nil {
			if _, failed := to.Write(buf[:n]); failed != nil {
				err = failed
			}
		}
		if err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && !over) { // else the deadline is one of finish
			break
		}
	}
	if s.term == nil {
		_ = from.Close()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// finish waits until what was written has been read.
func (s *stdio) finish() {
	close(s.ended)
	for _, f := range s.output {
		_ = f.SetReadDeadline(time.Now().Add(lastWait))
	}
	s.copies.Wait()
}

// resize changes the size of the terminal.
func (s *stdio) resize(size engine.Size) {
	if s.term != nil {
		_ = setSize(s.term, size) // an error means that the command has ended
	}
}

// close closes all, twice some of it.
func (s *stdio) close() {
	closeFiles(append(append(s.theirs[:], s.output...), s.input))
}
