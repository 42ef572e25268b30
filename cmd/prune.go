package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func pruneCommand(e *env) *cobra.Command {
	var r masterapi.PruneRequest
	c := &cobra.Command{
		Use: "prune", Short: "Remove images, networks and, with --volumes, volumes that nobody uses", Args: noArgs,
		Example: "  baetyl prune --dry-run\n  baetyl prune --volumes",
		RunE: func(c *cobra.Command, _ []string) error {
			return e.ask(c.Context(), func(ctx context.Context, c *http.Client) error {
				var out masterapi.Pruned
				if err := c.PostJSON(ctx, masterapi.PathPrune, r, &out); err != nil {
					return err
				}
				e.Out.Says("%s", out.String())
				return nil
			})
		},
	}
	c.Flags().BoolVar(&r.Volumes, "volumes", false, "also volumes that no application names; their data is lost")
	c.Flags().BoolVar(&r.DryRun, "dry-run", false, "only say what would be removed")
	return c
}
