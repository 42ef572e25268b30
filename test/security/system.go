//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

const (
	startTimeout = 3 * time.Minute // for all services, functions too: interpreters start slowly on a loaded machine
	stopTimeout  = time.Minute
	pollInterval = 500 * time.Millisecond
)

// system is the example while it runs.
type system struct {
	dir     string // absolute
	app     *app.Config
	cmd     *exec.Cmd
	inspect masterapi.Inspect
}

// start returns when every service has an instance that runs. port is the hub's, at 127.0.0.1.
func start(dir, port string) (*system, error) {
	a, err := app.Load(filepath.Join(dir, applicationFile))
	if err != nil {
		return nil, err
	}
	s := &system{dir: dir, app: a, cmd: exec.Command(filepath.Join(dir, "bin/baetyl"), "start")}
	console, err := os.Create(filepath.Join(dir, "console.log"))
	if err != nil {
		return nil, err
	}
	defer console.Close()
	s.cmd.Stdout, s.cmd.Stderr = console, console
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.await(port); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w; see %s", err, console.Name())
	}
	return s, nil
}

// await publishes a message for the functions until each service has an instance.
func (s *system) await(port string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c, err := http.NewClient(http.ClientConfig{Address: "unix://" + filepath.Join(s.dir, masterapi.AdminSocket)})
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		missing := "the master"
		s.inspect = masterapi.Inspect{}
		if err := c.Get(ctx, masterapi.PathInspect, &s.inspect); err == nil {
			if missing = s.missing(); missing == "" {
				return nil
			}
		}
		_ = publish(ctx, port) // the hub may not listen yet
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not run after %s", missing, startTimeout)
		case <-tick.C:
		}
	}
}

// missing is the first service that does not run; empty: all do.
func (s *system) missing() string {
	running := map[string]bool{}
	for _, service := range s.inspect.Services {
		running[service.Name] = len(service.Instances) > 0 && service.Instances[0].Status == masterapi.StatusRunning
	}
	for _, definition := range s.app.Services {
		if !running[definition.Name] {
			return "service " + definition.Name
		}
	}
	return ""
}

func publish(ctx context.Context, port string) error {
	c, err := mqtt.Connect(ctx, mqtt.ClientInfo{
		Address: "tcp://127.0.0.1:" + port, ClientID: "security", CleanSession: true, Username: "test", Password: "hahaha",
	}, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Send(&packet.Publish{Message: packet.Message{Topic: "t", Payload: []byte(`{"id":1}`)}})
}

// stop ends everything.
func (s *system) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	kill := time.AfterFunc(stopTimeout, func() { _ = s.cmd.Process.Kill() })
	defer kill.Stop()
	_ = s.cmd.Wait() // its status is no finding
}

// observe returns what is seen of keeper, master and the first instance of each service, once all of them serve. pid
// finds the process of an instance.
func (s *system) observe(pid func(masterapi.Instance) (int, error)) ([]facts, error) {
	master, err := children(s.cmd.Process.Pid, "baetyl-master")
	if err != nil {
		return nil, err
	}
	host := reference{dir: s.dir, keeper: s.cmd.Process.Pid, master: master}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for deadline := time.Now().Add(startTimeout); ; <-tick.C {
		seen := []facts{host.observe("keeper", host.keeper), host.observe("master", host.master)}
		for _, definition := range s.app.Services {
			f, err := s.service(host, definition, pid)
			if err != nil {
				return nil, fmt.Errorf("service %s: %w", definition.Name, err)
			}
			seen = append(seen, f)
		}
		seen = named(seen)
		i := slices.IndexFunc(seen, func(f facts) bool { return !f.serves() })
		if i < 0 {
			return seen, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("service %s does not serve after %s", seen[i].Name, startTimeout)
		}
	}
}

// service observes the first instance of a service.
func (s *system) service(
	host reference, definition app.Service, pid func(masterapi.Instance) (int, error),
) (f facts, err error) {
	i := slices.IndexFunc(s.inspect.Services, func(o masterapi.Service) bool { return o.Name == definition.Name })
	instance := s.inspect.Services[i].Instances[0]
	p, err := pid(instance)
	if err != nil {
		return f, err
	}
	f = host.observe(definition.Name, p)
	f.Module, f.Warnings = moduleOf(definition.Image), instance.Warnings
	for _, r := range definition.Rights() {
		f.Rights = append(f.Rights, r.String())
	}
	if instance.Container != nil {
		err = f.inspectContainer(instance.Container.ID)
	}
	return f, err
}

// serves tells whether a module does what it is there for: functions and the hub listen, the others have connected.
func (f facts) serves() bool {
	switch f.Module {
	case "", "baetyl-agent": // its cloud is away
		return true
	case "baetyl-function-manager", "baetyl-remote-mqtt", "baetyl-timer":
		return f.Container != nil || len(f.Peers) > 0 // an address in another network says nothing here
	}
	return len(f.Listens) > 0
}

func procOf(i masterapi.Instance) (int, error) {
	if i.Process == nil {
		return 0, fmt.Errorf("instance %s has no process", i.Name)
	}
	return i.Process.ID, nil
}
