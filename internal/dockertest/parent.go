//go:build linux

package dockertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parentArg is what makes a test program the parent of a daemon.
const parentArg = "dockertest-parent"

// A parent is a process with its own network and mount namespace. The daemon, its containerd, its shims and its
// containers are its descendants, whoever of them ends first (PR_SET_CHILD_SUBREAPER), so it finds all of them. When
// its input ends, which it does also when the test is killed, it ends them, removes their folder and goes.
func init() {
	if len(os.Args) == 5 && os.Args[1] == parentArg {
		if err := beParent(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, "dockertest:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// order is what a test asks of a parent, one at a time.
type order struct {
	Op     string         // run, running, signal, wait, clear
	Args   []string       `json:",omitempty"` // run: program and arguments
	Env    []string       `json:",omitempty"` // run
	Signal syscall.Signal `json:",omitempty"` // signal
}

// answer is what a parent answers.
type answer struct {
	Error string `json:",omitempty"`
}

// childTimeout bounds how long a parent waits for processes to end.
const childTimeout = time.Minute

type parent struct {
	dir, cgroup string
	small       bool       // data is a small disk
	mu          sync.Mutex // protects pid
	pid         int        // of the daemon, 0 if none runs
}

// beParent runs until its input ends. dir is the daemon's folder, cgroup the one above its containers, disk the size of
// a tmpfs for its data, "0" for none.
func beParent(dir, cgroup, disk string) error {
	p := &parent{dir: dir, cgroup: cgroup, small: disk != "0"}
	// Heard and dropped: ignored ones would be ignored in containers too. Nothing reads the channel.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	if err := p.prepare(disk); err != nil {
		return err
	}
	ended := make(chan os.Signal, 1) // one is enough: reap takes all that have ended
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			p.reap()
		}
	}()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var o order
		err := in.Decode(&o)
		if err != nil {
			p.small = false // it goes too
			if err := p.clear(); err != nil {
				return err // what is mounted may be of others: it is not removed
			}
			return os.RemoveAll(dir)
		}
		a := answer{}
		if err = p.do(o); err != nil {
			a.Error = err.Error()
		}
		_ = out.Encode(a) // the input ends too when nobody reads
	}
}

func (p *parent) prepare(disk string) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	// What the machine mounts is seen, what the daemon mounts stays here.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("leave the mounts of the machine: %w", err)
	}
	// Sockets of shims, plugins, the names that podman's networks know, and settings of the machine's daemon.
	for _, dir := range []string{"/run/containerd", "/run/docker", "/run/containers", "/etc/docker"} {
		if _, err := os.Stat(dir); err != nil {
			if dir == "/etc/docker" {
				continue
			}
			if err := os.MkdirAll(dir, 0o711); err != nil {
				return err
			}
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=711"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	if p.small {
		if err := unix.Mount("tmpfs", filepath.Join(p.dir, "data"), "tmpfs", 0, "size="+disk); err != nil {
			return fmt.Errorf("mount a small disk: %w", err)
		}
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("raise the loopback interface: %w: %s", err, out)
	}
	return nil
}

func (p *parent) do(o order) error {
	switch o.Op {
	case "run":
		return p.run(o.Args, o.Env)
	case "running":
		if p.ended() {
			return errors.New("it has ended")
		}
		return nil
	case "signal":
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.pid == 0 {
			return nil
		}
		if err := syscall.Kill(p.pid, o.Signal); err != nil || o.Signal != syscall.SIGSTOP {
			return err
		}
		// On a busy machine its threads run on for a moment. The kernel tells the parent when all of them have stopped.
		for {
			err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
			if !errors.Is(err, syscall.EINTR) {
				return err
			}
		}
	case "wait":
		// The containerd of a killed daemon ends with it. The next daemon would take it for its own.
		return await("end of the daemon", func() bool { return p.ended() && !p.named("containerd") })
	case "clear":
		if err := p.clear(); err != nil {
			return err
		}
		for _, name := range []string{"data", "exec", "pid"} {
			if err := empty(filepath.Join(p.dir, name)); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("unknown operation %q", o.Op)
}

func (p *parent) run(args, env []string) error {
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid != 0 {
		return errors.New("the daemon runs already")
	}
	child, err := os.StartProcess(args[0], args, &os.ProcAttr{
		Dir: p.dir, // podman leaves files there
		Env: env, Files: []*os.File{null, log, log},
	})
	if err != nil {
		return err
	}
	p.pid = child.Pid
	return child.Release() // reap waits for it
}

func (p *parent) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid == 0
}

// reap takes the ends of all children that have ended.
func (p *parent) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid == 0 {
			return
		}
		if pid == p.pid {
			p.pid = 0
		}
	}
}

// await waits until done, for at most childTimeout.
func await(what string, done func() bool) error {
	for deadline := time.Now().Add(childTimeout); !done(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("wait for the %s: not within %s", what, childTimeout)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}
