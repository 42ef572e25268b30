package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func psCommand(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "ps [SERVICE…]", Short: "List services and their instances",
		Long: "List services and their instances: how each is, since when, and why it is not as it should be.\n" +
			"-o json and yaml have the body of the API (GET services).",
		Example:           "  baetyl ps\n  baetyl ps localhub\n  baetyl ps -o json",
		ValidArgsFunction: e.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			list, err := e.services(c.Context(), false, args)
			if err != nil {
				return err
			}
			return e.Out.Print(list, func(r *out.Rows) { psTable(r, list, time.Now()) })
		},
	}
	e.formatFlag(c)
	return c
}

// services asks for the services with these names; none: all.
func (e *env) services(ctx context.Context, measured bool, names []string) (list masterapi.Services, err error) {
	path := masterapi.PathServices
	if measured {
		path += "?" + masterapi.QueryMeasured + "=true"
	}
	err = e.ask(ctx, func(ctx context.Context, c *http.Client) error { return c.Get(ctx, path, &list) })
	if err != nil || len(names) == 0 {
		return list, err
	}
	all := list.Services
	list.Services = []masterapi.ServiceStatus{}
	for _, name := range names {
		found := false
		for _, s := range all {
			if s.Name == name {
				list.Services, found = append(list.Services, s), true
			}
		}
		if !found {
			return list, unknownService(name, all)
		}
	}
	return list, nil
}

// unknownService says which services there are.
func unknownService(name string, all []masterapi.ServiceStatus) error {
	var known []string
	for _, s := range all {
		known = append(known, s.Name)
	}
	if len(known) == 0 {
		return fmt.Errorf("there is no service %s: the application has no services", name)
	}
	return errors.New("there is no service " + name + "; there are " + strings.Join(known, ", "))
}

// psTable has a line for each instance, and one for a service without.
func psTable(r *out.Rows, list masterapi.Services, now time.Time) {
	r.Head("SERVICE", "INSTANCE", "STATUS", "HEALTH", "SINCE", "RESTARTS", "WHY")
	for _, s := range list.Services {
		if len(s.Instances) == 0 {
			since := "-"
			if s.Stopped != nil {
				since = ago(s.Stopped.Since, now)
			}
			r.Add(s.Name, "-", stateCell(s.State), "-", since, "-", firstLine(reason(s, nil)))
		}
		for _, i := range s.Instances {
			since, health := "-", out.Cell{Text: "-"}
			if i.StartTime != nil {
				since = ago(*i.StartTime, now)
			}
			if i.Health != nil {
				health = stateCell(i.Health.Status)
			}
			r.Add(s.Name, i.Name, stateCell(i.Status), health, since, i.Restarts, firstLine(reason(s, &i)))
		}
	}
}

// byHand says who has stopped a service, and what to type.
func byHand(s masterapi.ServiceStatus) string {
	return fmt.Sprintf("by hand, by %s: baetyl service start %s", s.Stopped.By, s.Name)
}

// reason is why a service, or an instance of it, is as it is; empty: as it should be.
func reason(s masterapi.ServiceStatus, i *masterapi.Instance) string {
	switch {
	case s.Stopped != nil:
		return byHand(s)
	case i == nil:
		return s.Error
	case i.Status == masterapi.StatusWaiting:
		return "waits for " + i.Waiting
	case i.Health != nil && i.Health.Status == masterapi.HealthUnhealthy:
		return i.Health.Probe + ": " + i.Health.Output
	case i.Status == masterapi.StatusRunning || i.Error == "":
		return s.Error
	}
	return i.Error
}

// stateCell colours a state.
func stateCell(state string) out.Cell {
	switch state {
	case masterapi.StatusRunning, masterapi.HealthHealthy:
		return out.Cell{Text: state, Colour: out.Good}
	case masterapi.StatusFailed, masterapi.HealthUnhealthy:
		return out.Cell{Text: state, Colour: out.Bad}
	case masterapi.StatusExited, masterapi.StateIdle:
		return out.Cell{Text: state, Colour: out.Faint}
	}
	return out.Cell{Text: state, Colour: out.Warn}
}

// firstLine is what fits into a table: all of what a module says of a mistake in its configuration, which comes last.
func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return out.Cut(out.Harmless(text), 320)
}

// completeServices offers the names of the services that are not among args yet.
func (e *env) completeServices(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	list, err := e.services(c.Context(), false, nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range list.Services {
		names = append(names, s.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
