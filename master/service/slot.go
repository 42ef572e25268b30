package service

import (
	"context"
	"fmt"
	"regexp"
	"sort"
	"strings"
)

// maxDynamic is how many instances of a service may have been started on demand.
const maxDynamic = 200

// instanceRule is that of names, up to 128 characters, and '.', which sets off the number of a replica. The length is
// checked beside it: {0,127} would cost 110 KB at each start.
var instanceRule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// replicaRule is what follows the name of a service in that of a replica (replicaName). Names of hosts, which instances
// are to each other in docker's networks, have no case.
var replicaRule = regexp.MustCompile(`^(\.[iI][0-9]+)?$`)

// likeReplica tells whether a service could have a replica of that name, however many it has now.
func likeReplica(service, instance string) bool {
	n := len(service)
	return len(instance) >= n && strings.EqualFold(instance[:n], service) && replicaRule.MatchString(instance[n:])
}

// checkName tells why no instance of a service may be started by that name.
func (m *Manager) checkName(service, instance string) error {
	if len(instance) > 128 || !instanceRule.MatchString(instance) {
		const rule = "use up to 128 letters, digits, '_', '-' and '.', and start with a letter or digit"
		return fmt.Errorf("%w: name of instance %q: %s", ErrInvalid, instance, rule)
	}
	if other := m.replicaOf(instance); other != "" && !likeReplica(service, instance) {
		return fmt.Errorf("%w: name of instance %q: it is that of a replica of service %s", ErrInvalid, instance, other)
	}
	return nil
}

// replicaOf returns the service that an instance of that name would be a replica of; empty: there is none. Other
// services are told the name, which leads to the instance in docker's networks: none may stand in for another one.
func (m *Manager) replicaOf(instance string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.services {
		if likeReplica(name, instance) {
			return name
		}
	}
	return ""
}

// slot is the place of one instance name. The goroutine that took the value of free may start or stop the instance in
// it; the others wait.
type slot struct {
	free     chan struct{} // holds a value while no goroutine starts or stops the instance
	users    int           // goroutines that took the value or wait for it; guarded by service.mu
	instance *instance     // nil: none; written by the goroutine that took the value, under service.mu
}

func newSlot() *slot {
	sl := &slot{free: make(chan struct{}, 1)}
	sl.free <- struct{}{}
	return sl
}

// acquire waits until no other goroutine starts or stops the instance of that name. The returned func releases the
// slot.
func (s *service) acquire(ctx context.Context, name string, create bool) (*slot, func(), error) {
	s.mu.Lock()
	sl := s.slots[name]
	if sl == nil {
		if !create {
			s.mu.Unlock()
			return nil, nil, fmt.Errorf("instance (%s) of service (%s) %w", name, s.spec.Name, ErrNotFound)
		}
		if len(s.slots) >= maxDynamic+s.spec.Replica {
			s.mu.Unlock()
			return nil, nil, fmt.Errorf("%w: service (%s) has %d instances already", ErrLimit, s.spec.Name, len(s.slots))
		}
		sl = newSlot()
		s.slots[name] = sl
	}
	sl.users++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if sl.users--; sl.users == 0 && sl.instance == nil {
			delete(s.slots, name)
		}
	}
	select {
	case <-sl.free:
		return sl, func() { sl.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, nil, ctx.Err()
	}
}

// find returns the instance with that name.
func (s *service) find(name string) (*instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl := s.slots[name]; sl != nil && sl.instance != nil {
		return sl.instance, nil
	}
	return nil, fmt.Errorf("instance (%s) of service (%s) %w", name, s.spec.Name, ErrNotFound)
}

// list returns the instances by name.
func (s *service) list() []*instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*instance, 0, len(s.slots))
	for _, sl := range s.slots {
		if sl.instance != nil {
			out = append(out, sl.instance)
		}
	}
	sort.Slice(out, func(a, b int) bool { return out[a].name < out[b].name })
	return out
}
