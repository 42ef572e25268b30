//go:build unix

package docker

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/log"
)

// wantedNetwork is the definition of a network of the service.
func wantedNetwork(s engine.Service, name string) app.Network {
	n := s.Networks[name]
	if n.Driver == "" {
		n.Driver = "bridge"
	}
	return n
}

// makeNetworks makes the networks of a service that do not exist. One that is not as the application says is made anew
// when this master has made it and no container is in it; otherwise it is used as it is (drift tells).
func (e *Engine) makeNetworks(ctx context.Context, s engine.Service) error {
	master, err := e.masterID()
	if err != nil {
		return err
	}
	e.setup.Lock()
	defer e.setup.Unlock()
	for _, name := range s.NetworkNames() {
		want := wantedNetwork(s, name)
		have, err := e.networkNamed(ctx, name)
		if err != nil {
			return err
		}
		if have != nil {
			why := networkDiffers(want, *have)
			if why == "" || have.Labels[labelMaster] != master || len(have.Containers) > 0 {
				continue
			}
			if err := e.api.NetworkRemove(ctx, have.ID); err != nil && !errdefs.IsNotFound(err) {
				continue // in use since
			}
			e.opts.Log.WithField("network", name).WithField(log.KeyReason, why).Infof("network is made anew")
		}
		_, err = e.api.NetworkCreate(ctx, name, networkOptions(name, want, master))
		if err != nil && !errdefs.IsConflict(err) { // another master may have created it meanwhile
			return fmt.Errorf("create network %s%s: %w", name, with(want.Subnet), err)
		}
	}
	return nil
}

func with(subnets []string) string {
	if len(subnets) == 0 {
		return ""
	}
	return " with subnet " + strings.Join(subnets, ", ")
}

// networkNamed returns the network with that name; nil: there is none.
func (e *Engine) networkNamed(ctx context.Context, name string) (*network.Inspect, error) {
	have, err := e.api.NetworkInspect(ctx, name, network.InspectOptions{})
	switch {
	case errdefs.IsNotFound(err) || err == nil && have.Name != name: // the daemon takes the beginning of an id too
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ask for network %s: %w", name, err)
	}
	return &have, nil
}

// networkOptions says how a network is made.
func networkOptions(name string, want app.Network, master string) network.CreateOptions {
	o := network.CreateOptions{
		Driver: want.Driver, Options: want.DriverOpts, Labels: labelled(want.Labels, master), Internal: want.Internal,
	}
	subnets, six := want.Prefixes(), false
	for _, p := range subnets {
		six = six || p.Addr().Is6()
	}
	if want.IPv6 {
		if o.EnableIPv6 = &want.IPv6; !six {
			subnets = append(subnets, uniqueLocal(name))
		}
	}
	if len(subnets) > 0 {
		o.IPAM = &network.IPAM{}
	}
	for _, p := range subnets {
		c := network.IPAMConfig{Subnet: p.String()}
		if a := want.GatewayIn(p); a.IsValid() {
			c.Gateway = a.String()
		}
		o.IPAM.Config = append(o.IPAM.Config, c)
	}
	return o
}

// uniqueLocal is the subnet of IPv6 for a network without one: daemons before 27 choose none. It is the same each time.
func uniqueLocal(name string) netip.Prefix {
	sum := sha256.Sum256([]byte(name))
	a := [16]byte{0xfd}
	copy(a[1:8], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// networkDiffers says in what a network is not as the application says; empty: in nothing.
func networkDiffers(want app.Network, have network.Inspect) string {
	var out []string
	if have.Driver != want.Driver {
		out = append(out, fmt.Sprintf("driver %s, not %s", have.Driver, want.Driver))
	}
	var subnets []string
	gateways := map[string]string{}
	for _, c := range have.IPAM.Config {
		p, err := netip.ParsePrefix(c.Subnet)
		if err == nil {
			subnets = append(subnets, p.String())
			gateway, _, _ := strings.Cut(c.Gateway, "/")
			gateways[p.String()] = gateway
		}
	}
	for _, p := range want.Prefixes() {
		a := want.GatewayIn(p)
		switch gateway := gateways[p.String()]; {
		case !slices.Contains(subnets, p.String()):
			out = append(out, fmt.Sprintf("subnet %s, not %s", strings.Join(subnets, ", "), p))
		case a.IsValid() && gateway != "" && gateway != a.String():
			out = append(out, fmt.Sprintf("gateway %s, not %s", gateway, a))
		}
	}
	if have.Internal != want.Internal {
		out = append(out, fmt.Sprintf("internal: %t", have.Internal))
	}
	if want.IPv6 && !have.EnableIPv6 {
		out = append(out, "no IPv6")
	}
	for k, v := range want.DriverOpts {
		if have.Options[k] != v {
			out = append(out, fmt.Sprintf("option %s %q, not %q", k, have.Options[k], v))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}
