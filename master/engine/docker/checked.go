//go:build unix

package docker

import (
	"context"
	"sync"

	"github.com/docker/docker/api/types/container"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// checked is what the daemon's own health check says of a container. Run learns it from the comparisons, of which there
// is one after each event of the container: nobody asks the daemon for it alone.
type checked struct {
	mu      sync.Mutex // guards what follows
	status  string     // masterapi.Health…; empty: there is no check
	output  string     // of the last check
	changed chan struct{}
}

// note takes the state of a container.
func (c *checked) note(s *container.State) {
	if s == nil || s.Health == nil {
		return
	}
	status, output := "", ""
	switch s.Health.Status {
	case container.Starting:
		status = masterapi.HealthStarting
	case container.Healthy:
		status = masterapi.HealthHealthy
	case container.Unhealthy:
		status = masterapi.HealthUnhealthy
	}
	if n := len(s.Health.Log); n > 0 && s.Health.Log[n-1] != nil {
		output = s.Health.Log[n-1].Output
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == status && c.output == output {
		return
	}
	c.status, c.output = status, output
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// Checked returns what is known; see engine.Checked.
func (i *instance) Checked(context.Context) (status, output string, changed <-chan struct{}, err error) {
	c := &i.checked
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.status, c.output, c.changed, nil
}
