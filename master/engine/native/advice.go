//go:build unix

package native

import (
	"fmt"
	"os"
	"slices"

	"github.com/baetyl/baetyl/master/engine/native/launch"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/conf"
)

// Advice says what this host does not give to services of the working directory of o, and which limits of theirs it
// cannot keep. It changes nothing. o needs no keeper.
func Advice(o Options, services []app.Service) []string {
	e := New(o)
	can := e.abilities()
	out := e.lacks(can)
	for _, s := range services {
		lost := append(withoutMeaning(s), e.limitsLost(s.Resources)...)
		if text := checkSocket(privateDir(o.Workdir, s.Name, s.Name)); text != "" {
			lost = append(lost, text)
		}
		if e.opts.Cgroups != nil { // else no limit holds, and none is in the way
			lost = append(lost, tooSmall(s.Resources)...)
		}
		for _, w := range lost {
			out = append(out, fmt.Sprintf("service %s: %s", s.Name, w))
		}
	}
	return out
}

// instead is what native mode has in the place of keys of a container.
var instead = map[string]string{
	"hostname":     "the name is that of the host",
	"entrypoint":   "the package names its program",
	"runtime":      "nothing takes its place",
	"network_mode": "the network is that of the host",
	"networks":     "the network is that of the host",
	"init":         "the keeper is the parent of all processes and reaps them",
	"cap_add":      "a service keeps no capability but that for a port below 1024",
	"cap_drop":     "a service has none to drop",
	"privileged":   "user: root is what comes near it",
	"hardened":     "every service is, unless user: root",
	"read_only":    "what no volume of the service holds, it cannot write",
	"tmpfs":        "/tmp, /var/tmp and /dev/shm are a service's own",
	"extra_hosts":  "names are those of the host",
	"dns":          "the servers are those of the host",
	"log":          "the output goes to var/log/baetyl/services alone",
	"healthcheck":  "it has no probe that the master could make; give it one, such as tcp",
}

// withoutMeaning names the keys that docker mode alone has.
func withoutMeaning(s app.Service) (out []string) {
	var keys []string
	for _, k := range []struct {
		name string
		set  bool
	}{
		{"hostname", s.Hostname != ""}, {"entrypoint", len(s.Entrypoint) > 0}, {"runtime", s.Runtime != ""},
		{"network_mode", s.NetworkMode != "" && s.NetworkMode != "host"}, {"networks", len(s.Networks) > 0},
	} {
		if k.set {
			keys = append(keys, k.name)
		}
	}
	for _, key := range append(keys, s.ContainerKeys()...) {
		out = append(out, key+" means nothing in native mode: "+instead[key])
	}
	return out
}

// lacks says what no service has on this host.
func (e *Engine) lacks(can launch.Abilities) (out []string) {
	say := func(what string, why any) { out = append(out, fmt.Sprintf("%s: %v", what, why)) }
	switch {
	case e.opts.Users == nil:
		say("services run as the user of the master", orUnknown(e.opts.NoUsers))
	case can.Users != nil:
		say("services run as the user of the master", can.Users)
	case can.Capabilities != nil:
		say("services cannot be given single capabilities", can.Capabilities)
	}
	switch {
	case can.Namespaces != nil:
		say("read-only mounts are links only, /tmp and files of other services are not kept apart", can.Namespaces)
	case can.ReadOnly != nil:
		say("read-only mounts are links only", can.ReadOnly)
	case can.PrivateIPC != nil && e.opts.Users != nil:
		say("shared memory of services is that of the host, and stays when they have ended", can.PrivateIPC)
	case can.HideProc != nil && e.opts.Users != nil:
		say("services see the processes of others", can.HideProc)
	}
	if e.opts.Cgroups == nil {
		say("processes that leave the process group of their service are not stopped", orUnknown(e.opts.NoCgroups))
	}
	return out
}

// limitsLost names the limits that do not hold.
func (e *Engine) limitsLost(r app.Resources) (out []string) {
	if e.opts.Cgroups != nil {
		return e.opts.Cgroups.Problems(r)
	}
	for key, set := range map[string]bool{
		"resources.cpu.cpus":     r.CPU.Cpus > 0,
		"resources.cpu.setcpus":  r.CPU.SetCPUs != "",
		"resources.memory.limit": r.Memory.Limit > 0,
		"resources.memory.swap":  r.Memory.Swap > 0,
		"resources.pids.limit":   r.Pids.Limit > 0,
	} {
		if set {
			out = append(out, fmt.Sprintf("%s does not hold: %s", key, orUnknown(e.opts.NoCgroups)))
		}
	}
	slices.Sort(out)
	return out
}

// What the start of a process takes by itself: its limits hold from before it is the service's program, and that is a
// program of Go until then.
const (
	minPids   = 8
	minMemory = 8 << 20
)

// tooSmall names the limits within which an instance can hardly start.
func tooSmall(r app.Resources) (out []string) {
	if n := r.Memory.Limit; n > 0 && n < minMemory {
		out = append(out, fmt.Sprintf("resources.memory.limit is too small to start a process: %s is less than %s",
			n, conf.Size(minMemory)))
	}
	if n := r.Pids.Limit; n > 0 && n < minPids {
		const text = "resources.pids.limit is too small to start a process: %d is less than %d; threads count"
		out = append(out, fmt.Sprintf(text, n, minPids))
	}
	return out
}

func orUnknown(why string) string {
	if why == "" {
		return "the master was not given any"
	}
	return why
}

// abilities tries once what this host allows.
func (e *Engine) abilities() launch.Abilities {
	e.probe.Do(func() {
		dir := e.real(runDir)
		if _, err := os.Stat(dir); err != nil {
			dir = e.real(".")
		}
		e.can = launch.Probe(dir)
	})
	return e.can
}
