package service

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
)

// Judge tells whether a caller may start or stop instances of that service; its error is the answer. nil: it may, those
// of every service.
type Judge func(app.Service) error

// StartInstance starts an instance on demand, and returns when it runs or could not be started. One with the same name
// is stopped first. vars go into its environment, if the service accepts them. It gets no token. Errors: ErrNotFound,
// that of may, ErrInvalid, ErrForbidden, ErrLimit, ErrStopped.
func (m *Manager) StartInstance(
	ctx context.Context, service, instance string, vars map[string]string, may Judge,
) error {
	s, err := m.judged(service, instance, may)
	if err != nil {
		return err
	}
	if len(instance) > 128 || !instanceRule.MatchString(instance) {
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
	return s.start(ctx, instance, true, maps.Clone(vars))
}

// StopInstance stops an instance that was started on demand. It succeeds when there is none. Errors: ErrNotFound, that
// of may, ErrForbidden for a replica, ErrStopped.
func (m *Manager) StopInstance(ctx context.Context, service, instance string, may Judge) error {
	s, err := m.judged(service, instance, may)
	if err != nil {
		return err
	}
	return s.stop(ctx, instance)
}

// judged returns the service called name if the instance is none of its replicas, and may allows the service.
func (m *Manager) judged(name, instance string, may Judge) (*service, error) {
	s, err := m.service(name)
	if err != nil {
		return nil, err
	}
	if isReplica(s.spec, instance) {
		return nil, fmt.Errorf("%w: instance %s is a replica of service (%s), which the master alone starts and stops: "+
			"change replica: of the service in application.yml", ErrForbidden, instance, name)
	}
	if may == nil {
		return s, nil
	}
	return s, may(s.spec.Service)
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
