// Package engine defines the interface between the master and the ways of running services. The supervisor
// (master/service) uses it; master/engine/docker runs containers, master/engine/native runs processes. Package
// enginetest has the tests that every engine passes, and a fake engine. What both engines need is in folder and output.
//
//	service ──Open──► Sandbox ──Start──► Instance ──► Done, Exit
//	(mounts, network: what the instances share)     └─ Record: kept in a file, so that a later master finds what is left
//
// An engine starts and stops; it decides nothing. Restarting, states and tokens are the supervisor's.
package engine

import (
	"context"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
)

// Engine runs services in one way. Its methods may be called from any goroutine.
type Engine interface {
	// Name is the mode that the engine implements, masterapi.ModeNative or ModeDocker.
	Name() string
	// Prepare does what takes long (pulling images), before an update stops anything. An error means that the service
	// could not be started.
	Prepare(ctx context.Context, s Service) error
	// Open makes what the instances of a service share; what an earlier master left is removed first. A service is
	// opened once at a time.
	Open(ctx context.Context, s Service) (Sandbox, error)
	// Reap ends the instances that an earlier master left running, and waits for their end. records are those of this
	// engine. A process or container that is not certain to be such an instance is left alone.
	Reap(ctx context.Context, records []Record) error
	// Address is how an instance reaches the API of the master that listens at address (a masterapi environment value).
	Address(address string) string
	// Close releases what the engine holds. It is called when no sandbox is open.
	Close() error
}

// Service is a service with the volumes and networks that it refers to.
type Service struct {
	app.Service
	Volumes  map[string]app.Volume
	Networks map[string]app.Network
}

// Sandbox is what the instances of one service share: a working directory, networks, mounts, the file of the output.
type Sandbox interface {
	// Start starts an instance and returns as soon as it runs. When ctx ends before that, nothing is left running.
	Start(ctx context.Context, s Spec) (Instance, error)
	// Close removes it. It is called when all instances have ended.
	Close() error
}

// Spec is one instance to start.
type Spec struct {
	Name string            // unique in the service and, as a container name, on the host
	Env  map[string]string // complete, except for variables that the engine takes from the host
}

// Instance is one started process or container. Its methods may be called from any goroutine.
type Instance interface {
	// Record identifies the instance to a later master.
	Record() Record
	// Done is closed when the instance has ended and nothing of it is left running.
	Done() <-chan struct{}
	// Exit says how it ended; it is called after Done.
	Exit() Exit
	// Stop asks the instance to end, and kills it when ctx ends first. It returns after Done.
	Stop(ctx context.Context)
	// Stats measures what the instance uses. It may take seconds.
	Stats(ctx context.Context) (*host.CPU, *host.Mem)
	// Output returns the last lines that the instance wrote.
	Output() []string
}

// Exit is the end of an instance.
type Exit struct {
	Err error         // nil: ended by itself with success
	Ran time.Duration // from its start
}

// Record is what identifies an instance after the master that started it is gone.
type Record struct {
	Engine   string             `json:"engine"`
	Service  string             `json:"service"`
	Instance string             `json:"instance"`
	Process  *masterapi.Process `json:"process,omitempty"`
	// Started is the start time of the process in the units of the system. With Boot, which identifies one boot of the
	// system, it tells a process from a later one with the same pid.
	Started   string               `json:"started,omitempty"`
	Boot      string               `json:"boot,omitempty"`
	Container *masterapi.Container `json:"container,omitempty"`
}
