// Package cmd is the command line of Baetyl. A command asks the master through its API alone, and is one file here:
//
//	args ─► commands (this file) ─► env: working directory, client of the master, output ─► run of the command
//	                             error ─► status: 0 done, 1 failed, 2 wrong use, 78 wrong configuration
//
// docs/cli.md describes each; `go generate ./cmd` writes it.
package cmd

//go:generate go test -run TestReferenceIsFresh . -update

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/utils/logfile"
)

// Version and Revision are set by the linker.
var (
	Version  string
	Revision string
)

// Statuses that the program ends with.
const (
	statusDone   = 0
	statusFailed = 1  // also what was rolled back
	statusUsage  = 2  // of arguments that make no sense; nothing was done
	statusConfig = 78 // a file of the configuration is wrong (EX_CONFIG); nothing was done
)

// groups are the commands as help shows them. Each is made by a function of its own file.
var groups = []struct {
	id, title string
	commands  []func(*env) *cobra.Command
}{
	{"look", "Look at the device:", []func(*env) *cobra.Command{
		statusCommand, psCommand, topCommand, logsCommand, eventsCommand, inspectCommand, doctorCommand, bundleCommand,
		historyCommand,
	}},
	{"change", "Change what runs:", []func(*env) *cobra.Command{
		validateCommand, planCommand, applyCommand, revertCommand, serviceCommand, execCommand,
		restartCommand, reloadCommand, pruneCommand, uiCommand, backupCommand, restoreCommand,
	}},
	{"module", "Ask modules:", []func(*env) *cobra.Command{hubCommand, functionCommand, sqlCommand}},
	{"run", "Run the master:", []func(*env) *cobra.Command{startCommand, stopCommand, checkCommand, versionCommand}},
}

// noArgs refuses arguments of a command that takes none, and tells of a flag that may be what was meant.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s takes no argument: %q", c.CommandPath(), args[0])
	for _, filter := range []string{"client", "topic", "user"} {
		if c.Flags().Lookup(filter) != nil {
			return fmt.Errorf("%s; only some: --%s %s", text, filter, args[0])
		}
	}
	return errors.New(text)
}

// Main is Execute for this process. What it says at the end waits for no console.
func Main() int { return Execute(os.Args[1:], os.Stdin, os.Stdout, logfile.LastWords{}) }

// Execute runs the command that args (os.Args without the program) name, and returns the exit status.
func Execute(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{Stdin: stdin, Out: out.New(stdout, os.Getenv), Stderr: stderr}
	f := failure{status: statusFailed}
	err := e.run(args)
	switch {
	case err == nil: // whoever reads the output has to get it
		if err = e.Out.Err(); err == nil {
			return statusDone
		}
	case !errors.As(err, &f) && !e.began: // the arguments were not accepted
		f.status = statusUsage
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, "baetyl:", out.Block(text))
	}
	if f.status == statusUsage && e.used != nil {
		fmt.Fprintf(stderr, "baetyl: see %s --help\n", e.used.CommandPath())
	}
	return f.status
}

// root is the command line.
func root(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:           "baetyl",
		Short:         "Run the services of an application on an edge device",
		Example:       "  baetyl\n  baetyl start\n  baetyl version",
		SilenceErrors: true,
		SilenceUsage:  true,
		Long: "Without a command: how the device is, and what to type next.\n\n" +
			"Statuses: 0 done, 1 failed or rolled back, 2 wrong use, 78 wrong configuration.",
		RunE: func(c *cobra.Command, _ []string) error { return e.overview(c.Context()) },
	}
	for _, g := range groups {
		c.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, command := range g.commands {
			one := command(e)
			one.GroupID = g.id
			c.AddCommand(one)
		}
	}
	c.PersistentFlags().Var(&e.host, "host",
		"run the command on another device by ssh; files that it names are those of this one")
	e.prepare(c)
	return c
}

// run parses args and runs the command that they name.
func (e *env) run(args []string) error {
	c := root(e)
	c.SetArgs(args)
	c.SetIn(e.Stdin)
	c.SetOut(e.Out)
	c.SetErr(e.Stderr)
	e.used = c
	used, err := c.ExecuteC()
	if used != nil {
		e.used = used
	}
	return err
}

// prepare makes c and the commands below it say what is wrong with their arguments, and know their working directory.
func (e *env) prepare(c *cobra.Command) {
	if c.HasSubCommands() && c.Args == nil {
		c.Args, c.SuggestionsMinimumDistance = known, 2
	}
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			e.began, e.used = true, c
			if e.elsewhere(c) {
				return e.runElsewhere(c, args)
			}
			return run(c, args)
		}
	} else {
		c.RunE = func(c *cobra.Command, _ []string) error { // a noun without a verb
			return fmt.Errorf("say what to do: one of %s", strings.Join(names(c), ", "))
		}
	}
	if c.Annotations[offline] == "" && (!c.HasSubCommands() || !c.HasParent()) {
		c.Flags().StringVarP(&e.workdir, "workdir", "w", "",
			"working directory of the master (default: parent of the folder of this program)")
	}
	for _, sub := range c.Commands() {
		e.prepare(sub)
	}
}

// offline is the annotation of a command that needs no working directory, and gets no flag -w.
const offline = "offline"

// known refuses a command that does not exist.
func known(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("there is no command %q", strings.TrimSpace(c.CommandPath()+" "+args[0]))
	if close := c.SuggestionsFor(args[0]); len(close) > 0 {
		text += "; did you mean " + strings.Join(close, " or ") + "?"
	}
	return errors.New(text)
}

// names are those of the commands below c that help shows.
func names(c *cobra.Command) (out []string) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			out = append(out, sub.Name())
		}
	}
	return out
}
