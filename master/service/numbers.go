package service

import (
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Numbers are what Prometheus is told of a service.
type Numbers struct {
	masterapi.ServiceStatus
	Health string // as Health has it
	// it is as it should be: all of it runs, and is healthy where somebody checks, or has done its work
	Fine bool
	// since its definition has changed last, or this master has started: how long it was to run, which is not while it is
	// stopped by hand, and how long it was Fine of that. 0 for a service whose instances others start
	Expected, Correct time.Duration
	Replicas          []string // names of the instances that the master starts; services start the other ones
}

// Numbers returns those of all services, by name. It waits up to wait for a new measurement of what they use.
func (m *Manager) Numbers(wait time.Duration) []Numbers {
	used := m.usage.Within(wait)
	health := map[string]string{}
	for _, h := range m.Health() {
		health[h.Name] = h.Health
	}
	var out []Numbers
	for _, name := range m.Names() {
		s, err := m.service(name)
		if err != nil {
			continue // stopped meanwhile
		}
		n := Numbers{ServiceStatus: s.status(used), Health: health[name]}
		n.Expected, n.Correct, n.Fine = s.upUntil(time.Now())
		for k := range s.spec.Replica {
			n.Replicas = append(n.Replicas, replicaName(name, k))
		}
		out = append(out, n)
	}
	return out
}
