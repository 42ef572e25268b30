package cmd

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// exitStatus is the status of a candidate. The program ends with it, and prints no error: the candidate has done so.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// executable is the path of this program after resolving links.
func executable() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find executable: %w", err)
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return "", fmt.Errorf("find path of executable: %w", err)
	}
	return exe, nil
}

// findWorkdir returns the absolute working directory: the given one, or the parent of the folder that holds this
// program.
func findWorkdir(given string) (string, error) {
	if given == "" {
		exe, err := executable()
		if err != nil {
			return "", err
		}
		given = filepath.Dir(filepath.Dir(exe))
	}
	dir, err := filepath.Abs(given)
	if err != nil {
		return "", fmt.Errorf("find working directory: %w", err)
	}
	if info, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("find working directory: %w", err)
	} else if !info.IsDir() {
		return "", fmt.Errorf("find working directory: %s is not a folder", dir)
	}
	return dir, nil
}

// runMaster runs the master until a signal ends it, or an update of its binary.
func runMaster(dir, config string) (err error) {
	// First, so that a signal during start-up stops what has been started, as later.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // a console that is closed is no reason to stop services
	parent := ota.FindParent()
	defer func() { parent.Fail(err) }()

	cfg, err := master.LoadConfig(config)
	if err != nil {
		return err
	}
	exe, err := executable()
	if err != nil {
		return err
	}
	// Paths of certificates and logs in the configuration are relative to the working directory.
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("change to working directory: %w", err)
	}
	l := log.New(cfg.Logger, "baetyl", "master")
	defer l.Close()
	opts := master.Options{Workdir: dir, Config: config, Version: Version, Revision: Revision, Log: l, Program: exe}
	if parent != nil {
		opts.Program, opts.Ready = ota.OfCandidate(exe), parent.Ready
	} else if done, err := tryUpdate(ctx, cfg, opts); done {
		return err
	}
	e, err := newEngine(cfg, dir, l)
	if err != nil {
		return err
	}
	m, err := master.New(cfg, e, opts)
	if err != nil {
		return fmt.Errorf("start master: %w", err)
	}
	server := api.NewServer(m.Services(), m, api.ServerOptions{
		Config: cfg.Listen(dir), Admin: filepath.Join(dir, masterapi.AdminSocket), Group: cfg.Server.Group,
		Service: func(uid int) bool { return cfg.Native.Users.Contains(uint32(uid)) },
		Log:     l,
	})
	if err := m.Run(ctx, server); err != nil {
		return fmt.Errorf("run master: %w", err)
	}
	return nil
}

// tryUpdate runs a new binary that an update has brought, if there is one. done tells that it has ended, and that this
// program ends too.
func tryUpdate(ctx context.Context, cfg master.Config, opts master.Options) (done bool, err error) {
	done, status, err := master.Try(ctx, cfg, opts)
	switch {
	case done && err != nil:
		return true, fmt.Errorf("try a new master: %w", err)
	case done && status != 0:
		return true, exitStatus(status)
	case err != nil:
		opts.Log.WithError(err).Errorf("cannot record that the new master was rejected; the previous master keeps running")
	}
	return done, nil
}
