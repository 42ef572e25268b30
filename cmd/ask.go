package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
)

const askTimeout = 5 * time.Minute // for an answer of the master: images are removed slowly

// newClient returns a client of the master in dir, over its admin socket.
func newClient(dir string) (*http.Client, error) {
	return http.NewClient(http.ClientConfig{
		Address: "unix://" + filepath.Join(dir, masterapi.AdminSocket), Timeout: askTimeout,
	})
}

// ask lets run ask the master. An error of it says what is wrong and what to do, and has its status.
func (e *env) ask(ctx context.Context, run func(context.Context, *http.Client) error) error {
	c, err := e.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	return e.explain(run(ctx, c))
}

// explain says what is wrong with what a client of the master has returned, and what to do.
func (e *env) explain(err error) error {
	dir, dirErr := e.Dir()
	if err == nil || dirErr != nil {
		return err
	}
	var answer *http.Error
	var slow net.Error
	var given failure
	switch {
	case errors.As(err, &given):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return noMaster{dir}
	case errors.Is(err, fs.ErrPermission):
		const text = "permission denied: you are not root, and not in group %s, whose members may do this (server.group)"
		return fmt.Errorf(text, adminGroup(dir))
	case errors.As(err, &answer) && answer.Status == 403:
		return errors.New("permission denied: " + answer.Message)
	case errors.As(err, &answer):
		return errors.New(answer.Message)
	case errors.As(err, &slow) && slow.Timeout():
		return fmt.Errorf("the master in %s has not answered within %s", dir, askTimeout)
	case isGone(err):
		return goneMaster{dir, err}
	}
	return err
}

// goneMaster is the error of a master that has gone in the middle of an answer.
type goneMaster struct {
	dir string
	error
}

func (g goneMaster) Error() string {
	var call *url.Error
	what := "ask again"
	if errors.As(g.error, &call) && call.Op != "Get" {
		what = "what it was asked for may be done or not, so look, and ask again"
	}
	return fmt.Sprintf("the master in %s has ended the connection before its answer was whole; "+
		"it may have been killed or replaced: %s", g.dir, what)
}

func (g goneMaster) Unwrap() error { return g.error }

// noMaster is the error of asking where no master runs.
type noMaster struct{ dir string }

func (n noMaster) Error() string {
	return fmt.Sprintf("no master runs in %s; choose its working directory with -w", n.dir)
}

// adminGroup is the group in the configuration at its usual place, where this user may read that.
func adminGroup(dir string) string {
	c, err := master.LoadConfig(filepath.Join(dir, master.ConfigFile))
	if err != nil {
		return conf.Default[master.Server]().Group
	}
	return c.Server.Group
}
