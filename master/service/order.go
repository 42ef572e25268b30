package service

import (
	"fmt"
	"sync"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// changes wakes whoever waits for a change of instances. Nothing runs while nobody waits.
type changes struct {
	mu sync.Mutex
	ch chan struct{} // closed by tell; nil: nobody waits
}

// wait returns a channel that is closed at the next change from now on.
func (c *changes) wait() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch == nil {
		c.ch = make(chan struct{})
	}
	return c.ch
}

func (c *changes) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch != nil {
		close(c.ch)
		c.ch = nil
	}
}

// queue waits until the services that this one depends on are as it needs them. It returns false when the instance is
// to stop. Nobody else waits for it meanwhile.
func (i *instance) queue() bool {
	defer func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.waiting = ""
	}()
	said := ""
	for {
		changed := i.parts.changes.wait() // before the question, so that no change is missed
		why := i.parts.waitsFor()
		if why == "" {
			return i.ctx.Err() == nil
		}
		i.mu.Lock()
		i.waiting = why
		i.mu.Unlock()
		if why != said {
			i.log.Infof("instance waits for %s", why)
			i.tells(masterapi.EventInstanceWaits, "instance waits for "+why, nil)
			said = why
		}
		i.tell(nil)
		select {
		case <-changed:
		case <-i.ctx.Done():
			return false
		}
	}
}

// waitsFor names the first condition that does not hold; empty: all do.
func (m *Manager) waitsFor(on app.Dependencies) string {
	for _, d := range on {
		if d.Condition == "" {
			continue
		}
		if why := m.lacks(d); why != "" {
			return fmt.Sprintf("service %s to be %s: %s", d.Service, d.Condition, why)
		}
	}
	return ""
}

// lacks says why a condition does not hold.
func (m *Manager) lacks(d app.Dependency) string {
	s, err := m.service(d.Service)
	if err != nil {
		return "it is not started"
	}
	if s.stopped != nil {
		return fmt.Sprintf("it is stopped by hand, by %s: baetyl service start %s", s.stopped.By, d.Service)
	}
	for n := range s.spec.Replica {
		i, err := s.find(replicaName(d.Service, n))
		if err != nil {
			return "it is not started"
		}
		v := i.view()
		healthy := v.Status == masterapi.StatusRunning && v.Health != nil && v.Health.Status == masterapi.HealthHealthy
		stopped := v.Status == masterapi.StatusExited
		if d.Condition == app.ConditionHealthy && v.Status == masterapi.StatusRunning && v.Health == nil &&
			len(i.parts.probes) == 0 {
			return fmt.Sprintf("nobody checks instance %s: its image has no HEALTHCHECK; give the service a healthcheck", v.Name)
		}
		if d.Condition == app.ConditionHealthy && !healthy || d.Condition == app.ConditionStopped && !stopped {
			return sentence(v)
		}
	}
	return ""
}

// sentence says for people what an instance is doing, and why.
func sentence(v masterapi.Instance) string {
	status, why := v.State()
	if why != "" {
		status += ": " + why
	}
	return fmt.Sprintf("instance %s is %s", v.Name, status)
}
