package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
)

// Statuses of the commands that ask a running master, as init scripts have them (LSB).
const (
	statusFailed    = 1 // the master refuses, or does not answer
	statusForbidden = 4 // this user may not
	statusNoMaster  = 7 // none runs there
)

const (
	askTimeout     = 5 * time.Minute // for an answer of the master: images are removed slowly
	restartTimeout = time.Minute     // for the next master, once it was asked for
)

// adminCommands are those that ask a running master over its admin socket.
func adminCommands(stdout io.Writer) []*cobra.Command {
	var workdir string
	command := func(use, text string, run request) *cobra.Command {
		c := &cobra.Command{
			Use: use, Short: text, Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				dir, err := findWorkdir(workdir)
				if err != nil {
					return err
				}
				said, err := ask(dir, run)
				if err != nil {
					return fmt.Errorf("%s: %w", use, explain(dir, err))
				}
				fmt.Fprintln(stdout, said)
				return nil
			},
		}
		c.Flags().StringVarP(&workdir, "workdir", "w", "",
			"working directory of the master (default: parent of the folder of this program)")
		return c
	}
	return []*cobra.Command{
		command("restart", "Replace the running master alone; services go on running", restart),
		command("reload", "Make the running master read its configuration again", reload),
		pruneCommand(command),
	}
}

// request asks a master, and returns what to say.
type request func(context.Context, *http.Client) (string, error)

func ask(dir string, run request) (string, error) {
	c, err := http.NewClient(http.ClientConfig{
		Address: "unix://" + filepath.Join(dir, masterapi.AdminSocket), Timeout: askTimeout,
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return run(context.Background(), c)
}

func reload(ctx context.Context, c *http.Client) (string, error) {
	var out masterapi.Reloaded
	if err := c.PostJSON(ctx, masterapi.PathReload, nil, &out); err != nil {
		return "", err
	}
	return out.String(), nil
}

// restart returns when the next master answers.
func restart(ctx context.Context, c *http.Client) (string, error) {
	before, err := startTime(ctx, c)
	if err != nil {
		return "", err
	}
	begin := time.Now()
	if err := c.PostJSON(ctx, masterapi.PathRestart, nil, nil); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := startTime(ctx, c)
		if err == nil && !now.Equal(before) {
			return fmt.Sprintf("a new master runs after %s", time.Since(begin).Round(time.Millisecond)), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the master was asked to leave, and no other one has answered within %s: "+
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

// failure is an error with the status that the program ends with.
type failure struct {
	error
	status int
}

func (f failure) Unwrap() error { return f.error }

// explain says what is wrong, and what to do.
func explain(dir string, err error) error {
	var answer *http.Error
	var slow net.Error
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return failure{fmt.Errorf("no master runs in %s; choose its working directory with -w", dir), statusNoMaster}
	case errors.Is(err, fs.ErrPermission):
		text := "permission denied: you are not root, and not in group %s, whose members may do this (server.group)"
		return failure{fmt.Errorf(text, adminGroup(dir)), statusForbidden}
	case errors.As(err, &answer) && answer.Status == 403:
		return failure{errors.New("permission denied: " + answer.Message), statusForbidden}
	case errors.As(err, &answer):
		return failure{errors.New(answer.Message), statusFailed}
	case errors.As(err, &slow) && slow.Timeout():
		return failure{fmt.Errorf("the master in %s has not answered within %s", dir, askTimeout), statusFailed}
	}
	return failure{err, statusFailed}
}

// adminGroup is the group in the configuration at its usual place, where this user may read that.
func adminGroup(dir string) string {
	c, err := master.LoadConfig(filepath.Join(dir, master.ConfigFile))
	if err != nil {
		return conf.Default[master.Server]().Group
	}
	return c.Server.Group
}
