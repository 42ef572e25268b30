//go:build unix

package docker

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/baetyl/baetyl/master/engine"
)

// kind says what is not as it was started, and so what repair does about it.
type kind int

const (
	isPaused    kind = iota // continued, after pauseLimit
	isRenamed               // renamed back
	isStopped               // an event; its supervisor does what the restart policy says
	isRestarted             // by another docker client; it runs, and that is all
	isRevived               // started by another docker client after its end: stopped, since no instance has it
	hasPolicy               // docker would restart it; set back
	hasLimits               // set back, as far as docker can
	isCutOff                // not in a network, or not as it was: connected again
	isExtra                 // in a network that the application does not name; left there
	isDifferent             // the network is not as the application says; used as it is
)

// finding is one difference between a container and its plan.
type finding struct {
	kind    kind
	network string // of isCutOff, isExtra and isDifferent
	text    string // for people, what is the case
	outcome string // for people, what was done about it, or could not be
}

// same tells whether two findings are of one difference, whatever was done about it.
func (f finding) same(o finding) bool {
	return f.kind == o.kind && f.network == o.network && f.text == o.text
}

func (f finding) String() string {
	if f.outcome == "" {
		return f.text
	}
	return f.text + "; " + f.outcome
}

type findings []finding

func (out *findings) add(k kind, network, text string, args ...any) {
	*out = append(*out, finding{kind: k, network: network, text: fmt.Sprintf(text, args...)})
}

// state is what the daemon says of a container that was started from a plan.
type state struct {
	container container.InspectResponse
	networks  map[string]*network.Inspect // those of the plan; nil: there is none of that name
	name      string                      // that it was started with
	limits    container.Resources         // that it was started with (limitsOf)
	started   string                      // State.StartedAt, the last that is known
	ended     bool                        // its instance has ended
}

// drift compares a container with its plan. It is a pure function. What it does not name is as it was started, or
// docker has no way to change it.
func drift(s engine.Service, p plan, now state) []finding {
	c := now.container
	if c.ContainerJSONBase == nil || c.State == nil || c.HostConfig == nil || !c.State.Running {
		return nil
	}
	if now.ended {
		return []finding{{kind: isRevived, text: "started by another docker client after its end"}}
	}
	var out findings
	add := out.add
	if c.State.StartedAt != now.started {
		add(isRestarted, "", "restarted by another docker client")
	}
	if c.State.Paused {
		add(isPaused, "", "paused by another docker client")
	}
	if name := strings.TrimPrefix(c.Name, "/"); name != now.name {
		add(isRenamed, "", "renamed to %s by another docker client", name)
	}
	if policy := c.HostConfig.RestartPolicy.Name; policy != "" && policy != container.RestartPolicyDisabled {
		add(hasPolicy, "", "given the restart policy %s by another docker client", policy)
	}
	if texts := limitsDiffer(now.limits, c.HostConfig.Resources); len(texts) > 0 {
		add(hasLimits, "", "limits changed by another docker client: %s", strings.Join(texts, ", "))
	}
	return append(out, networksDiffer(s, p, now)...)
}

// bound is one of the limits that `docker update` changes.
type bound struct {
	name  string
	value *int64
	unset int64 // another value that limits nothing, which repair can set
}

// limits are those that are numbers.
func limits(r *container.Resources) []bound {
	if r.PidsLimit == nil {
		r.PidsLimit = new(int64)
	}
	return []bound{
		{"memory", &r.Memory, 0},
		{"memory and swap", &r.MemorySwap, -1},
		{"memory reservation", &r.MemoryReservation, 0},
		{"processor time (nanocpus)", &r.NanoCPUs, 0},
		{"processor shares", &r.CPUShares, 1024},
		{"processor period", &r.CPUPeriod, 0},
		{"processor quota", &r.CPUQuota, -1},
		{"processes", r.PidsLimit, -1},
	}
}

// limitsOf are the limits of a container: those of its plan, and for the others what the daemon said when its instance
// was made, since each daemon has defaults of its own.
func limitsOf(p plan, said container.Resources) container.Resources {
	want := p.Host.Resources
	said.PidsLimit = copied(said.PidsLimit)
	want.PidsLimit = copied(want.PidsLimit)
	from := limits(&want)
	for n, l := range limits(&said) {
		if w := *from[n].value; w != 0 {
			*l.value = w
		}
	}
	if want.CpusetCpus != "" {
		said.CpusetCpus = want.CpusetCpus
	}
	return said
}

func copied(v *int64) *int64 {
	if v == nil {
		return nil
	}
	c := *v
	return &c
}

// limitsDiffer says which limits are others.
func limitsDiffer(want, have container.Resources) []string {
	var out []string
	from := limits(&want)
	for n, l := range limits(&have) {
		h, w := *l.value, *from[n].value
		if none := func(v int64) bool { return v == 0 || v == l.unset }; h != w && !(none(h) && none(w)) {
			out = append(out, fmt.Sprintf("%s %d, not %d", l.name, h, w))
		}
	}
	if have.CpusetCpus != want.CpusetCpus {
		out = append(out, fmt.Sprintf("cores %q, not %q", have.CpusetCpus, want.CpusetCpus))
	}
	return out
}

func networksDiffer(s engine.Service, p plan, now state) []finding {
	if now.container.NetworkSettings == nil {
		return nil
	}
	var out findings
	add := out.add
	in := now.container.NetworkSettings.Networks
	var named []string
	for _, to := range connections(p) {
		name := to.Network
		named = append(named, name)
		net, have := now.networks[name], in[name]
		switch {
		case have == nil || have.EndpointID == "" && have.IPAddress == "" && have.GlobalIPv6Address == "":
			add(isCutOff, name, "not connected to network %s any more", name)
		case net == nil || have.NetworkID != net.ID && have.NetworkID != net.Name: // podman writes the name
			add(isCutOff, name, "network %s was removed, and is another one now", name)
		case !contains(slices.Concat(have.Aliases, have.DNSNames), to.Settings.Aliases):
			add(isCutOff, name, "lost its aliases in network %s", name)
		case address(to.Settings) != "" && !sameAddress(have.IPAddress, address(to.Settings)):
			add(isCutOff, name, "has address %s in network %s, not %s", have.IPAddress, name, address(to.Settings))
		}
		if net == nil || len(p.Endpoints) == 0 {
			continue
		}
		if why := networkDiffers(wantedNetwork(s, name), *net); why != "" {
			add(isDifferent, name, "network %s exists with %s; it is used as it is", name, why)
		}
	}
	for name := range in {
		if !slices.Contains(named, name) && name != string(p.Host.NetworkMode) {
			add(isExtra, name, "connected to network %s, which the application does not name", name)
		}
	}
	slices.SortStableFunc(out, func(a, b finding) int { return strings.Compare(a.network, b.network) })
	return out
}

// connections are the networks that a container was connected to: those of its plan, or docker's own one.
func connections(p plan) []endpoint {
	if len(p.Endpoints) == 0 && p.Host.NetworkMode == network.NetworkBridge {
		return []endpoint{{network.NetworkBridge, &network.EndpointSettings{}}}
	}
	return p.Endpoints
}

func contains(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// address is the one that was asked for; empty: none was.
func address(s *network.EndpointSettings) string {
	if s.IPAMConfig == nil {
		return ""
	}
	return s.IPAMConfig.IPv4Address
}

func sameAddress(a, b string) bool {
	x, err := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	return err == nil && err2 == nil && x == y
}
