package engine

import (
	"errors"
	"io"
	"syscall"
)

// Errors of Instance.Exec.
var (
	ErrEnded         = errors.New("the instance has ended")
	ErrNoProgram     = errors.New("the program is not there")
	ErrNotExecutable = errors.New("the program cannot be run")
)

// Exec is a command to run in an instance.
type Exec struct {
	Args []string          // program, found in PATH of the instance unless there is a slash in it, and its arguments
	Env  map[string]string // beside the environment of the instance, or in place of variables of it
	Dir  string            // absolute; empty: that of the instance
	// Stdin is read until its end, or until the command has ended: a Read may still wait then. nil: there is none.
	Stdin io.Reader
	// Stdout and Stderr get what the command writes, each from one goroutine, until Exec returns. One that blocks
	// holds the command up; one that fails is written to no more, and the command gets SIGPIPE where the engine can.
	// nil: discarded.
	Stdout, Stderr io.Writer
	Terminal       *Terminal             // nil: pipes. With it all that the command writes goes to Stdout
	Signals        <-chan syscall.Signal // go to the process group of the command; nil: none
}

// Terminal is one for a command.
type Terminal struct {
	Size   Size
	Resize <-chan Size // nil: it keeps its size
}

// Size is that of a terminal, in characters; 0: not known.
type Size struct{ Rows, Columns uint16 }
