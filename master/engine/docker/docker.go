//go:build unix

// Package docker runs services as containers of a docker daemon (documents: "Docker Engine").
//
//	Resolve  what does the name of an image mean? ─► pull it, with the credentials of docker's own configuration ─► id
//	Open     remove what an earlier master left
//	Start    surroundings: sources of mounts, networks, volumes ─► is the image with the recorded id there? ─► Spec
//	         ─► configure (pure) ─► create ─► connect ─► start
//	           one goroutine waits for the end, one follows the output ─► var/log/baetyl/services/<service>.log
//	Adopt    a container of an earlier master that is the recorded one ─► the same goroutines, from the last line on
//	Stop     signal ─► grace ─► SIGKILL ─► remove
//	Run      every 30 s and on events: inspect ─► drift (pure) ─► log, Warnings ─► repair
//
// It promises that a container is removed by its exact id and only when its labels say that this master made it, and
// that a daemon that does not answer is not the end of a service: a container has ended when the daemon says so. It
// restarts nothing; the supervisor does (master/service), with a new container.
package docker

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/system"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
)

// hostName is the name of the host in containers that reach the API over tcp.
const hostName = "host.docker.internal"

// Options are what the engine needs to know of the master. The address of the daemon comes from DOCKER_HOST,
// DOCKER_CERT_PATH and DOCKER_TLS_VERIFY, as for the docker command.
type Options struct {
	Workdir string // absolute
	Socket  string // absolute path of the API's socket; empty when the API listens on tcp
	Settings
	Log log.Logger
}

// Settings are those of the options that may change while the engine works.
type Settings struct {
	Output   log.Config // limits of the files that catch stdout and stderr; Path is not used
	Pull     Pull
	Prune    Prune
	Hardened bool // docker.hardened: the containers of all images, unless their service says otherwise
}

// Engine implements engine.Engine.
type Engine struct {
	opts     Options
	api      *transport
	run      string // tells this master's containers from those of earlier ones
	settings atomic.Pointer[settings]

	mu     sync.Mutex      // guards what follows
	master string          // id of the master; empty until it is known
	reaped bool            // what earlier masters left is being removed
	away   bool            // the daemon did not answer last time
	told   map[string]bool // services and instances that got that error already (await)
	known

	setup sync.Mutex // serializes Reap, making networks and removing them

	watcher watcher // what Run compares

	images images
	pulled pulled
	pruned lastPrune

	late sync.WaitGroup // starts that their callers do not wait for any more
	gone *removals      // what has to go
}

var _ engine.Engine = (*Engine)(nil)

// New returns the engine. It does not connect: the daemon may start later.
func New(opts Options) (*Engine, error) {
	api, err := newTransport()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		opts: opts, api: api, run: randomID(), told: map[string]bool{}, known: newKnown(), gone: newRemovals(),
		watcher: newWatcher(),
	}
	e.images.file = engine.NewImagesFile(filepath.Join(opts.Workdir, engine.ImagesFile), file.OS, opts.Log)
	e.pulled.file = pulledFile(opts.Workdir, opts.Log)
	e.Set(opts.Settings)
	return e, nil
}

// settings are the Settings in force.
type settings struct {
	Settings
	pulls chan struct{} // holds a value for each image that is being pulled; one that wants to be waits
}

// Set changes how images are pulled and pruned from now on, and what holds for services and containers that start from
// now on.
func (e *Engine) Set(s Settings) {
	e.settings.Store(&settings{s, make(chan struct{}, max(s.Pull.Parallel, 1))})
}

// Name is docker.
func (e *Engine) Name() string { return masterapi.ModeDocker }

// Address gives the path of the mounted socket. An address of the loopback, or of all interfaces, becomes the name
// that the host has in the containers; other addresses are reachable as they are.
func (e *Engine) Address(address string) string {
	a, err := addr.Listen(address, addr.Server...)
	if err != nil {
		return address
	}
	if a.Scheme == "unix" {
		return "unix://" + socketPath
	}
	host, port, _ := net.SplitHostPort(a.Host)
	ip := net.ParseIP(host)
	if host == "" || host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		a.Host = net.JoinHostPort(hostName, port)
	}
	return a.String()
}

// Close ends the connections to the daemon, after the starts that nobody waits for any more, and the containers of this
// master that have no instance, as far as the daemon answers: within a minute, and the log says what is left.
func (e *Engine) Close() error {
	ended := make(chan struct{})
	go func() { // ends with the last request, which is bounded
		e.late.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(lateTimeout):
	}
	e.endLeft()
	return e.api.Close()
}

// Prepare returns an error if the sources of the service's mounts would keep it from starting. What its image is has
// been found before (Resolve).
func (e *Engine) Prepare(ctx context.Context, s engine.Service) error {
	if err := e.ping(ctx); err != nil {
		return err
	}
	if err := e.Check(s); err != nil {
		return err
	}
	_, err := mounts(e.opts.Workdir, s, folder.Source)
	return err
}

// Check checks the mounts of the service, and what its program is given.
func (e *Engine) Check(s engine.Service) error {
	found, err := mounts(e.opts.Workdir, s, folder.Find)
	if err != nil {
		return err
	}
	if e.opts.Socket != "" && len(s.Rights()) > 0 {
		found = append(found, mountPoint{Source: e.opts.Socket, Target: socketPath, ReadOnly: true})
	}
	if err := nested(found); err != nil {
		return err
	}
	return engine.CheckExec(s.Entrypoint, s.Args, environ(s.Env))
}

// Open removes what an earlier master left, and makes the networks and volumes of the service.
func (e *Engine) Open(ctx context.Context, s engine.Service) (engine.Sandbox, error) {
	if err := e.await(ctx, s.Name); err != nil {
		return nil, err
	}
	box, err := e.open(ctx, s)
	if err != nil {
		return nil, e.judge(ctx, err)
	}
	return box, nil
}

func (e *Engine) open(ctx context.Context, s engine.Service) (*sandbox, error) {
	if err := e.reapOnce(ctx); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := e.api.Info(bounded)
	if err != nil {
		return nil, fmt.Errorf("ask what the docker daemon can limit: %w", err)
	}
	l := e.opts.Log.WithField(log.KeyService, s.Name)
	box := &sandbox{
		engine: e, service: s, kernel: kernelOf(info), log: l, path: filepath.Join(e.opts.Workdir, output.File(s.Name)),
	}
	if _, err := box.surroundings(ctx); err != nil { // as each start does; an error is found early
		return nil, err
	}
	l.WithField("file", output.File(s.Name)).Infof("output of the service is written to a file")
	box.output = output.Open(e.opts.Workdir, s.Name, e.settings.Load().Output, l)
	return box, nil
}

// boot identifies the boot of this machine. With a daemon on another one it changes too often, and then what has ended
// meanwhile is started anew.
func (e *Engine) boot() string { return measure.BootID() }

// kernelOf returns which limits the kernel of the host supports.
func kernelOf(i system.Info) kernel {
	return kernel{CPUs: i.CPUCfsQuota, CPUSet: i.CPUSet, Memory: i.MemoryLimit, Swap: i.SwapLimit, Pids: i.PidsLimit}
}
