package service

import (
	"context"
	"fmt"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// healthInterval is how often AwaitHealthy checks the instances.
const healthInterval = 50 * time.Millisecond

// AwaitHealthy returns nil when every replica of the services has been up for the duration healthy, or has ended with
// success and is not to be started again. It returns an error as soon as one is given up, or when ctx ends. The
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
	for _, name := range services {
		s, err := m.service(name)
		if err != nil {
			return "", err
		}
		for n := range s.spec.Replica {
			i, err := s.find(replicaName(name, n))
			if err != nil {
				return "", err // stopped through the API
			}
			ended := isClosed(i.done) // read before view, so that view shows how it ended
			v := i.view()
			switch {
			case v.Status == masterapi.StatusRunning && time.Since(*v.StartTime) >= healthy:
			case v.Status == masterapi.StatusExited && s.spec.Restart.Policy != app.RestartAlways:
			case ended:
				return "", fmt.Errorf("instance %s of service %s: %s", v.Name, name, v.Error)
			default:
				waiting = fmt.Sprintf("instance %s of service %s (%s)", v.Name, name, v.Status)
				if v.Error != "" {
					waiting += ": " + v.Error + ":"
				}
			}
		}
	}
	return waiting, nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
