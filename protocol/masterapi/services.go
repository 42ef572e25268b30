package masterapi

import (
	"encoding/json"
	"slices"
	"strings"
)

// Services is the answer of RouteServices.
type Services struct {
	Services []ServiceStatus `json:"services"` // by name
}

// ServiceStatus is what there is to know of a service.
type ServiceStatus struct {
	Service
	State   string `json:"state"` // State…, or the Status… (or HealthUnhealthy) of the instance that is worst off
	Image   string `json:"image,omitempty"`
	Replica int    `json:"replica"` // instances that the master starts
	// as application.yml has it, without secrets; of RouteService alone
	Definition json.RawMessage `json:"definition,omitempty"`
}

// States of a service beside those of its instances.
const (
	StateIdle    = "idle"    // others start its instances, and there is none now
	StateStopped = "stopped" // it has no instance, and should have, or is stopped by hand
)

// worst are the states of instances, the worst first.
var worst = []string{
	StatusFailed, StatusRestarting, HealthUnhealthy, StatusWaiting, StatusStarting, StatusExited, StatusRunning,
}

// StateOf returns the state of a service with replica instances of the master.
func StateOf(s Service, replica int) string {
	if s.Stopped != nil {
		return StateStopped
	}
	if len(s.Instances) == 0 {
		if replica == 0 {
			return StateIdle
		}
		return StateStopped
	}
	state, _ := s.Instances[0].State()
	for _, i := range s.Instances[1:] {
		if one, _ := i.State(); slices.Index(worst, one) < slices.Index(worst, state) {
			state = one
		}
	}
	return state
}

// State is the status of an instance, or what its health check makes of it, and why it is so; for people.
func (i Instance) State() (state, why string) {
	switch {
	case i.Status == StatusWaiting:
		return i.Status, "for " + i.Waiting
	case i.Status != StatusRunning:
		return i.Status, i.Error
	case i.Health == nil || i.Health.Status == HealthHealthy:
		return i.Status, ""
	}
	return i.Health.Status, Line(i.Health.Output) // starting or unhealthy
}

// maxLine is how much of an output Line keeps, in bytes.
const maxLine = 256

// Line is the first line of an output, as it stands in a reason.
func Line(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(strings.ToValidUTF8(line[:min(len(line), maxLine)], ""))
}
