package service

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
)

type usage struct {
	cpu *host.CPU
	mem *host.Mem
}

// Inspect returns the services by name, also those without an instance.
func (m *Manager) Inspect() []masterapi.Service {
	used := m.usage.Get()
	now := time.Now()
	var out []masterapi.Service
	for _, name := range m.Names() {
		s, err := m.service(name)
		if err != nil {
			continue // stopped meanwhile
		}
		v := s.view(now)
		for _, i := range s.list() {
			for n := range v.Instances {
				if u, ok := used[i]; ok && v.Instances[n].Name == i.name && v.Instances[n].Status == masterapi.StatusRunning {
					v.Instances[n].CPU, v.Instances[n].Mem = u.cpu, u.mem
				}
			}
		}
		out = append(out, v)
	}
	return out
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

// view returns what inspect shows.
func (i *instance) view() masterapi.Instance {
	i.mu.Lock()
	out := masterapi.Instance{
		Name: i.name, Status: i.rec.Status, StartTime: i.rec.Began, Restarts: i.rec.Restarts, Error: i.rec.Error,
		Reported: maps.Clone(i.reported),
	}
	current := i.current
	if i.rec.Status == masterapi.StatusRunning {
		out.Process, out.Container = i.rec.Process, i.rec.Container
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
