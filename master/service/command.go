package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/master/engine"
)

// ErrNotRunning is returned by Running when the instance does not run now.
var ErrNotRunning = errors.New("does not run")

// Running returns a running instance, to run a command in it; when none is named, the first of those that run, by name.
// What an earlier master has left is waited for until it is adopted, or known to be gone.
func (m *Manager) Running(ctx context.Context, service, name string) (engine.Instance, error) {
	s, err := m.service(service)
	if err != nil {
		return nil, err
	}
	list := s.list()
	what := fmt.Sprintf("service (%s)", service)
	if name != "" {
		i, err := s.find(name)
		if err != nil {
			return nil, err
		}
		list, what = []*instance{i}, fmt.Sprintf("instance (%s) of service (%s)", name, service)
	}
	for _, i := range list {
		i.mu.Lock()
		left := i.reaped != nil
		i.mu.Unlock()
		if left {
			select {
			case <-i.first:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		i.mu.Lock()
		running := i.current
		i.mu.Unlock()
		if running != nil && !isClosed(running.Done()) {
			return running, nil
		}
	}
	return nil, fmt.Errorf("%s %w", what, ErrNotRunning)
}
