package cmd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
)

// env is what a command has beside its arguments.
type env struct {
	Stdin  io.Reader
	Out    *out.Printer // what was asked for
	Stderr io.Writer    // what else is to say: progress, warnings, questions

	workdir string         // as -w says
	host    host           // as --host says
	used    *cobra.Command // that was named
	began   bool           // its arguments were accepted
	client  *http.Client
}

// Dir is the working directory of the master, absolute.
func (e *env) Dir() (string, error) { return findWorkdir(e.workdir) }

// Client asks the master in Dir over its admin socket. What it returns as an error says what to do once explain has had
// it: call the master by ask.
func (e *env) Client() (*http.Client, error) {
	if e.client != nil {
		return e.client, nil
	}
	dir, err := e.Dir()
	if err != nil {
		return nil, err
	}
	e.client, err = newClient(dir)
	return e.client, err
}

// formatFlag adds -o to a command whose output is Out.Print or Out.Line.
func (e *env) formatFlag(c *cobra.Command) {
	c.Flags().VarP((*format)(&e.Out.Format), "output", "o", "one of "+strings.Join(out.Formats, ", "))
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(out.Formats, cobra.ShellCompDirectiveNoFileComp))
}

// format is the value of -o.
type format string

func (f *format) String() string {
	if *f == "" {
		return out.Table
	}
	return string(*f)
}
func (f *format) Type() string { return "format" }
func (f *format) Set(text string) error {
	if !slices.Contains(out.Formats, text) {
		return errors.New("use one of " + strings.Join(out.Formats, ", "))
	}
	*f = format(text)
	return nil
}

// failure is an error with the status that the program ends with. An empty text says nothing.
type failure struct {
	error
	status int
}

func (f failure) Unwrap() error { return f.error }

// misused is the error of arguments that only the command itself can judge.
func misused(format string, args ...any) error {
	return failure{fmt.Errorf(format, args...), statusUsage}
}

// misconfigured is the error of a file that is wrong.
func misconfigured(err error) error { return failure{err, statusConfig} }
