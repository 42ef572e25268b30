//go:build unix

package docker

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/conf"
)

// planned is a service with its plan, and what a daemon says of a container that runs as planned.
func planned(t *testing.T, change func(*app.Service)) (engine.Service, plan, state) {
	t.Helper()
	s := engine.Service{
		Service:  app.Service{Name: "s", Image: "i"},
		Networks: map[string]app.Network{"one": {Subnet: app.Texts{"10.1.0.0/16"}}},
	}
	s.Service.Networks = app.Aliases{"one": {Aliases: []string{"a"}, IPv4Address: "10.1.0.9"}, "two": {}}
	s.Resources.Memory.Limit = conf.Size(64 << 20)
	s.Resources.CPU.Cpus = 1.5
	if change != nil {
		change(&s.Service)
	}
	able := kernel{CPUs: true, CPUSet: true, Memory: true, Swap: true, Pids: true}
	p, err := configure(request{Service: s, Spec: engine.Spec{Name: "s"}, Kernel: able})
	require.NoError(t, err)
	now := state{name: "s", started: "t1", networks: map[string]*network.Inspect{}}
	now.container = container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: "id", Name: "/s", State: &container.State{Running: true, StartedAt: "t1"},
			HostConfig: &container.HostConfig{
				RestartPolicy: container.RestartPolicy{Name: "no"}, Resources: p.Host.Resources,
				NetworkMode: p.Host.NetworkMode,
			},
		},
		NetworkSettings: &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{}},
	}
	if r := &now.container.HostConfig.Resources; r.Memory > 0 {
		r.MemorySwap = 2 * r.Memory // as daemons write it
	}
	now.limits = limitsOf(p, now.container.HostConfig.Resources)
	for _, to := range connections(p) {
		settings := *to.Settings
		settings.NetworkID, settings.EndpointID, settings.IPAddress = "id-"+to.Network, "e", "10.1.0.9"
		now.container.NetworkSettings.Networks[to.Network] = &settings
		now.networks[to.Network] = &network.Inspect{ID: "id-" + to.Network, Name: to.Network, Driver: "bridge"}
	}
	if n := now.networks["one"]; n != nil {
		n.IPAM.Config = []network.IPAMConfig{{Subnet: "10.1.0.0/16", Gateway: "10.1.0.1"}}
	}
	return s, p, now
}

func TestDrift(t *testing.T) {
	none := int64(-1)
	ten := int64(10)
	limits := func(s *state) *container.Resources { return &s.container.HostConfig.Resources }
	in := func(s *state) map[string]*network.EndpointSettings { return s.container.NetworkSettings.Networks }
	for name, c := range map[string]struct {
		change func(*state)
		want   []string
	}{
		"as planned":          {func(*state) {}, nil},
		"not running":         {func(s *state) { s.container.State.Running = false; s.container.Name = "/x" }, nil},
		"nothing known":       {func(s *state) { s.container.ContainerJSONBase = nil }, nil},
		"ended, and runs":     {func(s *state) { s.ended = true; s.container.Name = "/x" }, []string{"started by another docker client after its end"}},
		"restarted":           {func(s *state) { s.container.State.StartedAt = "t2" }, []string{"restarted by another docker client"}},
		"paused":              {func(s *state) { s.container.State.Paused = true }, []string{"paused by another docker client"}},
		"renamed":             {func(s *state) { s.container.Name = "/x" }, []string{"renamed to x by another docker client"}},
		"policy":              {func(s *state) { s.container.HostConfig.RestartPolicy.Name = "always" }, []string{"given the restart policy always by another docker client"}},
		"memory":              {func(s *state) { limits(s).Memory = 1 }, []string{"limits changed by another docker client: memory 1, not 67108864"}},
		"swap":                {func(s *state) { limits(s).MemorySwap = 7 }, []string{"limits changed by another docker client: memory and swap 7, not 134217728"}},
		"swap without limit":  {func(s *state) { limits(s).MemorySwap = -1 }, []string{"limits changed by another docker client: memory and swap -1, not 134217728"}},
		"cpus":                {func(s *state) { limits(s).NanoCPUs = 1 }, []string{"limits changed by another docker client: processor time (nanocpus) 1, not 1500000000"}},
		"shares set back":     {func(s *state) { limits(s).CPUShares = 1024 }, nil},
		"shares":              {func(s *state) { limits(s).CPUShares = 5 }, []string{"limits changed by another docker client: processor shares 5, not 0"}},
		"cores":               {func(s *state) { limits(s).CpusetCpus = "0" }, []string{`limits changed by another docker client: cores "0", not ""`}},
		"processes":           {func(s *state) { limits(s).PidsLimit = &ten }, []string{"limits changed by another docker client: processes 10, not 0"}},
		"processes, no limit": {func(s *state) { limits(s).PidsLimit = &none }, nil},
		"disconnected":        {func(s *state) { delete(in(s), "two") }, []string{"not connected to network two any more"}},
		"no endpoint":         {func(s *state) { in(s)["two"] = &network.EndpointSettings{NetworkID: "id-two"} }, []string{"not connected to network two any more"}},
		"network made anew":   {func(s *state) { s.networks["two"].ID = "new" }, []string{"network two was removed, and is another one now"}},
		"network gone":        {func(s *state) { s.networks["two"] = nil }, []string{"network two was removed, and is another one now"}},
		"aliases":             {func(s *state) { in(s)["one"].Aliases = []string{"s"} }, []string{"lost its aliases in network one"}},
		"more aliases":        {func(s *state) { in(s)["one"].Aliases = []string{"a", "123456"} }, nil},
		"names of newer ones": {func(s *state) { in(s)["one"].Aliases, in(s)["one"].DNSNames = nil, []string{"s", "a"} }, nil},
		"address":             {func(s *state) { in(s)["one"].IPAddress = "10.1.0.2" }, []string{"has address 10.1.0.2 in network one, not 10.1.0.9"}},
		"another network":     {func(s *state) { in(s)["x"] = &network.EndpointSettings{} }, []string{"connected to network x, which the application does not name"}},
		"driver":              {func(s *state) { s.networks["two"].Driver = "macvlan" }, []string{"network two exists with driver macvlan, not bridge; it is used as it is"}},
		"subnet": {func(s *state) { s.networks["one"].IPAM.Config[0].Subnet = "10.2.0.0/16" },
			[]string{"network one exists with subnet 10.2.0.0/16, not 10.1.0.0/16; it is used as it is"}},
		"several": {func(s *state) { s.container.Name = "/x"; delete(in(s), "two"); delete(in(s), "one") },
			[]string{
				"renamed to x by another docker client", "not connected to network one any more",
				"not connected to network two any more",
			}},
	} {
		t.Run(name, func(t *testing.T) {
			s, p, now := planned(t, nil)
			c.change(&now)
			var got []string
			for _, f := range drift(s, p, now) {
				got = append(got, f.text)
			}
			require.Equal(t, c.want, got)
		})
	}
}

// What the plan limits is as in the plan, also when it was changed before this master began; the rest is as the daemon
// said: podman limits processes by itself.
func TestLimitsOf(t *testing.T) {
	_, p, _ := planned(t, nil)
	some := int64(2048)
	got := limitsOf(p, container.Resources{Memory: 5, MemorySwap: 7, PidsLimit: &some, CpusetCpus: "0"})
	require.EqualValues(t, 64<<20, got.Memory)
	require.EqualValues(t, 7, got.MemorySwap)
	require.EqualValues(t, 2048, *got.PidsLimit)
	require.EqualValues(t, 1_500_000_000, got.NanoCPUs)
	require.Equal(t, "0", got.CpusetCpus)
}

// A service with a network mode is in no network of the application; docker's own bridge is one it can lose.
func TestDriftOfNetworkModes(t *testing.T) {
	for mode, lost := range map[string]bool{"host": false, "none": false, "bridge": true} {
		s, p, now := planned(t, func(s *app.Service) { s.Networks, s.NetworkMode = nil, mode })
		now.container.NetworkSettings.Networks[mode] = &network.EndpointSettings{NetworkID: "id-" + mode, EndpointID: "e"}
		require.Empty(t, drift(s, p, now), mode)
		delete(now.container.NetworkSettings.Networks, mode)
		require.Equal(t, lost, len(drift(s, p, now)) == 1, mode)
	}
}

func TestNetworkOptions(t *testing.T) {
	o := networkOptions("n", app.Network{Driver: "bridge"}, "m")
	require.Nil(t, o.IPAM)
	require.Nil(t, o.EnableIPv6)
	require.Equal(t, map[string]string{labelBaetyl: labelBaetyl, labelMaster: "m"}, o.Labels)
	o = networkOptions("n", app.Network{
		Subnet: app.Texts{"10.1.0.0/16", "fd00::/64"}, Gateway: app.Texts{"fd00::9"}, IPv6: true, Internal: true,
	}, "m")
	want := []network.IPAMConfig{{Subnet: "10.1.0.0/16"}, {Subnet: "fd00::/64", Gateway: "fd00::9"}}
	require.Equal(t, want, o.IPAM.Config)
	require.True(t, o.Internal && *o.EnableIPv6)
	o = networkOptions("n", app.Network{IPv6: true}, "m")
	require.Equal(t, uniqueLocal("n").String(), o.IPAM.Config[0].Subnet)
	require.NotEqual(t, uniqueLocal("n"), uniqueLocal("m"))
	require.True(t, uniqueLocal("n").Addr().IsPrivate())
}

// A pause is found when it cannot be that of `docker commit` any more; lines of the log are few, and what is put right
// stands in the warnings for a while.
func TestWatcher(t *testing.T) {
	w := newWatcher()
	i := &instance{id: "id", ended: make(chan struct{})}
	i.record.Instance = "s"
	s := &subject{instance: i}
	w.add(s)
	at := time.Now()
	require.Empty(t, w.takeDue(at))
	require.Equal(t, []*subject{s}, w.takeDue(at.Add(2*eventInterval)))
	require.Empty(t, w.takeDue(at.Add(2*eventInterval)))

	paused := finding{kind: isPaused, text: "paused"}
	require.Empty(t, w.settlePause(s, []finding{paused}, at))
	require.LessOrEqual(t, w.next(at), pauseLimit)
	require.Empty(t, w.settlePause(s, nil, at.Add(time.Second)))
	require.Empty(t, w.settlePause(s, []finding{paused}, at.Add(2*time.Second)))
	require.Empty(t, w.settlePause(s, []finding{paused}, at.Add(pauseLimit)))
	require.Len(t, w.settlePause(s, []finding{paused}, at.Add(2*time.Second+pauseLimit)), 1)

	logged := 0
	for range 20 {
		if w.tells(s, paused, true, at) {
			logged++
		}
	}
	require.Equal(t, linesLimit, logged)
	require.Equal(t, []string{"paused (20 times, last at " + at.Format(time.TimeOnly) + ")"}, w.warnings("id", "s", at))
	extra := finding{kind: isExtra, network: "x", text: "extra"}
	later := at.Add(2 * linesTime)
	require.True(t, w.tells(s, extra, false, later))
	w.found(s, []finding{extra})
	require.False(t, w.tells(s, extra, false, later))
	require.Equal(t, []string{"extra"}, w.warnings("id", "s", at.Add(2*noteLimit)))
	w.leave("id")
	require.Empty(t, w.warnings("id", "s", at.Add(2*noteLimit)))
	w.takeDue(at.Add(2 * noteLimit))
	require.Empty(t, w.past)
}

// Who stops a container of an instance is told once, for all events of it.
func TestStopsOfOthers(t *testing.T) {
	w := newWatcher()
	i := &instance{id: "id", ended: make(chan struct{})}
	w.add(&subject{instance: i})
	now := time.Now()
	event := func(action events.Action, signal, id string) bool {
		m := events.Message{Type: events.ContainerEventType, Action: action}
		m.Actor = events.Actor{ID: id, Attributes: map[string]string{"signal": signal}}
		told, _ := w.heard(m, now)
		return told != nil
	}
	require.False(t, event(events.ActionKill, "15", "other"))
	require.False(t, event(events.ActionKill, "1", "id"), "SIGHUP ends nothing")
	require.True(t, event(events.ActionKill, "15", "id"))
	require.False(t, event(events.ActionKill, "9", "id"))
	require.False(t, event(events.ActionStop, "", "id"))
	now = now.Add(2 * stopLimit)
	require.True(t, event(events.ActionStop, "", "id"))
	close(i.ended)
	now = now.Add(2 * stopLimit)
	require.False(t, event(events.ActionStop, "", "id"))
	w.leave("id")
	require.False(t, event(events.ActionStop, "", "id"))
}
