package cmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/utils/log"
)

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

// runMaster runs the master until it is asked to end, or leaves its services to another one.
func runMaster(dir, config string) (err error) {
	k, err := keeper.Dial()
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(context.Background())
	defer end(nil)
	a := asked{end: end, reload: make(chan struct{}, 1)}
	defer a.listen(k)()
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
		opts.Program, opts.Ready, opts.HasParent = ota.OfCandidate(exe), parent.Ready, true
	}
	candidate, err := greet(ctx, k, cfg, &opts)
	if err != nil {
		return err
	}
	defer func() {
		if candidate && err != nil {
			_ = k.Leave(err.Error()) // why it is rejected
		}
	}()
	e, err := newEngine(cfg, dir, l)
	if err != nil {
		return err
	}
	m, err := master.New(cfg, e, opts)
	if err != nil {
		return fmt.Errorf("start master: %w", err)
	}
	go a.reloads(ctx, m)
	server := api.NewServer(m.Services(), m, api.ServerOptions{
		Config: cfg.Listen(dir), Admin: filepath.Join(dir, api.AdminSocket), Group: "baetyl", Log: l,
	})
	if err := m.Run(ctx, server); err != nil {
		return fmt.Errorf("run master: %w", err)
	}
	return nil
}

// greet tells the keeper of this master, and takes what an earlier one has left with it. candidate tells that the keeper
// tries this master. Without a keeper it does nothing.
func greet(ctx context.Context, k *keeper.Client, cfg master.Config, opts *master.Options) (candidate bool, err error) {
	if k == nil {
		return false, nil
	}
	s, err := k.Hello(ctx, keeper.Hello{Protocol: keeper.Protocol, Part: keeper.Part, Grace: cfg.Grace})
	if err != nil {
		return false, err
	}
	opts.Keeper, opts.Lock, opts.Rejected = k, s.Kept[master.KeptLock], s.Rejected
	if s.Candidate {
		opts.Program, opts.Ready = ota.OfCandidate(opts.Program), k.Ready
	}
	return s.Candidate, nil
}
