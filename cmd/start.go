package cmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/http"
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
	ctx, end := context.WithCancelCause(context.Background())
	defer end(nil)
	a := asked{end: end, reload: make(chan struct{}, 1)}
	defer a.listen(nil)()
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
	e, err := newEngine(cfg, dir, l)
	if err != nil {
		return err
	}
	m, err := master.New(cfg, e, opts)
	if err != nil {
		return fmt.Errorf("start master: %w", err)
	}
	go a.reloads(ctx, m)
	if err := m.Run(ctx, http.NewServer(cfg.Listen(dir), api.New(m.Services(), m, l))); err != nil {
		return fmt.Errorf("run master: %w", err)
	}
	return nil
}
