//go:build vm

package vm_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine/native/launch/attack"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// inspect is what the master says of a service.
func (m *machine) inspect(service string) masterapi.Service {
	m.Helper()
	text := m.run("%s", inspect)
	var in masterapi.Inspect
	require.NoError(m, json.Unmarshal([]byte(text), &in))
	for _, s := range in.Services {
		if s.Name == service {
			return s
		}
	}
	m.Fatalf("inspect does not know service %s", service)
	return masterapi.Service{}
}

// attempt waits until the attacker that runs as a service has ended, and returns how far it came.
func (m *machine) attempt(service string) map[string]string {
	m.Helper()
	text := m.until(2*time.Minute, "sed -n 's/.* stdout: //p' /usr/local/var/log/baetyl/services/%s.log | grep .", service)
	outcomes, err := attack.Parse([]byte(text))
	require.NoError(m, err)
	return outcomes
}

// Limits of each kind hold on cgroup v2, below the delegated unit.
func TestLimits(t *testing.T) {
	m := install(t)
	m.services(`
  - name: memory
    attacker:
    args: [native-attack, "allocate:200"]
    restart: {policy: "no"}
    resources: {memory: {limit: 30m, swap: 30m}}
  - name: pids
    attacker:
    args: [native-attack, "fork:100"]
    restart: {policy: "no"}
    resources: {pids: {limit: 20}}
  - name: cpu
    attacker:
    args: [wait]
    resources: {cpu: {cpus: 0.5, setcpus: "1"}, memory: {limit: 100m, swap: 150m}, pids: {limit: 30}}
`)
	m.start()
	require.Contains(t, m.attempt("pids")["fork:100"], "resource temporarily unavailable")

	m.until(time.Minute, "journalctl -k -q --since %s | grep 'Memory cgroup out of memory'", m.since)
	memory := m.inspect("memory")
	require.Contains(t, memory.Error, "out of memory (OOM), see resources.memory.limit")
	require.Len(t, memory.Instances, 1)
	require.Equal(t, masterapi.StatusFailed, memory.Instances[0].Status)

	require.Empty(t, m.inspect("cpu").Instances[0].Warnings)
	require.Equal(t, "50000 100000\n1\n104857600\n52428800\n30",
		m.run("cd %s/baetyl.*/cpu@cpu && cat cpu.max cpuset.cpus memory.max memory.swap.max pids.max", unit))
	require.Regexp(t, "Cpus_allowed_list:\t1", m.run("cat /proc/$(cat %s/baetyl.*/cpu@cpu/cgroup.procs)/status", unit))
	m.running()
	require.Contains(t, m.run("systemctl show -p NRestarts -p ActiveState baetyl"), "ActiveState=active")
}
