// Package mqtttest gives tests a real MQTT broker (Mosquitto), one that misbehaves (Fake), free ports, a way to wait
// for what they expect (Until), and an output that can be read while a process writes it.
package mqtttest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/internal/requires"
)

// Broker is a mosquitto process. Sessions and retained messages survive Stop and Start.
type Broker struct {
	Address string // tcp://127.0.0.1:port

	t      testing.TB
	binary string
	config string
	cmd    *exec.Cmd
	output strings.Builder
	ended  chan struct{}
}

// Mosquitto starts a broker that accepts every client. extra are lines of its configuration. It ends with the test.
func Mosquitto(t testing.TB, extra ...string) *Broker {
	t.Helper()
	binary, err := exec.LookPath("/usr/sbin/mosquitto")
	if err != nil {
		binary = requires.Command(t, "mosquitto", "apt-get install mosquitto")
	}
	dir, port := t.TempDir(), FreePort(t)
	lines := append([]string{
		fmt.Sprintf("listener %d 127.0.0.1", port),
		"allow_anonymous true",
		"persistence true",
		"persistence_location " + dir + "/",
		"max_queued_messages 0",
		"set_tcp_nodelay true",
		"log_type error", "log_type warning", "log_type notice",
	}, extra...)
	b := &Broker{
		Address: fmt.Sprintf("tcp://127.0.0.1:%d", port),
		t:       t,
		binary:  binary,
		config:  filepath.Join(dir, "mosquitto.conf"),
	}
	if os.Getuid() == 0 {
		lines = append(lines, "user root") // it would drop to a user who can't write to dir
	}
	if err := os.WriteFile(b.config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.end(syscall.SIGKILL) })
	b.Start()
	return b
}

// Start starts the broker again after Stop or Kill.
func (b *Broker) Start() {
	b.t.Helper()
	b.cmd = exec.Command(b.binary, "-c", b.config)
	b.cmd.Stderr, b.cmd.Stdout = &b.output, &b.output
	if err := b.cmd.Start(); err != nil {
		b.t.Fatalf("start mosquitto: %v", err)
	}
	ended := make(chan struct{})
	b.ended = ended
	go func(c *exec.Cmd) { c.Wait(); close(ended) }(b.cmd)
	Until(b.t, "mosquitto listens on "+b.Address, func() bool {
		select {
		case <-ended:
			b.t.Fatalf("mosquitto ended: %s", b.output.String())
		default:
		}
		c, err := net.Dial("tcp", strings.TrimPrefix(b.Address, "tcp://"))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// PID is the process id of the broker that runs.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// Stop ends the broker in order: it saves its state first.
func (b *Broker) Stop() { b.end(syscall.SIGTERM) }

// Kill ends the broker at once.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

func (b *Broker) end(sig syscall.Signal) {
	if b.cmd == nil || b.cmd.Process == nil {
		return
	}
	b.cmd.Process.Signal(sig)
	<-b.ended
}

// Until polls a condition and ends the test if it does not become true within a minute. what says what was expected.
func Until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
