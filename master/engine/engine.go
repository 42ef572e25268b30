// Package engine is what the master needs from a way of running services. The supervisor (master/service) is the
// consumer; master/engine/docker runs containers, master/engine/native runs processes, master/engine/enginetest has
// the suite that every engine passes and an engine for tests. What both engines need is in folder and output.
//
//	service ──Open──► Sandbox ──Start──► Instance ──► Done, Exit
//	(mounts, network: what the instances share)     └─ Record: written down, so that a later master finds what is left
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
	// Prepare makes ready what a service needs and takes long (images), while nothing has been stopped yet. An error means
	// that starting it would fail.
	Prepare(ctx context.Context, s Service) error
	// Open builds what the instances of a service share, from nothing: what an earlier master left is removed. A service
	// is opened once at a time.
	Open(ctx context.Context, s Service) (Sandbox, error)
	// Reap ends what records of this engine describe and an earlier master left running, and waits for it. What cannot be
	// told to be an instance of ours is left alone.
	Reap(ctx context.Context, records []Record) error
	// Address is how an instance reaches the API of the master that listens at address (a masterapi environment value).
	Address(address string) string
	// Close gives up what the engine holds. No sandbox is open then.
	Close() error
}

// Service is a service with the volumes that its mounts refer to.
type Service struct {
	app.Service
	Volumes  map[string]app.Volume
	Networks map[string]app.Network
}

// Sandbox is the surroundings that the instances of one service share.
type Sandbox interface {
	// Start starts an instance and returns as soon as it runs. When ctx ends before that, nothing is left running.
	Start(ctx context.Context, s Spec) (Instance, error)
	// Close removes the surroundings. All instances have ended.
	Close() error
}

// Spec is one instance to start.
type Spec struct {
	Name string            // unique in the service and, as a container name, on the host
	Env  map[string]string // complete, but for what the engine takes from the host
}

// Instance is one started process or container. One goroutine of the engine waits for its end; everyone else learns
// it from Done.
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
	// start of the process as the system counts it; with Boot it tells pids apart
	Started   string               `json:"started,omitempty"`
	Boot      string               `json:"boot,omitempty"` // which run of the system the process belongs to
	Container *masterapi.Container `json:"container,omitempty"`
}
