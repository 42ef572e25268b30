package service

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/redact"
)

type usage struct {
	cpu *host.CPU
	mem *host.Mem
}

// Inspect returns the services by name, also those without an instance.
func (m *Manager) Inspect() []masterapi.Service {
	used := m.usage.Get()
	var out []masterapi.Service
	for _, name := range m.Names() {
		if s, err := m.service(name); err == nil { // otherwise it was stopped meanwhile
			out = append(out, s.inspect(used))
		}
	}
	return out
}

// Statuses returns what Inspect does, and how the services are as a whole. Without measured nothing is measured.
func (m *Manager) Statuses(measured bool) []masterapi.ServiceStatus {
	var used map[*instance]usage
	if measured {
		used = m.usage.Get()
	}
	out := []masterapi.ServiceStatus{}
	for _, name := range m.Names() {
		if s, err := m.service(name); err == nil {
			out = append(out, s.status(used))
		}
	}
	return out
}

// Status is Statuses for one service, with its definition, without secrets: ErrNotFound.
func (m *Manager) Status(name string) (masterapi.ServiceStatus, error) {
	s, err := m.service(name)
	if err != nil {
		return masterapi.ServiceStatus{}, err
	}
	var definition any
	data, err := json.Marshal(s.spec.Service)
	if err == nil {
		err = json.Unmarshal(data, &definition)
	}
	if err == nil {
		data, err = json.Marshal(redact.Values(definition)[0])
	}
	if err != nil {
		return masterapi.ServiceStatus{}, fmt.Errorf("show service %s: %w", name, err)
	}
	out := s.status(m.usage.Get())
	out.Definition = data
	return out, nil
}

func (s *service) status(used map[*instance]usage) masterapi.ServiceStatus {
	v := s.inspect(used)
	return masterapi.ServiceStatus{
		Service: v, State: masterapi.StateOf(v, s.spec.Replica), Image: s.spec.Image, Replica: s.spec.Replica,
	}
}

// inspect is view with what was measured.
func (s *service) inspect(used map[*instance]usage) masterapi.Service {
	v := s.view(time.Now())
	for _, i := range s.list() {
		for n := range v.Instances {
			if u, ok := used[i]; ok && v.Instances[n].Name == i.name && v.Instances[n].Status == masterapi.StatusRunning {
				v.Instances[n].CPU, v.Instances[n].Mem = u.cpu, u.mem
			}
		}
	}
	return v
}

// measure asks the engine for the processor time and memory of each running instance.
func (m *Manager) measure(ctx context.Context) map[*instance]usage {
	out := map[*instance]usage{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range m.Names() {
		s, err := m.service(name)
		if err != nil {
			continue
		}
		for _, i := range s.list() {
			i.mu.Lock()
			running := i.current
			i.mu.Unlock()
			if running == nil || isClosed(running.Done()) {
				continue
			}
			wg.Go(func() {
				cpu, mem := running.Stats(ctx)
				mu.Lock()
				defer mu.Unlock()
				out[i] = usage{cpu, mem}
			})
		}
	}
	wg.Wait()
	return out
}

// shown is the health of what runs; nil: nobody checks it. Until the first probe of this master it is what an earlier
// one has known. i.mu is held.
func (i *instance) shown() *masterapi.Health {
	switch {
	case i.health != nil:
		return i.health
	case i.rec.Health != nil:
		return i.rec.Health
	case len(i.parts.probes) > 0:
		return &masterapi.Health{Status: masterapi.HealthStarting, Since: i.rec.Began}
	}
	return nil
}

// view returns what inspect shows.
func (i *instance) view() masterapi.Instance {
	i.mu.Lock()
	out := masterapi.Instance{
		Name: i.name, Status: i.rec.Status, StartTime: i.rec.Began, Restarts: i.rec.Restarts, Error: i.rec.Error,
		Reported: maps.Clone(i.reported),
	}
	current := i.current
	if i.rec.Status == masterapi.StatusRunning {
		out.Process, out.Container, out.Health = i.rec.Process, i.rec.Container, i.shown()
	}
	if i.waiting != "" {
		out.Status, out.Waiting = masterapi.StatusWaiting, i.waiting
	}
	i.mu.Unlock()
	if current != nil { // not under mu: the engine may take a while
		out.Warnings = current.Warnings()
		if out.Status != masterapi.StatusRunning {
			out.Output = current.Output()
		}
	}
	return out
}
