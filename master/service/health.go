package service

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// healthInterval is how often AwaitHealthy checks the instances.
const healthInterval = 50 * time.Millisecond

// crashLoop is how often an instance may be started again, without a healthy while between, until AwaitHealthy gives up
// on it: with the default backoff that takes about seven seconds.
const crashLoop = 3

// AwaitHealthy returns nil when every replica of the services has been up for the duration healthy, or has ended with
// success and is not to be started again. Up is healthy where there is a health check. Nobody waits for a service that
// is stopped by hand. It returns an error as soon as one is given up or ends again and again, or when ctx ends. The
// services are names given to Start.
func (m *Manager) AwaitHealthy(ctx context.Context, healthy time.Duration, services ...string) error {
	ticker := time.NewTicker(healthInterval)
	defer ticker.Stop()
	for {
		waiting, err := m.unhealthy(healthy, services)
		if waiting == "" || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s has not stayed up for %s: %w", waiting, healthy, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// unhealthy describes a replica that has not been up for long enough, empty when there is none. The error is that of
// a replica which never will be.
func (m *Manager) unhealthy(healthy time.Duration, services []string) (waiting string, err error) {
	now := time.Now()
	for _, name := range services {
		s, err := m.service(name)
		if err != nil {
			return "", err
		}
		if s.stopped != nil {
			continue
		}
		for n := range s.spec.Replica {
			i, err := s.find(replicaName(name, n))
			if err != nil {
				return "", err // stopped through the API
			}
			ended := isClosed(i.done) // read before view, so that view shows how it ended
			v := i.view()
			switch failures := i.record().Failures; {
			case v.Status == masterapi.StatusRunning && healthy <= 0, i.up(v, now) >= max(healthy, 1):
			case v.Status == masterapi.StatusExited && s.spec.Restart.Policy != app.RestartAlways:
			case ended:
				return "", fmt.Errorf("instance %s of service %s: %s", v.Name, name, v.Error)
			case failures > crashLoop:
				return "", fmt.Errorf("instance %s of service %s has ended %d times in a row: %s", v.Name, name, failures, v.Error)
			default:
				status, why := v.State()
				waiting = fmt.Sprintf("instance %s of service %s (%s)", v.Name, name, status)
				if why = cmp.Or(why, v.Error); why != "" {
					waiting += ": " + why + ":"
				}
			}
		}
	}
	return waiting, nil
}

// Health returns that of the services by name, also of those without an instance.
func (m *Manager) Health() []masterapi.ServiceHealth {
	out := []masterapi.ServiceHealth{}
	for _, name := range m.Names() {
		s, err := m.service(name)
		if err != nil {
			continue // stopped meanwhile
		}
		h := masterapi.ServiceHealth{Name: name, Health: masterapi.HealthNone}
		for _, i := range s.list() {
			v := i.view()
			if status := healthOf(v); masterapi.Worse(status, h.Health) {
				h.Health, h.Reason = status, sentence(v)
			}
		}
		if h.Health == masterapi.HealthHealthy || h.Health == masterapi.HealthNone {
			h.Reason = ""
		}
		out = append(out, h)
	}
	return out
}

// healthOf is the health of an instance in one word.
func healthOf(v masterapi.Instance) string {
	switch {
	case v.Status == masterapi.StatusFailed, v.Status == masterapi.StatusRestarting:
		return masterapi.HealthUnhealthy
	case v.Status == masterapi.StatusStarting, v.Status == masterapi.StatusWaiting:
		return masterapi.HealthStarting
	case v.Status == masterapi.StatusRunning && v.Health != nil:
		return v.Health.Status
	}
	return masterapi.HealthNone
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
