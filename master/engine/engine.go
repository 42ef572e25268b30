// Package engine defines the interface between the master and the ways of running services. The supervisor
// (master/service) uses it; master/engine/docker runs containers, master/engine/native runs processes. Package
// enginetest has the tests that every engine passes, and a fake engine. What both engines need is in folder and output.
//
//	service ──Open──► Sandbox ──Start──► Instance ──► Done, Exit ──► Stop: nothing of it is held any more
//	(mounts, network: what the instances share)     └─ Record: kept in a file, so that a later master finds it
//	                     └──Adopt: a Record of an earlier master ──► Instance
//
// An engine starts and stops; it decides nothing. Restarting, states and tokens are the supervisor's.
package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/host"
)

// ErrGone is returned by Adopt when nothing of an instance is there.
var ErrGone = errors.New("nothing of the instance is left")

// ErrKill is the cause of a context of Stop that has ended: the instance hangs, and is not asked to end by itself.
var ErrKill = errors.New("the instance is to be killed at once")

// ErrUnavailable is wrapped by errors of an engine that cannot work now, through no fault of the service: its daemon is
// away. Such a start counts for no restart policy, and an update waits for the engine until update.deadline.
var ErrUnavailable = errors.New("the engine is not available")

// Again is how long to wait before an engine, or its daemon, that could not do it is asked again.
var Again = backoff.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second, Factor: 2}

// Engine runs services in one way. Its methods may be called from any goroutine.
type Engine interface {
	// Name is the mode that the engine implements, masterapi.ModeNative or ModeDocker.
	Name() string
	// Prepare does what takes long (pulling images), before an update stops anything. An error means that the service
	// could not be started.
	Prepare(ctx context.Context, s Service) error
	// Check says what would keep the instances of s from starting on this host, as far as it can be seen without a daemon,
	// with its remedy. It changes nothing. Prepare begins with it, and a start that fails says the same.
	Check(s Service) error
	// Open makes what the instances of a service share. It does not disturb instances that run there already: those
	// that Reap was told to keep. A service is opened once at a time.
	Open(ctx context.Context, s Service) (Sandbox, error)
	// Reap ends what earlier masters left, recorded or not, but not what is in keep, and waits for the end. records are
	// all of this engine, and keep is a part of them. What is not certain to be an instance of this master is left
	// alone. It is called once, before the first Open.
	Reap(ctx context.Context, records, keep []Record) error
	// Discard ends the one instance of an earlier master that was kept and could not be adopted, as Reap does, and forgets
	// it. Nothing of that name starts meanwhile; other instances may. Nothing of it is there: nil.
	Discard(ctx context.Context, r Record) error
	// Run compares what runs with what was started, and puts right what others have changed, until ctx ends. It is called
	// once, beside everything else, and has returned before Close.
	Run(ctx context.Context)
	// Address is how an instance reaches the API of the master that listens at address (a masterapi environment value).
	Address(address string) string
	// Close releases what the engine holds. It is called when no sandbox is open.
	Close() error
}

// Holder is what an engine implements beside Engine when it holds something for the next life of an instance: native
// holds the ports at which it listens.
type Holder interface {
	// Drop lets go what is held for instances that are not wanted. What runs is not disturbed.
	Drop(wanted func(service, instance string) bool)
}

// Caller is what an engine implements beside Engine when the instances of some services can be called over a unix
// socket.
type Caller interface {
	// Socket is the path of the socket where the instance of s with that name is to listen if a service starts it
	// (Spec.Caller): in a folder that the two services alone may enter. Empty: the program of s takes none.
	Socket(s Service, instance string) string
}

// Folders is what an engine implements beside Engine when instances have a folder of their own for their sockets, which
// they know as masterapi.EnvRunDir.
type Folders interface {
	// RunDir is that folder on the host, as an absolute path, whether it is there or not. The instance decides what is in
	// it; the folder itself and those above it are the master's.
	RunDir(service, instance string) string
}

// Service is a service with the volumes and networks that it refers to.
type Service struct {
	app.Service
	Volumes  map[string]app.Volume
	Networks map[string]app.Network
	// Uses says of each volume who uses it. It is no part of the definition: another service may come and go while the
	// instances of this one run on.
	Uses map[string]Use `json:"-"`
}

// Digest tells one definition from another, with its volumes and networks. A key that a later version adds to a
// definition must not stand in its JSON when it is empty (omitempty, omitzero): otherwise that version takes every
// service for a changed one, and starts it anew.
func (s Service) Digest() string {
	given := s.Stop.Signal
	s.Stop.Signal = cmp.Or(given, app.Signal(syscall.SIGTERM)) // as earlier versions had it where none was given
	data, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("encode validated service: %s", err))
	}
	if given == app.Signal(syscall.SIGTERM) { // a signal of the image does not hold then
		data = append(data, given.String()...)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Sandbox is what the instances of one service share: a working directory, networks, mounts, the file of the output.
type Sandbox interface {
	// Start starts an instance and returns as soon as it runs. When ctx ends before that, nothing is left running.
	Start(ctx context.Context, s Spec) (Instance, error)
	// Adopt returns the instance of an earlier master, running or ended since. What only has Handle, since the master
	// ended during the start, is found by that. ErrGone: nothing of it is there, or it is of another boot; another error
	// says nothing about the instance, and Adopt is tried again.
	Adopt(ctx context.Context, s Spec, r Record) (Instance, error)
	// Close removes it. It is called when all instances have been stopped. A master that leaves its instances to the
	// next one does not call it.
	Close() error
}

// Spec is one instance to start.
type Spec struct {
	Name   string            // unique in the service and, as a container name, on the host
	Handle string            // chosen by the supervisor for this one start; it stands in the record before the start
	Token  string            // of the service; empty for an instance without one. It stands in Env too
	Caller Member            // who has asked for it and calls it; the zero value: nobody
	Env    map[string]string // complete, except for variables that the engine takes from the host
}

// Instance is one started process or container. Its methods may be called from any goroutine.
type Instance interface {
	// Record identifies the instance to a later master.
	Record() Record
	// Done is closed when the instance has ended and nothing of it is left running. How it ended is held until Stop, so
	// that a master that is killed now does not take the exit with it: a container stays, the keeper remembers.
	Done() <-chan struct{}
	// Exit says how it ended; it is called after Done.
	Exit() Exit
	// Stop asks the instance to end, with the signal of its service, and kills it when ctx ends first. With the cause
	// ErrKill of a ctx that has ended it does not ask. It returns after
	// Done, and forgets the instance: no later Adopt finds it. It is called once, also after Done.
	Stop(ctx context.Context)
	// Freeze holds all of the instance where it is, as for a backup, and returns when nothing of it executes. One that has
	// ended is held already. The next life of the instance, and the one that a later master adopts, is not held.
	Freeze(ctx context.Context) error
	// Thaw lets it go on, also when it is not held.
	Thaw(ctx context.Context) error
	// Stats measures what the instance uses. It may take seconds.
	Stats(ctx context.Context) (*host.CPU, *host.Mem)
	// Exec runs a command beside the program of the instance: as its user, in its folder, with its environment, its
	// view of the files and its limits. It returns when the command has ended, and then nothing that this started is
	// left, whatever session it is in. The end of ctx, and that of the instance, kill it: the error is that of ctx,
	// or ErrEnded. A command that a signal has ended has the status 128 and the number. ErrNoProgram,
	// ErrNotExecutable: nothing has run.
	Exec(ctx context.Context, e Exec) (status int, err error)
	// Dial connects to what the instance listens at: a port at its own address, or the one that e names, or a unix socket
	// in its run folder. The address is the instance's own, so that nobody else answers.
	Dial(ctx context.Context, e app.Endpoint) (net.Conn, error)
	// Output returns the last lines that the instance wrote.
	Output() []string
	// Warnings says what was asked for and does not hold, as a limit that this host cannot set, and what has happened to
	// a part of the instance, as an OOM kill of a child. Texts are for people; nil: nothing.
	Warnings() []string
}

// Checked is what an Instance implements beside Instance when its daemon may run a health check in it.
type Checked interface {
	// Checked returns what the daemon says, masterapi.HealthStarting, …, with the output of the last check. status is
	// empty when there is no check. changed is closed when it may be something else.
	Checked(ctx context.Context) (status, output string, changed <-chan struct{}, err error)
}

// Exit is the end of an instance.
type Exit struct {
	Err error         // nil: ended by itself with success
	Ran time.Duration // from its start
	// Interrupted: the engine's own end, or that of its daemon, ended it. It is started again whatever its policy is, and
	// that counts for nothing.
	Interrupted bool
}

// Record is what identifies an instance after the master that started it is gone.
type Record struct {
	Engine   string             `json:"engine"`
	Service  string             `json:"service"`
	Instance string             `json:"instance"`
	Handle   string             `json:"handle,omitempty"` // Spec.Handle
	Process  *masterapi.Process `json:"process,omitempty"`
	// Started is the start time of the process in the units of the system. With Boot, which identifies one boot of the
	// system, it tells a process from a later one with the same pid.
	Started   string               `json:"started,omitempty"`
	Boot      string               `json:"boot,omitempty"`
	Container *masterapi.Container `json:"container,omitempty"`
	ImageID   string               `json:"image_id,omitempty"` // of the container
}
