//go:build unix

package docker

import (
	"maps"

	"github.com/docker/docker/api/types/container"

	"github.com/baetyl/baetyl/protocol/app"
)

// dockerLog are the limits of docker's own copy of the output, which `docker logs` shows: two files of 5 MB for each
// container. Drivers that write no files on the device have none.
var dockerLog = map[string]string{"max-size": "5m", "max-file": "2"}

// warnPrivileged is for the log, and for inspect.
const warnPrivileged = "privileged: the container has every capability and every device of the host; " +
	"what runs in it can do whatever root can"

// confine sets the bounds of a container, and returns what a person should know of them.
func confine(to *container.HostConfig, s app.Service, r request) (warnings []string) {
	c := s.Confine(r.Hardened)
	to.CapAdd, to.CapDrop = c.CapAdd, c.CapDrop
	to.ReadonlyRootfs = c.ReadOnly
	if c.NoNewPrivileges {
		to.SecurityOpt = []string{"no-new-privileges"}
	}
	if len(c.Tmpfs) > 0 {
		to.Tmpfs = c.Tmpfs
	}
	if c.Pids > 0 && r.Kernel.Pids { // else limit says what of it was asked for
		to.PidsLimit = &c.Pids
	}
	if s.Init {
		to.Init = &s.Init
	}
	if to.Privileged = s.Privileged; s.Privileged {
		warnings = append(warnings, warnPrivileged)
	}
	return warnings
}

// logConfig is docker's own copy of the output.
func logConfig(l *app.Log) container.LogConfig {
	out := container.LogConfig{Type: app.DefaultLogDriver, Config: map[string]string{}}
	if l != nil && l.Driver != "" {
		out.Type = l.Driver
	}
	if out.Type == app.DefaultLogDriver || out.Type == "local" {
		maps.Copy(out.Config, dockerLog)
	}
	if l != nil {
		maps.Copy(out.Config, l.Options)
	}
	return out
}

// health is the health check that docker runs in the container; nil: that of the image. Where the master probes,
// there is none.
func health(h *app.Healthcheck) *container.HealthConfig {
	if h == nil {
		return nil
	}
	out := &container.HealthConfig{
		Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries,
	}
	if h.Disable || len(h.Probes(false)) > 0 {
		out.Test = []string{"NONE"}
	}
	return out
}
