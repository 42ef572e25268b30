package cmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// stopTimeout is for the answer to the request, not for what it asks for.
const stopTimeout = 20 * time.Second

func stopCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "stop", Short: "End all services and the master, in their order", Args: noArgs,
		Long: "End all services in their order, and the master. It returns when all have ended.\n" +
			"What supervises the master starts it again: with systemd use `systemctl stop baetyl`, which calls this.\n" +
			"To stop one service: baetyl service stop NAME.",
		Example: "  baetyl stop",
		RunE: func(c *cobra.Command, _ []string) error {
			return e.ask(c.Context(), func(ctx context.Context, c *http.Client) error {
				took, err := e.stop(ctx, c)
				if err != nil {
					return err
				}
				e.Out.Says("everything has stopped after %s", took.Round(time.Millisecond))
				return nil
			})
		},
	}
}

// stop returns when the keeper of the master that answers has ended everything, and how long that took. How long it may
// take only the master knows. One that is killed meanwhile has a successor, which carries it out.
func (e *env) stop(ctx context.Context, c *http.Client) (time.Duration, error) {
	dir, err := e.Dir()
	if err != nil {
		return 0, err
	}
	begin, socket := time.Now(), filepath.Join(dir, masterapi.AdminSocket)
	before, err := os.Stat(socket)
	if err != nil {
		return 0, err
	}
	asking, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	err = twice(func() error { return c.PostJSON(asking, masterapi.PathStop, nil, nil) })
	switch {
	case asking.Err() != nil:
		return 0, fmt.Errorf("the master has not answered within %s: end it with SIGTERM to the keeper (baetyl start)",
			stopTimeout)
	case err != nil && !isAbsent(err): // the answer was lost, and all has ended
		return 0, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := startTime(ctx, c)
		now, gone := os.Stat(socket)
		if isAbsent(err) || gone != nil || !os.SameFile(before, now) || !before.ModTime().Equal(now.ModTime()) {
			return time.Since(begin), nil // another keeper has another socket
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("wait until everything has stopped: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
