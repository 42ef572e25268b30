package service

import "github.com/baetyl/baetyl/master/engine"

// Settled lets the engine let go what it holds for instances that there are not. It is called when all services of the
// application have been started: one that an update has stopped, and starts again, is not there meanwhile.
// What was stopped by hand, and is another service by now, is forgotten.
func (m *Manager) Settled() {
	digests := map[string]string{}
	m.mu.Lock()
	for name, s := range m.services {
		digests[name] = s.digest
	}
	m.mu.Unlock()
	m.opts.Stops.settle(digests)
	m.drop(nil)
}

// drop is Settled before the services of specs were started.
func (m *Manager) drop(specs []engine.Service) {
	holder, ok := m.opts.Engine.(engine.Holder)
	if !ok {
		return
	}
	wanted := map[[2]string]bool{}
	for _, s := range specs {
		for n := range s.Replica {
			wanted[[2]string{s.Name, replicaName(s.Name, n)}] = true
		}
	}
	for _, name := range m.Names() {
		s, err := m.service(name)
		if err != nil {
			continue // stopped meanwhile
		}
		s.mu.Lock()
		for instance := range s.slots { // also one that is being started
			wanted[[2]string{name, instance}] = true
		}
		s.mu.Unlock()
	}
	holder.Drop(func(service, instance string) bool { return wanted[[2]string{service, instance}] })
}

// dropOne lets the engine let go what it holds for an instance that was stopped for good. The caller has its slot.
func (m *Manager) dropOne(service, instance string) {
	if holder, ok := m.opts.Engine.(engine.Holder); ok {
		holder.Drop(func(s, i string) bool { return s != service || i != instance })
	}
}
