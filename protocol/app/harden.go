package app

import (
	"slices"
	"strings"
)

// kept is what an official module needs of what a hardened container has not.
type kept struct {
	caps     []string
	writes   []string // folders, without the first slash, that must be mounted for the root to be read-only
	ownsRoot bool     // the root stays writable: it is for code of users
}

// modules are the official modules by name: their containers are hardened without being told. Those of Go are root in
// their container, as the owner of the folders that the master makes and of what an earlier version has left there.
// DAC_OVERRIDE lets them read and write volumes of other owners, as they always could; to a program that is not root it
// gives nothing.
var modules = map[string]kept{
	"baetyl-hub": { // it may listen below 1024, also in the network of the host
		caps: []string{"DAC_OVERRIDE", "NET_BIND_SERVICE"}, writes: []string{"var/db/baetyl/data"},
	},
	"baetyl-agent":             {caps: []string{"DAC_OVERRIDE"}, writes: []string{"var/db/baetyl/volumes"}},
	"baetyl-remote-mqtt":       {caps: []string{"DAC_OVERRIDE"}, writes: []string{"var/db/baetyl/parked"}},
	"baetyl-function-manager":  {caps: []string{"DAC_OVERRIDE"}},
	"baetyl-timer":             {caps: []string{"DAC_OVERRIDE"}},
	"baetyl-function-sql":      {caps: []string{"DAC_OVERRIDE"}},
	"baetyl-function-python27": {caps: []string{"DAC_OVERRIDE"}, ownsRoot: true},
	"baetyl-function-python36": {caps: []string{"DAC_OVERRIDE"}, ownsRoot: true},
	"baetyl-function-node85":   {caps: []string{"DAC_OVERRIDE"}, ownsRoot: true},
}

// hardenedPids is the limit of a hardened container that has none of its own, as native mode has it.
const hardenedPids = 4096

// memoryFolders are writable in a hardened container whose root is read-only, each up to a quarter of the memory.
var memoryFolders = map[string]string{"/tmp": memoryOptions, "/var/tmp": memoryOptions}

const memoryOptions = "exec,nosuid,nodev,size=25%,mode=1777"

// Confinement is how a container is kept in bounds.
type Confinement struct {
	Hardened        bool
	NoNewPrivileges bool
	CapAdd, CapDrop []string // in capitals, without CAP_, in order
	ReadOnly        bool     // the root
	Tmpfs           map[string]string
	Pids            int64 // limit; 0: none
}

// Confine returns the bounds of the service's container. Without a word in the application, an official module is
// hardened, and another image if all is true (docker.hardened of conf.yml); if not, it has docker's defaults and cannot
// gain privileges. Hardened means: no capability but those that cap_add and the table of modules name, a root that is
// read-only where the module allows it, and a limit of processes.
func (s Service) Confine(all bool) Confinement {
	needs, official := modules[module(s.Image)]
	c := Confinement{
		Hardened: (official || all) && !s.Privileged, NoNewPrivileges: !s.Privileged,
		CapAdd: capabilityNames(s.CapAdd), CapDrop: capabilityNames(s.CapDrop), Pids: s.Resources.Pids.Limit,
		Tmpfs: map[string]string{},
	}
	if s.Hardened != nil {
		c.Hardened, c.NoNewPrivileges = *s.Hardened, *s.Hardened
	}
	for _, text := range s.Tmpfs {
		if p, options, err := ParseTmpfs(text); err == nil {
			c.Tmpfs[p] = options
		}
	}
	if c.Hardened {
		c.harden(s, needs)
	}
	if s.ReadOnly != nil {
		c.ReadOnly = *s.ReadOnly
	}
	if c.Hardened && c.ReadOnly {
		for p, options := range memoryFolders {
			if _, own := c.Tmpfs[p]; !own && !s.mounts(p[1:], false) {
				c.Tmpfs[p] = options
			}
		}
	}
	return c
}

func (c *Confinement) harden(s Service, needs kept) {
	dropped := c.CapDrop
	c.CapAdd = capabilityNames(slices.Concat(c.CapAdd, needs.caps))
	c.CapAdd = slices.DeleteFunc(c.CapAdd, func(name string) bool {
		return slices.Contains(dropped, name) ||
			slices.Contains(dropped, AllCapabilities) && !slices.Contains(capabilityNames(s.CapAdd), name)
	})
	if !slices.Contains(c.CapAdd, AllCapabilities) {
		c.CapDrop = []string{AllCapabilities}
	}
	c.ReadOnly = !needs.ownsRoot
	for _, p := range needs.writes {
		c.ReadOnly = c.ReadOnly && s.mounts(p, true)
	}
	if c.Pids == 0 {
		c.Pids = hardenedPids
	}
}

// mounts tells whether a volume is mounted at path or above it, writable if that is asked for.
func (s Service) mounts(path string, writable bool) bool {
	for _, m := range s.Mounts {
		target, err := CleanPath(m.Path)
		if err == nil && !(writable && m.ReadOnly) && (path == target || strings.HasPrefix(path, target+"/")) {
			return true
		}
	}
	return false
}

// Droppable returns the capabilities that the container keeps though nobody asked for them; none of a hardened one, and
// none of one that says hardened: false, which is an answer.
func (s Service) Droppable(all bool) (out []string) {
	c := s.Confine(all)
	if c.Hardened || s.Hardened != nil || s.Privileged || slices.Contains(c.CapDrop, AllCapabilities) {
		return nil
	}
	for _, name := range dockerCapabilities {
		if !slices.Contains(c.CapDrop, name) && !slices.Contains(c.CapAdd, name) {
			out = append(out, name)
		}
	}
	return out
}
