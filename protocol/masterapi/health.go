package masterapi

import (
	"slices"
	"time"
)

// States of health.
const (
	HealthStarting  = "starting"  // not known yet; of a service, too: something of it is being started
	HealthHealthy   = "healthy"   //
	HealthUnhealthy = "unhealthy" // of a service, too: an instance has failed
	HealthNone      = "none"      // it runs, and nobody checks
)

// Health is what the probes of an instance have found.
type Health struct {
	Status   string     `json:"status"`             // HealthStarting, HealthHealthy or HealthUnhealthy
	Since    *time.Time `json:"since,omitempty"`    // it has had this status
	Failures int        `json:"failures,omitempty"` // probes that have failed in a row
	Probe    string     `json:"probe,omitempty"`    // kind of the last one: startup, liveness or readiness
	Output   string     `json:"output,omitempty"`   // what that had to say, at most 4 KiB
}

// SystemHealth is the answer of RouteHealth.
type SystemHealth struct {
	// the worst of its services; HealthHealthy where nobody checks and everything runs
	Status   string          `json:"status"`
	Error    string          `json:"error,omitempty"` // why the application, or its last update, is not as wanted
	Services []ServiceHealth `json:"services"`        // by name
}

// ServiceHealth is the health of a service: that of its worst instance. A service without instances has HealthNone.
type ServiceHealth struct {
	Name   string `json:"name"`
	Health string `json:"health"`
	Reason string `json:"reason,omitempty"` // why it is not healthy, with the instance
}

// SystemHealthOf puts services together.
func SystemHealthOf(services []ServiceHealth, failure string) SystemHealth {
	out := SystemHealth{Status: HealthHealthy, Error: failure, Services: services}
	for _, s := range services {
		if Worse(s.Health, out.Status) {
			out.Status = s.Health
		}
	}
	return out
}

// Worse tells whether health a is worse than b.
func Worse(a, b string) bool { return slices.Index(best, a) > slices.Index(best, b) }

// best are the states of health, the best first. HealthNone says less than HealthHealthy, which others of a service may
// have.
var best = []string{HealthNone, HealthHealthy, HealthStarting, HealthUnhealthy}

// Where a module that is written with the SDK answers the probes of the master: a unix socket in the folder of
// EnvRunDir, with two paths. Status 200 is yes; else the body says why not.
const (
	HealthSocket = "health.sock"
	PathLive     = "/live"  // does it work?
	PathReady    = "/ready" // that, and is it connected with the hub?
)
