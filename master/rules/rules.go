// Package rules knows what no service can be given though app.Validate takes it, since a version before did: keys that
// contradict each other, what no system can start, and what docker refuses. It would otherwise show when an instance
// starts, and that is after an update has stopped the one before.
//
//	Check ─┬► a new application: refused (master/update)
//	       └► one that is on disk: a warning, at the start of the master and in `baetyl check`
//	Advice ──► `baetyl check`
//
// It asks no host and no daemon: what depends on them (programs, folders, cores, drivers and devices) is the engine's
// to say (engine.Engine.Check). Of docker it names nothing that any daemon from 20.10 on accepts and carries out as
// written.
package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// rule returns what is wrong with one service, each text with the key and what to do.
type rule func(app.Service, *app.Config) []string

// inDocker are the rules of single services in docker mode alone.
var inDocker = []rule{name, image, hostname, mode, silent, capabilities, memory, cores, addresses, targets}

// Check names everything in c, which has been validated, that cannot be carried out as written in a mode
// (masterapi.ModeNative or ModeDocker). Each text begins with the path of the key. nil: nothing.
func Check(c *app.Config, mode string) (broken []string) {
	for i, s := range c.Services {
		for _, r := range ofMode(mode) {
			for _, text := range r(s, c) {
				broken = append(broken, fmt.Sprintf("services[%d] (%s).%s", i, s.Name, text))
			}
		}
	}
	broken = append(broken, ofMaster(c)...)
	if mode != masterapi.ModeDocker {
		return broken
	}
	broken = append(broken, networks(c)...)
	broken = append(broken, volumes(c)...)
	return append(broken, ports(c)...)
}

// Advice names what docker carries out as written, and should not have to. hardened is docker.hardened of conf.yml.
func Advice(c *app.Config, hardened bool) (out []string) {
	for _, s := range c.Services {
		if s.Privileged {
			out = append(out, fmt.Sprintf("service %s is PRIVILEGED: it can do on this host whatever root can; "+
				"name what it needs in cap_add and devices instead", s.Name))
		}
		if path := mastersOwn(s, c); path != "" {
			out = append(out, fmt.Sprintf("service %s may write %s, where the master has files of its own, and could "+
				"become root on this host with them; mount a folder below, or readonly", s.Name, path))
		}
		if drop := s.Droppable(hardened); len(drop) > 0 {
			out = append(out, fmt.Sprintf("service %s keeps docker's capabilities; cap_drop could name %s, "+
				"or hardened: true drop all but those in cap_add", s.Name, strings.Join(drop, ", ")))
		}
		out = append(out, hides(s)...)
	}
	return out
}

// needed are folders that the program of an image may be in, or cannot do without.
var needed = []string{"bin", "dev", "lib", "lib64", "sbin", "sys", "usr", "usr/bin", "usr/lib"}

// hides finds mounts that may leave an image without its program.
func hides(s app.Service) (out []string) {
	for i, m := range s.Mounts {
		if clean, err := app.CleanPath(m.Path); err == nil && slices.Contains(needed, clean) {
			const text = "service %s: mounts[%d].path: %q hides what the image has there, and its program may not start"
			out = append(out, fmt.Sprintf(text, s.Name, i, m.Path))
		}
	}
	return out
}

// asRoot are what the master reads and writes as root, relative to its working directory, in docker mode. What it
// starts with is a matter of ofMaster.
var asRoot = []string{"var/db/baetyl/application.yml", "var/log/baetyl/services"}

// mastersOwn returns the path of a volume that a service writes and that has files of the master in it; empty: there is
// none, or the service decides what runs anyway.
func mastersOwn(s app.Service, c *app.Config) string {
	if s.Privileged || app.Has(s.Rights(), app.RightUpdate) {
		return ""
	}
	for _, m := range s.Mounts {
		for _, v := range c.Volumes {
			path, err := app.CleanPath(v.Path)
			if v.Name != m.Name || m.ReadOnly || v.Managed() || err != nil {
				continue
			}
			if path == "." || slices.ContainsFunc(asRoot, func(own string) bool { return folder.Within(own, path) }) {
				return path
			}
		}
	}
	return ""
}

// objectName is what docker takes for containers and volumes: two characters at least. The others have been checked.
var objectName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func name(s app.Service, _ *app.Config) []string {
	if s.Replica > 0 && !objectName.MatchString(s.Name) {
		const text = "name: docker refuses %q as the name of a container; write two characters or more"
		return []string{fmt.Sprintf(text, s.Name)}
	}
	return nil
}

func image(s app.Service, _ *app.Config) []string {
	text := strings.TrimSpace(s.Image)
	_, err := reference.ParseAnyReference(text)
	switch {
	case err == nil:
		return nil
	case text != strings.ToLower(text):
		if _, err := reference.ParseAnyReference(strings.ToLower(text)); err == nil {
			return []string{fmt.Sprintf("image: docker refuses %q, names of images have no capitals; write %q",
				text, strings.ToLower(text))}
		}
	}
	return []string{fmt.Sprintf("image: docker refuses %q (%v); write [registry/]name[:tag] or name@sha256:…", text, err)}
}

// hostnameRule and maxHostname: the kernel takes 64 bytes, resolvers no other characters.
var hostnameRule = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_])?$`)

const maxHostname = 64

func hostname(s app.Service, _ *app.Config) []string {
	if s.Hostname == "" || len(s.Hostname) <= maxHostname && hostnameRule.MatchString(s.Hostname) {
		return nil
	}
	const text = "hostname: %q is none; use 1 to %d letters, digits, '-', '_' and '.', no '-' or '.' at the ends"
	return []string{fmt.Sprintf(text, s.Hostname, maxHostname)}
}

// mode: docker discards ports where a container has no network of its own.
func mode(s app.Service, _ *app.Config) []string {
	if len(s.Ports) == 0 || s.NetworkMode != "host" && s.NetworkMode != "none" {
		return nil
	}
	why := "the container has the ports of the host"
	if s.NetworkMode == "none" {
		why = "the container has no network"
	}
	const text = "ports: have no effect with network_mode: %s, %s; leave one of them out"
	return []string{fmt.Sprintf(text, s.NetworkMode, why)}
}

// minMemory is docker's, in bytes.
const minMemory = 6 << 20

func memory(s app.Service, _ *app.Config) (out []string) {
	m := s.Resources.Memory
	if m.Limit > 0 && m.Limit < minMemory {
		out = append(out, fmt.Sprintf("resources.memory.limit: %s is less than docker's least, 6m; raise it", m.Limit))
	}
	switch {
	case m.Swap > 0 && m.Limit == 0:
		out = append(out, "resources.memory.swap: docker refuses it without resources.memory.limit; write both, or none")
	case m.Swap > 0 && m.Swap < m.Limit:
		out = append(out, fmt.Sprintf("resources.memory.swap: is memory and swap together, and %s is less than "+
			"resources.memory.limit, %s; raise it", m.Swap, m.Limit))
	}
	return out
}

// targets: places in a container that are the system's.
func targets(s app.Service, _ *app.Config) (out []string) {
	places := make([]string, 0, len(s.Mounts)+len(s.Tmpfs))
	for _, m := range s.Mounts {
		places = append(places, m.Path)
	}
	for _, t := range s.Tmpfs {
		if p, _, err := app.ParseTmpfs(t); err == nil {
			places = append(places, p)
		}
	}
	for _, p := range places {
		clean, err := app.CleanPath(p)
		if err != nil {
			continue // app.Validate has refused it
		}
		switch {
		case clean == "proc" || strings.HasPrefix(clean, "proc/"):
			out = append(out, fmt.Sprintf("mounts: docker refuses %q, it is in the container's /proc; write another path", p))
		case slices.Contains([]string{"var/run/baetyl.sock", "run/baetyl.sock"}, clean):
			out = append(out, fmt.Sprintf("mounts: %q is the socket of the API; write another path", p))
		}
	}
	return out
}
