package cmd

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func inspectCommand(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "inspect [SERVICE]", Short: "Show all there is to know of the device, or of a service",
		Long: "Show all there is to know of the device, or of a service with its definition, as YAML or, with -o json,\n" +
			"as JSON. Secrets in the definition are replaced by ***.",
		Example: "  baetyl inspect\n  baetyl inspect localhub\n  baetyl inspect -o json localhub",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: e.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			path := masterapi.PathInspect
			if len(args) == 1 {
				path = masterapi.PathService(args[0])
			}
			var body json.RawMessage
			err := e.ask(c.Context(), func(ctx context.Context, c *http.Client) error { return c.Get(ctx, path, &body) })
			if err != nil {
				return err
			}
			if e.Out.Format == "" || e.Out.Format == out.Table { // it is no table
				e.Out.Format = out.YAML
			}
			return e.Out.Print(body, nil)
		},
	}
	e.formatFlag(c)
	return c
}
