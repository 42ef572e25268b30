package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func applyCommand(e *env) *cobra.Command {
	var u updates
	c := &cobra.Command{
		Use: "apply FILE|DIR|PACKAGE|-", Short: "Update the device to an application", Args: cobra.ExactArgs(1),
		Long: "Update the device to the application in FILE: check it, show what changes, and follow the update to its\n" +
			"end. When new services do not stay up, the previous application is put back, and the status is 1. A wrong\n" +
			"file is 78.\n\n" +
			"DIR, or PACKAGE (.zip), has an application.yml, and folders of volumes at their paths, below var/db/baetyl. A\n" +
			"folder that the device has not is put there before; one that it has stays as it is: name another path for new\n" +
			"content. Whoever brings volumes has to be able to write there.",
		Example: "  baetyl apply application.yml\n  baetyl apply --yes --no-wait app-v2.zip\n" +
			"  ssh build cat application.yml | baetyl apply -",
		RunE: func(c *cobra.Command, args []string) error {
			s, err := e.open(args[0])
			if err != nil {
				return err
			}
			defer s.close()
			waits := u.waits(c)
			return e.ask(c.Context(), func(ctx context.Context, c *http.Client) error { return e.apply(ctx, c, s, u, waits) })
		},
	}
	u.flags(c)
	e.formatFlag(c)
	return c
}

func (e *env) apply(ctx context.Context, c *http.Client, s source, u updates, waits bool) error {
	p, err := plan(ctx, c, s)
	if err != nil {
		return err
	}
	if e.isTable() {
		if err := e.Out.Print(p, func(r *out.Rows) { planRows(r, p) }); err != nil {
			return err
		}
	}
	if err := e.remarks(p, u.force); err != nil {
		return fmt.Errorf("%w; --force applies it all the same where that is possible", err)
	}
	if err := e.confirmed(u.yes, "Apply this?"); err != nil {
		return err
	}
	dir, err := e.Dir()
	if err != nil {
		return err
	}
	placed, there, err := s.place(dir)
	for _, path := range placed {
		fmt.Fprintln(e.Stderr, "volume put in place:", out.Harmless(path))
	}
	if len(there) > 0 {
		fmt.Fprintf(e.Stderr, "warning: there already, and left as it is: %s\n", out.Harmless(strings.Join(there, ", ")))
	}
	if err != nil {
		return err
	}
	r := masterapi.UpdateRequest{Application: string(s.data), Trace: newTrace(), Force: u.force}
	if err := e.request(ctx, r.Trace, func() error { return c.Put(ctx, masterapi.PathUpdate, r, nil) }); err != nil {
		return err
	}
	return e.begun(ctx, r.Trace, u, waits, fmt.Sprintf("done: version %q runs", s.app.Version))
}

// begun follows an update that has begun, unless nobody waits for it.
func (e *env) begun(ctx context.Context, trace string, u updates, waits bool, done string) error {
	if !waits {
		if e.isTable() {
			e.Out.Says("the update has begun: baetyl history says how it ends")
			return nil
		}
		return e.Out.Print(masterapi.UpdateState{Running: true, Type: masterapi.UpdateApp, Trace: trace}, nil)
	}
	if err := e.follow(ctx, trace, u.timeout); err != nil {
		return err
	}
	if e.isTable() {
		e.Out.Says("%s", done)
	}
	return nil
}

// isTable tells whether the output is for people.
func (e *env) isTable() bool { return e.Out.Format == "" || e.Out.Format == out.Table }
