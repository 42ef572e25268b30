package cmd

import (
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// newEngine returns the engine of the configured mode. To add an engine, add it here.
func newEngine(cfg master.Config, dir string, l log.Logger) (engine.Engine, error) {
	if cfg.Mode == masterapi.ModeNative {
		return native.New(native.Options{Workdir: dir, Socket: cfg.Socket(dir), Output: cfg.Logger, Log: l}), nil
	}
	return docker.New(docker.Options{
		Workdir: dir, Socket: cfg.Socket(dir), Output: cfg.Logger, Pull: pulls(cfg), Log: l,
	})
}
