//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// baetyl runs a command on the system, as its operator does, and returns what it says and its status.
func (s *system) baetyl(args ...string) (string, int) {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.path("bin/baetyl"), args...).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return string(out), exit.ExitCode()
	case err != nil:
		return string(out) + err.Error(), -1
	}
	return string(out), 0
}

// task is what an operator wants to know or do, with one command.
type task struct {
	wants  string
	before func(s *system) // nil: nothing is prepared
	args   []string        // {dir} is the working directory
	status int
	shows  []string // parts of the output, in the end: the command is repeated until then
}

// tasks are done in this order, on one system, in both modes.
var tasks = []task{
	{wants: "how is the device, and what next", shows: []string{"runs since", "baetyl ps"}},
	{wants: "which services run", args: []string{"ps"}, shows: []string{"localhub", "running"}},
	{wants: "the same for a program", args: []string{"ps", "-o", "json", "localhub"}, shows: []string{`"state": "running"`}},
	{wants: "who uses the processor", args: []string{"top", "--once"}, shows: []string{"INSTANCE", "localhub"}},
	{
		wants:  "why is it down",
		before: func(s *system) { s.replace(timerFile, "interval: ", "interval: never # ") },
		args:   []string{"service", "restart", "timer"},
	},
	{wants: "why is it down", args: []string{"ps", "timer"}, shows: []string{"timer", "never"}},
	{wants: "is anything wrong", args: []string{"status"}, status: 1, shows: []string{"timer"}},
	{wants: "the log of the crash", args: []string{"logs", "--since", "yesterday", "--tail", "20", "timer"},
		shows: []string{"interval"}},
	{wants: "what has happened", args: []string{"events", "--since", "1h"}, shows: []string{"timer", "instance"}},
	{wants: "leave it alone for now", args: []string{"service", "stop", "timer"}},
	{wants: "who has stopped it", args: []string{"ps", "timer"}, shows: []string{"stopped", "by hand", "baetyl service start timer"}},
	{
		wants:  "it is mended",
		before: func(s *system) { s.replace(timerFile, "interval: never # ", "interval: ") },
		args:   []string{"service", "start", "timer"},
	},
	{wants: "it runs again", args: []string{"ps", "timer"}, shows: []string{"running"}},
	{wants: "replace the master alone", args: []string{"restart"}, shows: []string{"a new master runs"}},
	{wants: "what was applied", args: []string{"history"}, shows: []string{"1"}},
	{wants: "all of a service", args: []string{"inspect", "localhub"}, shows: []string{"definition:", "localhub"}},
	{wants: "collect everything for support", args: []string{"support-bundle", "{dir}/support.tar.gz"}},
	{wants: "move this gateway", args: []string{"backup", "{dir}/backup.tar.gz"}},
}

// An operator does each task with one command, the same in both modes.
func TestOperator(t *testing.T) {
	s := newSystem(t)
	s.start()
	for _, one := range tasks {
		if one.before != nil {
			one.before(s)
		}
		args := make([]string, len(one.args))
		for n, a := range one.args {
			args[n] = strings.ReplaceAll(a, "{dir}", s.dir)
		}
		s.eventually(one.wants, func() error {
			out, status := s.baetyl(args...)
			if status != one.status {
				return fmt.Errorf("baetyl %s ends with %d and %s", strings.Join(args, " "), status, out)
			}
			for _, part := range one.shows {
				if !strings.Contains(out, part) {
					return fmt.Errorf("baetyl %s does not show %q: %s", strings.Join(args, " "), part, out)
				}
			}
			return nil
		})
	}
}
