package app_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
)

const twoForms = `
services:
  - {name: a, image: i, replica: 1, networks: {w: {ipv4_address: 172.30.0.9}}}
networks:
  w: {subnet: [172.30.0.0/24, 'fd00:30::/64'], gateway: 172.30.0.1, internal: true, ipv6: true}
`

const twoFormsCompose = `
services:
  a: {image: i, replica: 1, networks: {w: {ipv4_address: 172.30.0.9}}}
networks:
  w:
    internal: true
    enable_ipv6: true
    ipam: {driver: default, config: [{subnet: 172.30.0.0/24, gateway: 172.30.0.1}, {subnet: 'fd00:30::/64'}]}
`

// Both forms say the same of a network, and what says nothing new is the same JSON as before there were the keys.
func TestNetworkForms(t *testing.T) {
	want := app.Network{
		Driver: "bridge", Subnet: app.Texts{"172.30.0.0/24", "fd00:30::/64"}, Gateway: app.Texts{"172.30.0.1"},
		Internal: true, IPv6: true,
	}
	for _, text := range []string{twoForms, twoFormsCompose} {
		c, err := app.Parse("f", []byte(text))
		require.NoError(t, err)
		require.Equal(t, want, c.Networks["w"])
	}
	c, err := app.Parse("f", []byte("networks: {w: {subnet: 172.30.0.0/24}}\nservices: []\n"))
	require.NoError(t, err)
	require.Equal(t, app.Texts{"172.30.0.0/24"}, c.Networks["w"].Subnet)
	data, err := json.Marshal(app.Network{Driver: "bridge"})
	require.NoError(t, err)
	require.JSONEq(t, `{"driver":"bridge"}`, string(data))
}

func TestNetworkErrors(t *testing.T) {
	for n, want := range map[string]string{
		`subnet: 172.30.0.1`:                                       `subnet: "172.30.0.1": write an address and the length`,
		`subnet: 172.30.0.1/24`:                                    "write 172.30.0.0/24",
		`subnet: 172.30.0.0/31`:                                    "no room",
		`subnet: 'fd00::/64'`:                                      "set ipv6: true too",
		`subnet: [172.30.0.0/24, 172.31.0.0/24]`:                   "one of IPv4 and one of IPv6",
		`gateway: 172.30.0.1`:                                      "write subnet too",
		`gateway: x`:                                               `gateway: "x" is no address`,
		`subnet: 172.30.0.0/24, gateway: 172.30.1.1`:               "172.30.1.1 is not in subnet",
		`subnet: 172.30.0.0/24, gateway: 172.30.0.0`:               "which nobody can have",
		`subnet: 172.30.0.0/24, gateway: [172.30.0.1, 172.30.0.2]`: "has two",
		`subnet: {}`:                                               "networks.w.subnet: expected a text, or a list of texts",
		`subnets: x`:                                               "networks.w.subnets: unknown key",
		`subnet: 10.0.0.0/8}, m: {subnet: 10.1.0.0/16`:             "networks.w.subnet: 10.0.0.0/8 overlaps 10.1.0.0/16 of network m",
	} {
		_, err := app.Parse("f", []byte("services: []\nnetworks: {w: {"+n+"}}\n"))
		require.ErrorContains(t, err, want, n)
	}
	for s, want := range map[string]string{
		`networks: {w: {ipv4_address: 172.30.1.9}}`:             "services[0] (a).networks.w.ipv4_address: 172.30.1.9 is not in subnet",
		`networks: {w: {ipv4_address: x}}`:                      `"x" is no address of IPv4`,
		`networks: {w: {ipv4_address: 172.30.0.1}}`:             "is the gateway",
		`networks: {w: {ipv4_address: 172.30.0.255}}`:           "which nobody can have",
		`networks: {w: {ipv4_address: 172.30.0.8}}`:             "services[1] (b).networks.w.ipv4_address: service a has 172.30.0.8 already",
		`networks: {w: {ipv4_address: 172.30.0.9}}, replica: 2`: "2 instances cannot have one address",
	} {
		_, err := app.Parse("f", []byte("networks: {w: {subnet: 172.30.0.0/24}}\nservices:\n  - {name: a, image: i, "+s+"}\n"+
			"  - {name: b, image: i, networks: {w: {ipv4_address: 172.30.0.8}}}\n"))
		require.ErrorContains(t, err, want, s)
	}
	// What versions before accepted: a network that exists may have a subnet.
	_, err := app.Parse("f", []byte("networks: {w: {}}\nservices:\n"+
		"  - {name: a, image: i, networks: {w: {ipv4_address: 10.0.0.2}}}\n"))
	require.NoError(t, err)
}

// The network that every application has can be defined too. Without a new key that changes no service.
func TestNetworksOf(t *testing.T) {
	parse := func(network string) (*app.Config, app.Service) {
		c, err := app.Parse("f", []byte("services: [{name: a, image: i}]\nnetworks: {baetyl: {"+network+"}}\n"))
		require.NoError(t, err)
		return c, c.Services[0]
	}
	c, s := parse("driver: macvlan")
	require.Equal(t, []string{"baetyl"}, s.NetworkNames())
	require.Empty(t, c.NetworksOf(s))
	c, s = parse("subnet: 10.9.0.0/16")
	require.Equal(t, app.Texts{"10.9.0.0/16"}, c.NetworksOf(s)["baetyl"].Subnet)
	s.NetworkMode = "host"
	require.Empty(t, c.NetworksOf(s))
}
