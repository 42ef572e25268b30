package service

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
)

// Caller is a service that starts or stops instances. nil: a person, who may do so with those of every service.
type Caller struct {
	Service string
	May     func(app.Service) error // whether those of that service; its error is the answer. nil: of every service
}

// StartInstance starts an instance on demand, and returns when it runs or could not be started. One with the same name
// is stopped first. vars go into its environment, if the service accepts them. It gets no token. Errors: ErrNotFound,
// that of by.May, ErrInvalid, ErrForbidden, ErrLimit, ErrStopped, ErrByHand.
func (m *Manager) StartInstance(
	ctx context.Context, service, instance string, vars map[string]string, by *Caller,
) error {
	s, err := m.judged(service, instance, by)
	if err != nil {
		return err
	}
	if err := s.refuse(); err != nil {
		return err
	}
	if !validName(instance) {
		const rule = "use up to 128 letters, digits, '_', '-' and '.', and start with a letter or digit"
		return fmt.Errorf("%w: name of instance %s: %s", ErrInvalid, quoted(instance), rule)
	}
	if owner := m.owner(instance); owner != "" && owner != service {
		return fmt.Errorf("%w: instance %s has the name of service (%s); begin it with %q", ErrForbidden, instance,
			owner, service+".")
	}
	if err := checkDynamic(s.spec.Service, vars); err != nil {
		return err
	}
	caller := ""
	if by != nil {
		caller = by.Service
	}
	return s.start(ctx, instance, Record{Dynamic: true, Vars: maps.Clone(vars), Caller: caller})
}

// Address is where an instance of the service listens if another service starts it: unix:<path>, or empty when it needs
// a port.
func (m *Manager) Address(service, instance string) string {
	s, err := m.service(service)
	calls, ok := m.opts.Engine.(engine.Caller)
	if err != nil || !ok || !validName(instance) {
		return ""
	}
	path := calls.Socket(s.spec, instance)
	if path == "" {
		return ""
	}
	return "unix:" + path
}

// StopInstance stops an instance that was started on demand. It succeeds when there is none. Errors: ErrNotFound, that
// of by.May, ErrForbidden for a replica, ErrStopped.
func (m *Manager) StopInstance(ctx context.Context, service, instance string, by *Caller) error {
	s, err := m.judged(service, instance, by)
	if err != nil {
		return err
	}
	return s.stop(ctx, instance, false)
}

// KillInstance is StopInstance without a grace time: for an instance that hangs.
func (m *Manager) KillInstance(ctx context.Context, service, instance string, by *Caller) error {
	s, err := m.judged(service, instance, by)
	if err != nil {
		return err
	}
	return s.stop(ctx, instance, true)
}

// judged returns the service called name if the instance is none of its replicas, and by may start and stop those of
// the service.
func (m *Manager) judged(name, instance string, by *Caller) (*service, error) {
	s, err := m.service(name)
	if err != nil {
		return nil, err
	}
	if isReplica(s.spec, instance) {
		return nil, fmt.Errorf("%w: instance %s is a replica of service (%s), which the master alone starts and stops: "+
			"change replica: of the service in application.yml", ErrForbidden, instance, name)
	}
	if by == nil || by.May == nil {
		return s, nil
	}
	return s, by.May(s.spec.Service)
}

// ownerOf is the name of the service that an instance is known as one of, if there is such a service. In docker mode
// others find an instance by its name.
func ownerOf(instance string) string {
	name, _, _ := strings.Cut(instance, ".")
	return name
}

// owner is ownerOf the instance where there is such a service, or else empty. Names of hosts, which instances are to
// each other in docker's networks, have no case.
func (m *Manager) owner(instance string) string {
	name := ownerOf(instance)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.services[name] != nil {
		return name
	}
	for other := range m.services {
		if strings.EqualFold(other, name) {
			return other
		}
	}
	return ""
}
