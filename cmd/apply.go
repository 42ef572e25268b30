package cmd

import (
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/utils/log"
)

func pulls(cfg master.Config) docker.Pull {
	p := cfg.Docker.Pull
	return docker.Pull{Policy: p.Policy, Timeout: p.Timeout, Parallel: p.Parallel}
}

func prunes(cfg master.Config) docker.Prune {
	percent, _ := cfg.Docker.Prune.Percent() // it has been validated
	return docker.Prune{Unused: cfg.Docker.Prune.Unused, Disk: percent}
}

// apply returns what sets the keys of the log and of the engine that a reload has changed.
func apply(l *log.Root, e engine.Engine) func(master.Config) {
	return func(cfg master.Config) {
		l.Reconfigure(cfg.Logger)
		switch e := e.(type) {
		case *docker.Engine:
			e.Set(cfg.Logger, pulls(cfg), prunes(cfg))
			e.Harden(cfg.Docker.Hardened)
		case *native.Engine:
			e.Set(cfg.Logger)
		}
	}
}
