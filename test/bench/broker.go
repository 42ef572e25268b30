package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// broker is one of the brokers that are compared. Each runs as a process.
type broker struct {
	name    string
	user    string // to log in with; "": none is needed
	address string
	setup   func(dir string, port int) (command []string, err error)
	warm    time.Duration // of load before it is measured: what Java needs until it has compiled itself
	limit   bool          // the bare relay, which shows what the machine and the load generator can do; see row.pair

	cmd *exec.Cmd
	env []string // more for the process
}

// brokers lists this hub first, then the hubs of other revisions, which scripts/bench.sh has built into cache as
// baetyl-hub@REV, then the other brokers.
func brokers(cache string) ([]*broker, error) {
	hubs := []*broker{hub(cache, "baetyl-hub")}
	others, err := filepath.Glob(filepath.Join(cache, "baetyl-hub@*"))
	if err != nil {
		return nil, err
	}
	for _, program := range others {
		hubs = append(hubs, hub(cache, filepath.Base(program)))
	}
	return append(hubs, []*broker{
		{name: "mosquitto, memory", setup: mosquitto("")},
		{name: "mosquitto, persistence", setup: mosquitto("persistence true\nautosave_interval 1\n")},
		{name: "nats-server", setup: func(dir string, port int) ([]string, error) {
			conf := fmt.Sprintf(`server_name: bench
listen: 127.0.0.1:-1
jetstream { store_dir: %q }
mqtt { listen: "127.0.0.1:%d", max_ack_pending: 65535 }
`, dir, port)
			return []string{filepath.Join(cache, "nats-server"), "-c", "nats.conf"}, write(dir, "nats.conf", conf)
		}},
		{name: "mochi-mqtt, memory", setup: func(dir string, port int) ([]string, error) {
			tcp := fmt.Sprintf("127.0.0.1:%d", port)
			return []string{filepath.Join(cache, "mochi"), "-tcp", tcp, "-ws", "127.0.0.1:0", "-info", "127.0.0.1:0"}, nil
		}},
		{name: "artemis, durable", warm: 10 * time.Second, setup: artemis(filepath.Join(cache, "artemis"))},
		{name: "bare relay", limit: true, setup: bareRelay},
	}...), nil
}

// bareRelay is this program; see relay.
func bareRelay(_ string, port int) ([]string, error) {
	self, err := os.Executable()
	return []string{self, "-relay", fmt.Sprintf("127.0.0.1:%d", port)}, err
}

// hub is the program of that name in cache, with a configuration that every revision reads.
func hub(cache, program string) *broker {
	return &broker{name: program, user: "test", setup: func(dir string, port int) ([]string, error) {
		return []string{filepath.Join(cache, program)}, write(dir, "etc/baetyl/service.yml", fmt.Sprintf(`
listen: ['tcp://127.0.0.1:%d']
principals:
- {username: test, password: hahaha, permissions: [{action: pub, permit: ['#']}, {action: sub, permit: ['#']}]}
storage: {sync: always}
metrics: {address: '%s'}
`, port, hubMetrics))
	}}
}

const hubMetrics = "127.0.0.1:19883"

func mosquitto(more string) func(dir string, port int) ([]string, error) {
	return func(dir string, port int) ([]string, error) {
		conf := fmt.Sprintf(`listener %d 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 100
user root
`, port)
		conf += strings.ReplaceAll(more, "persistence true", "persistence true\npersistence_location "+dir+"/")
		return []string{"mosquitto", "-c", "mosquitto.conf"}, write(dir, "mosquitto.conf", conf)
	}
}

func write(dir, name, text string) error {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// start starts the broker in an empty folder and waits until it accepts connections.
func (b *broker) start() error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.address = ln.Addr().String()
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	command, err := b.setup(dir, port)
	if err != nil {
		return err
	}
	b.cmd = exec.Command(command[0], command[1:]...)
	b.cmd.Dir, b.cmd.Env = dir, append(os.Environ(), b.env...)
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	b.cmd.Stdout, b.cmd.Stderr = out, out
	if err := b.cmd.Start(); err != nil {
		return err
	}
	err = until(time.Minute, func() bool { // which artemis needs
		c, err := dial(b.address, "probe", true, b.user)
		if err == nil {
			c.close()
		}
		return err == nil
	})
	if err != nil || b.warm == 0 {
		return err
	}
	_, err = load{pubs: 1, subs: 1, size: 64, qos: 1, window: 100}.run(b, b.warm)
	return err
}

func (b *broker) stop() {
	if b.cmd == nil || b.cmd.Process == nil {
		return
	}
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	_ = os.RemoveAll(b.cmd.Dir)
}

// cpu returns the processor time that the broker has used.
func (b *broker) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100), errors.Join(err1, err2) // USER_HZ is 100 on Linux
}

// rss returns the resident memory of the broker in bytes.
func (b *broker) rss() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", b.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
