package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// pruneCommand is `baetyl prune`; command makes one that asks a master.
func pruneCommand(command func(use, text string, run request) *cobra.Command) *cobra.Command {
	var r masterapi.PruneRequest
	c := command("prune", "Remove images, networks and, with --volumes, volumes that nobody uses",
		func(ctx context.Context, c *http.Client) (string, error) {
			var out masterapi.Pruned
			err := c.PostJSON(ctx, masterapi.PathPrune, r, &out)
			return out.String(), err
		})
	c.Flags().BoolVar(&r.Volumes, "volumes", false, "also volumes that no application names; their data is lost")
	c.Flags().BoolVar(&r.DryRun, "dry-run", false, "only say what would be removed")
	return c
}
