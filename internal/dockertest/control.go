//go:build linux

package dockertest

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/docker/docker/api/types/filters"
	"golang.org/x/sys/unix"
)

// must ends the test for an error.
func (d *D) must(err error) {
	if err == nil {
		return
	}
	if d.t == nil {
		panic(err)
	}
	d.t.Helper()
	d.t.Fatal(err)
}

// Start starts the daemon again, and returns when it answers.
func (d *D) Start() { d.must(d.start()) }

// Stop ends the daemon as a service manager does, and returns when it has ended. Its containers run on with
// LiveRestore.
func (d *D) Stop() { d.end(syscall.SIGTERM) }

// Kill ends the daemon with SIGKILL. Its containers run on until it is started: without LiveRestore it ends them then.
func (d *D) Kill() { d.end(syscall.SIGKILL) }

func (d *D) end(s syscall.Signal) {
	d.Continue() // a hung daemon hears SIGTERM then
	d.must(d.ask(order{Op: "signal", Signal: s}))
	d.must(d.ask(order{Op: "wait"}))
}

// Hang stops the daemon's process (SIGSTOP): connections are taken by the kernel, and nothing is answered.
func (d *D) Hang() {
	d.must(d.ask(order{Op: "signal", Signal: syscall.SIGSTOP}))
	d.hung = true
}

// Continue ends Hang. Without Hang it does nothing.
func (d *D) Continue() {
	if d.hung {
		d.must(d.ask(order{Op: "signal", Signal: syscall.SIGCONT}))
		d.hung = false
	}
}

// Replace kills the daemon with all its containers, removes its data and bridges, and starts it again at the same Host,
// as after a new installation.
func (d *D) Replace() {
	d.Continue()
	d.must(d.ask(order{Op: "clear"}))
	out, err := d.Command("ip", "-o", "link", "show", "type", "bridge").CombinedOutput()
	d.must(err)
	for line := range strings.Lines(string(out)) { // 3: docker0: <…>
		if fields := strings.Fields(line); len(fields) > 1 {
			_ = d.Command("ip", "link", "delete", strings.TrimSuffix(fields[1], ":")).Run()
		}
	}
	d.Start()
}

// Prune is `docker system prune -af --volumes`. A daemon that is not asked for all volumes removes anonymous ones only
// since version 23; this removes all of them, as older ones did.
func (d *D) Prune() { d.must(d.TryPrune()) }

// TryPrune is Prune where others use the daemon too: then it may fail, for example with a container that is just being
// removed.
func (d *D) TryPrune() error {
	api := d.Client()
	defer api.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if _, err := api.ContainersPrune(ctx, filters.Args{}); err != nil {
		return fmt.Errorf("prune containers: %w", err)
	}
	if _, err := api.NetworksPrune(ctx, filters.Args{}); err != nil {
		return fmt.Errorf("prune networks: %w", err)
	}
	api.NegotiateAPIVersion(ctx)
	all := filters.NewArgs()
	if v := strings.Split(api.ClientVersion(), "."); len(v) == 2 {
		if minor, _ := strconv.Atoi(v[1]); minor >= 42 {
			all.Add("all", "true")
		}
	}
	if _, err := api.VolumesPrune(ctx, all); err != nil {
		return fmt.Errorf("prune volumes: %w", err)
	}
	if _, err := api.ImagesPrune(ctx, filters.NewArgs(filters.Arg("dangling", "false"))); err != nil {
		return fmt.Errorf("prune images: %w", err)
	}
	return nil
}

// Command is a command in the network of the daemon, for what must reach ports and addresses of containers.
func (d *D) Command(name string, args ...string) *exec.Cmd {
	net := fmt.Sprintf("--net=/proc/%d/ns/net", d.parent.Process.Pid)
	c := exec.Command("nsenter", append([]string{net, "--", name}, args...)...)
	c.Env = d.env()
	return c
}

// Within calls f in the network of the daemon. Sockets that f opens stay there; goroutines that it starts do not begin
// there.
func (d *D) Within(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", d.parent.Process.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(fd)
			err = unix.Setns(fd, unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// Dial connects to an address in the network of the daemon. The address is one of numbers: a name would be resolved
// elsewhere.
func (d *D) Dial(network, address string) (c net.Conn, err error) {
	err = d.Within(func() error {
		c, err = (&net.Dialer{FallbackDelay: -1, Timeout: startTimeout}).Dial(network, address)
		return err
	})
	return c, err
}
