package service

import (
	"context"
	"fmt"
	"regexp"
	"sort"
)

// maxDynamic is how many instances of a service may have been started on demand.
const maxDynamic = 200

// instanceRule is that of names, up to 128 characters, and '.', which sets off the number of a replica. The length is
// checked beside it: {0,127} would cost 110 KB at each start.
var instanceRule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

func validName(instance string) bool {
	return len(instance) <= 128 && instanceRule.MatchString(instance)
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
