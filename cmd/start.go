package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/login"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/master/ui"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/run"
)

func startCommand(e *env) *cobra.Command {
	var config string
	c := &cobra.Command{
		Use: "start", Short: "Run the master in the foreground, until SIGTERM or SIGINT", Args: noArgs,
		Long: "Run the application of this device in the foreground until SIGTERM, SIGINT or SIGQUIT. This process holds\n" +
			"the services, and starts the master, which decides about them.\n\n" +
			"The status is 78 when the configuration is wrong at the first start. Later a wrong configuration ends nothing:\n" +
			"the services run on, and the master is tried again until the configuration is right.",
		Example: "  baetyl start\n  baetyl start -w /usr/local -c etc/baetyl/conf.yml",
		RunE: func(*cobra.Command, []string) error {
			dir, path, err := e.config(config)
			if err != nil {
				return err
			}
			return runMaster(dir, path, e.Stderr)
		},
	}
	configFlag(c, &config)
	return c
}

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

// findConfig says to stderr that there is no file at config and what holds instead. A file that a person names has to
// be there, unless goesOn: a master is to take the place of one that runs, and that took defaults for a missing file.
func findConfig(dir, config string, goesOn bool, stderr io.Writer) error {
	if err := master.CheckPresent(dir, config); err != nil && !goesOn {
		return err
	}
	if _, err := os.Stat(config); errors.Is(err, os.ErrNotExist) {
		if rel, err := filepath.Rel(dir, config); err == nil && filepath.IsLocal(rel) {
			config = rel
		}
		fmt.Fprintf(stderr, "config file (%s) not found, to use default config\n", config)
	}
	return nil
}

// isCandidate tells whether this program is one that a master updates itself to, and checks.
func isCandidate() bool {
	exe, err := executable()
	return err == nil && ota.OfCandidate(exe) != exe
}

// runMaster runs the master until it is asked to end, or leaves its services to another one.
func runMaster(dir, config string, stderr io.Writer) (err error) {
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

	var warnings []string
	cfg, err := master.LoadConfig(config, conf.Warn(func(text string) { warnings = append(warnings, text) }))
	if err != nil {
		return misconfigured(err)
	}
	held, err := greet(ctx, k, cfg)
	if ctx.Err() != nil && (k == nil || err != nil) { // asked to end, and there is nothing to stop yet
		return nil
	}
	// Otherwise an earlier master may have left something, and this one is there to stop it in order.
	if err != nil {
		return err
	}
	defer func() {
		if held.Candidate && err != nil {
			_ = k.Leave(err.Error()) // why it is rejected
		}
	}()
	goesOn := parent != nil || held.Candidate || held.Kept[master.KeptLock] != nil
	if err := findConfig(dir, config, goesOn, stderr); err != nil {
		return misconfigured(err)
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
	for _, text := range warnings {
		l.Warnf("%s", text)
	}
	defer l.Close()
	opts := master.Options{Workdir: dir, Config: config, Version: Version, Revision: Revision, Log: l, Program: exe}
	opts.Lock, opts.Rejected = held.Kept[master.KeptLock], held.Rejected
	opts.Stop = a.stop(k)
	if k != nil {
		opts.Keeper, opts.Restart = k, a.restart
	}
	switch {
	case parent != nil:
		opts.Program, opts.HasParent = ota.OfCandidate(exe), true
		opts.Ready = func(ctx context.Context) error {
			err := parent.Ready(ctx)
			if err == nil && k != nil { // which starts the committed program from now on
				err = k.Ready(ctx)
			}
			return err
		}
	case held.Candidate:
		opts.Program, opts.Ready = ota.OfCandidate(exe), k.Ready
	}
	cfg.Mode = keptMode(cfg.Mode, dir, held.Processes, l)
	e, err := newEngine(cfg, dir, k, held, l)
	if err != nil {
		return err
	}
	opts.Apply = apply(l, e)
	m, err := master.New(cfg, e, opts)
	if err != nil {
		return fmt.Errorf("start master: %w", err)
	}
	go a.reloads(ctx, m, k, l)
	debug.SetGCPercent(masterGCPercent)
	defer run.GiveBack()()
	if err := m.Run(ctx, newServer(m, cfg, opts, held)); err != nil {
		return fmt.Errorf("run master: %w", err)
	}
	return nil
}

// masterGCPercent lets garbage be a third of what lives: a master does little, and has to be small.
const masterGCPercent = 30

// greet tells the keeper of this master, and returns what an earlier one has left with it: nothing without a keeper.
func greet(ctx context.Context, k *keeper.Client, cfg master.Config) (keeper.State, error) {
	if k == nil {
		return keeper.State{}, nil
	}
	return k.Hello(ctx, keeper.Hello{Protocol: keeper.Protocol, Part: keeper.Part, Grace: cfg.Grace})
}

// newServer returns the API of m. Its listeners outlive this master when there is a keeper.
func newServer(m *master.Master, cfg master.Config, opts master.Options, held keeper.State) *api.Server {
	o := api.ServerOptions{
		Config: cfg.Listen(opts.Workdir), Admin: filepath.Join(opts.Workdir, masterapi.AdminSocket), Group: cfg.Server.Group,
		Service: func(uid int) bool { return engine.MayBeService(uint32(uid)) },
		Kept:    held.Kept, Log: opts.Log,
	}
	if opts.Keeper != nil {
		o.Keeper = opts.Keeper
	}
	if cfg.UI.Address != "" {
		o.Page = &api.Page{
			Config: cfg.ListenUI(opts.Workdir), Hosts: cfg.UI.Hosts, Files: ui.Files,
			Logins: login.New(filepath.Join(opts.Workdir, masterapi.PageKey), cfg.UI.Token),
		}
	}
	return api.NewServer(m.Services(), m, o)
}
