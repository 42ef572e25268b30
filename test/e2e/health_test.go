//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// health is what the master says of the services.
func (s *system) health() (out masterapi.SystemHealth, err error) {
	status, body, err := s.asPerson(http.MethodGet, masterapi.PathHealth, "")
	if err != nil || status != http.StatusOK {
		return out, fmt.Errorf("status %d: %w", status, err)
	}
	return out, json.Unmarshal(body, &out)
}

// awaitHealth waits until each of the services has that health.
func (s *system) awaitHealth(want string, services ...string) {
	s.t.Helper()
	s.eventually(strings.Join(services, ", ")+" is "+want, func() error {
		all, err := s.health()
		if err != nil {
			return err
		}
		for _, name := range services {
			at := slices.IndexFunc(all.Services, func(one masterapi.ServiceHealth) bool { return one.Name == name })
			if at < 0 {
				return fmt.Errorf("%s has not been started", name)
			}
			if one := all.Services[at]; one.Health != want {
				return fmt.Errorf("%s is %s: %s", name, one.Health, one.Reason)
			}
		}
		return nil
	})
}

// The modules of the example are probed. One that hangs is started again, though its process is there; those that need
// it are not ready meanwhile, and go on.
func TestModulesAreHealthy(t *testing.T) {
	s := newSystem(t)
	s.start()
	s.awaitHealth(masterapi.HealthHealthy, "localhub", "function-manager", "timer")
	hub, timer := s.one("localhub").pid, s.one("timer").pid
	must(t, syscall.Kill(hub, syscall.SIGSTOP))
	s.eventually("another hub", func() error {
		list := s.processesOf("localhub")
		if len(list) != 1 || list[0].pid == hub {
			return fmt.Errorf("%v", list)
		}
		return nil
	})
	s.awaitHealth(masterapi.HealthHealthy, "localhub", "function-manager", "timer")
	if now := s.one("timer").pid; now != timer {
		t.Errorf("the timer was replaced: %d is now %d", timer, now)
	}
	s.logged("liveness: 3 probes in a row have failed", "no answer within 5s")
}
