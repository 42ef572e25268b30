package cmd

import (
	"os"
	"slices"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/master/engine/native/user"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/master/rules"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// newEngine returns the engine of the configured mode. To add an engine, add it here.
// k and what it holds are for native mode; nil: no service can start there.
func newEngine(
	cfg master.Config, dir string, k *keeper.Client, held keeper.State, l log.Logger,
) (engine.Engine, error) {
	if cfg.Mode == masterapi.ModeNative {
		o := nativeOptions(cfg, dir, l)
		if k != nil {
			if err := native.CheckProc(); err != nil {
				return nil, err
			}
			o.Keeper, o.Held, o.Kept, o.Parent = k, held.Processes, held.Kept, os.Getppid()
		}
		return native.New(o), nil
	}
	if k != nil {
		if err := native.Forget(k, held.Kept); err != nil {
			return nil, err
		}
	}
	return docker.New(docker.Options{Workdir: dir, Socket: cfg.Socket(dir), Settings: dockerSettings(cfg), Log: l})
}

// keptMode is the mode of this master: that of the services which an earlier one has left running, otherwise the
// configured one. A file that was edited, or is missing, must not end services because a master crashes.
func keptMode(configured, dir string, held []keeper.Process, l log.Logger) string {
	left := master.ModeLeft(dir)
	if len(held) > 0 {
		left = masterapi.ModeNative
	}
	if left == "" || left == configured {
		return configured
	}
	const text = "mode %s is configured, but services run in mode %s, which goes on; " +
		"the change takes effect when everything has been stopped and is started again"
	l.Warnf(text, configured, left)
	return left
}

// nativeOptions are those of the native engine on this host. It changes nothing.
func nativeOptions(cfg master.Config, dir string, l log.Logger) native.Options {
	o := native.Options{Workdir: dir, Socket: cfg.Socket(dir), Output: cfg.Logger, Log: l}
	id, err := cgroup.ID(dir)
	if err == nil {
		o.Cgroups, err = cgroup.Find(id)
	}
	if err != nil {
		o.Cgroups, o.NoCgroups = nil, err.Error()
	}
	if exe, err := executable(); err == nil { // a candidate takes the place of the program that it may replace
		o.Program = ota.OfCandidate(exe)
	}
	if os.Geteuid() != 0 {
		o.NoUsers = "the master does not run as root"
		return o
	}
	users := user.Options{Workdir: dir, Users: cfg.Native.Users, Admins: cfg.Server.Group, Log: l}
	o.Users = func() (*user.Registry, error) { return user.Open(users) }
	o.CheckUser = func(text string) error { return user.Check(users, text) }
	return o
}

// advice is what services of an application that has been checked cannot have: in this mode, or on this host; what this
// host does not give to any, what could be dropped, and what is to be said of the configuration.
func advice(cfg master.Config, dir string) ([]string, error) {
	e, err := newEngine(cfg, dir, nil, keeper.State{}, log.Discard())
	if err != nil {
		return nil, err
	}
	a, _, _ := application.Choose(file.OS, dir) // has been checked
	out := slices.Concat(cfg.Advice(), cfg.Unwritable(dir), master.Warnings(a, e))
	if cfg.Mode == masterapi.ModeDocker {
		return append(out, rules.Advice(a, cfg.Docker.Hardened)...), nil
	}
	return append(out, native.Advice(nativeOptions(cfg, dir, log.Discard()), a.Services)...), nil
}
