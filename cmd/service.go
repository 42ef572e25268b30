package cmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func serviceCommand(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "service", Short: "Start, stop and restart services",
		Long: "Start, stop and restart services by hand. Each is reported, and the status is 1 when one of them failed.",
		Example: "  baetyl service stop sensor-reader\n  baetyl service start sensor-reader\n" +
			"  baetyl service restart hub",
	}
	c.AddCommand(
		e.serviceVerb(masterapi.ActionStart, "Start services that were stopped, or have failed",
			"Start services that were stopped by hand. Of others, replicas that do not run begin anew: also those that were\n"+
				"given up, or wait for their next start.", "started"),
		e.serviceVerb(masterapi.ActionStop, "Stop services, until somebody starts them",
			"Stop services. They stay stopped, also after a restart of the device, until somebody starts them, or an update\n"+
				"changes their definition. Services that depend on them go on.",
			"stopped; it stays so until: baetyl service start %s"),
		e.serviceVerb(masterapi.ActionRestart, "End services, and start them anew",
			"End all instances of services, and start them anew, with nothing known of earlier failures.", "restarted"),
	)
	return c
}

func (e *env) serviceVerb(verb, short, long, done string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME…", Short: short, Long: long, Args: cobra.MinimumNArgs(1),
		Example: fmt.Sprintf("  baetyl service %s sensor-reader\n  baetyl service %s hub agent", verb, verb),
		RunE: func(c *cobra.Command, names []string) error {
			failed := 0
			for _, name := range names {
				err := e.ask(c.Context(), func(ctx context.Context, c *http.Client) error {
					return twice(func() error {
						return e.patient(ctx, func() error { return c.PostJSON(ctx, masterapi.PathServiceAction(name, verb), nil, nil) })
					})
				})
				if none := (noMaster{}); errors.As(err, &none) {
					return err
				}
				if err != nil {
					failed++
					fmt.Fprintf(e.Stderr, "%s: not %s: %s\n", out.Harmless(name), pastOf[verb], out.Block(err.Error()))
					continue
				}
				text := done
				if verb == masterapi.ActionStop {
					text = fmt.Sprintf(done, name)
				}
				e.Out.Says("%s: %s", name, text)
			}
			if failed > 0 {
				return failure{fmt.Errorf("%d of %d services failed", failed, len(names)), statusFailed}
			}
			return nil
		},
	}
}

// pastOf are the verbs as what has been done.
var pastOf = map[string]string{
	masterapi.ActionStart: "started", masterapi.ActionStop: "stopped", masterapi.ActionRestart: "restarted",
}
