package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

const restartTimeout = time.Minute // for the next master, once it was asked for

func restartCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "restart", Short: "Replace the running master alone; services go on running", Args: noArgs,
		Long: "Replace the running master alone. Services go on running; the next master takes them over.\n" +
			"To restart a service: baetyl service restart NAME.",
		Example: "  baetyl restart",
		RunE: func(c *cobra.Command, _ []string) error {
			return e.ask(c.Context(), func(ctx context.Context, c *http.Client) error {
				took, err := restart(ctx, c)
				if err != nil {
					return err
				}
				e.Out.Says("a new master runs after %s", took.Round(time.Millisecond))
				return nil
			})
		},
	}
}

func reloadCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Make the running master read its configuration again", Args: noArgs,
		Long:    "Make the running master read conf.yml again, and say which keys hold now, and which need more.",
		Example: "  baetyl reload",
		RunE: func(c *cobra.Command, _ []string) error {
			return e.ask(c.Context(), func(ctx context.Context, c *http.Client) error {
				var out masterapi.Reloaded
				if err := c.PostJSON(ctx, masterapi.PathReload, nil, &out); err != nil {
					return err
				}
				e.Out.Says("%s", out.String())
				return nil
			})
		},
	}
}

// restart returns when the next master answers, and how long that took.
func restart(ctx context.Context, c *http.Client) (time.Duration, error) {
	before, err := startTime(ctx, c)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	err = c.PostJSON(ctx, masterapi.PathRestart, nil, nil)
	if err != nil && !isGone(err) { // one that has gone is replaced
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := startTime(ctx, c)
		if err == nil && !now.Equal(before) {
			return time.Since(begin), nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("the master was asked to leave, and no other one has answered within %s: "+
				"its log says why", restartTimeout)
		case <-tick.C:
		}
	}
}

func startTime(ctx context.Context, c *http.Client) (time.Time, error) {
	var out masterapi.Inspect
	if err := c.Get(ctx, masterapi.PathInspect, &out); err != nil {
		return time.Time{}, err
	}
	if out.Software.StartTime == nil {
		return time.Time{}, errors.New("the master does not say since when it runs")
	}
	return *out.Software.StartTime, nil
}
