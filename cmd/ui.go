package cmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func uiCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "ui", Short: "Print a link to the page of this device, which logs in once", Args: noArgs,
		Long: "Print a link to the page of this device (ui.address of conf.yml). It logs in the first browser\n" +
			"that opens it, within five minutes. On another computer, let ssh bring the port of the page there:\n" +
			"ssh -L 8321:127.0.0.1:8321 device.",
		Example: "  baetyl ui",
		RunE: func(c *cobra.Command, _ []string) error {
			return e.ask(c.Context(), func(ctx context.Context, c *http.Client) error {
				var out masterapi.Link
				if err := c.PostJSON(ctx, masterapi.PathLinks, nil, &out); err != nil {
					return err
				}
				e.Out.Says("%s\nIt works once, until %s.", out.URL, out.Ends.Local().Format(time.TimeOnly))
				return nil
			})
		},
	}
}
