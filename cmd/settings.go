package cmd

import (
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/utils/log"
)

// dockerSettings are those of the docker engine that a reload changes.
func dockerSettings(cfg master.Config) docker.Settings {
	pull, prune := cfg.Docker.Pull, cfg.Docker.Prune
	percent, _ := prune.Percent() // it has been validated
	return docker.Settings{
		Output:   cfg.Logger,
		Pull:     docker.Pull{Policy: pull.Policy, Timeout: pull.Timeout, Parallel: pull.Parallel},
		Prune:    docker.Prune{Unused: prune.Unused, Disk: percent},
		Hardened: cfg.Docker.Hardened,
	}
}

// apply returns what sets the keys of the log and of the engine that a reload has changed.
func apply(l *log.Root, e engine.Engine) func(master.Config) {
	return func(cfg master.Config) {
		l.Reconfigure(cfg.Logger)
		switch e := e.(type) {
		case *docker.Engine:
			e.Set(dockerSettings(cfg))
		case *native.Engine:
			e.Set(cfg.Logger)
		}
	}
}
