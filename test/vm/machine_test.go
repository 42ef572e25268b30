//go:build vm

package vm_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// machine is a test machine that is up.
type machine struct {
	*testing.T
	dir     string
	forward []string // of its ports
	kernel  string   // more for the kernel's command line
	clock   string   // where its clock starts at the next boot; empty: now
	since   string   // when the test began, as journalctl takes it
}

// create makes the folder of a new machine, which is down. Ports of it are reached by port.
func create(t *testing.T, ports ...string) *machine {
	t.Helper()
	dir := os.Getenv("VM_DIR")
	if dir == "" {
		var err error
		dir, err = os.MkdirTemp("/tmp", "vm") // short: sockets are in it
		require.NoError(t, err)
	}
	return &machine{T: t, dir: dir, forward: ports}
}

// remove ends the machine, and its folder goes too.
func (m *machine) remove() {
	if out, err := exec.Command("./machine.sh", "remove", m.dir).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "machine.sh remove: %v: %s\n", err, out)
	}
}

// up boots the machine, again after cut and down.
func (m *machine) up() {
	m.Helper()
	began := time.Now()
	m.script("up")
	m.Logf("up after %s", time.Since(began).Round(time.Second))
}

// cut is a power cut.
func (m *machine) cut() { m.Helper(); m.script("cut") }

// down shuts the machine down.
func (m *machine) down() { m.Helper(); m.script("down") }

// append is for the command line of the kernel from the next boot on.
func (m *machine) append(text string) { m.kernel = text }

// reboot is an orderly restart.
func (m *machine) reboot() { m.Helper(); m.script("reboot") }

// script runs a command of machine.sh.
func (m *machine) script(command string, args ...string) {
	m.Helper()
	cmd := exec.Command("./machine.sh", append([]string{command, m.dir}, args...)...)
	cmd.Env = append(os.Environ(), "FORWARD="+strings.Join(m.forward, " "), "APPEND="+m.kernel, "CLOCK="+m.clock)
	// What it leaves running must not hold the pipe of its output.
	file, err := os.Create(filepath.Join(m.dir, "script.log"))
	require.NoError(m, err)
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(file.Name()) // the error of Run is reported
		m.Fatalf("machine.sh %s: %v: %s", command, err, text)
	}
}

// copy makes a folder of this machine the folder dest of that one.
func (m *machine) copy(from, dest string) { m.Helper(); m.script("copy", from, dest) }

// result is what a command has said, and how it ended.
type result struct {
	text string
	err  error
}

// try runs a command of the machine's shell.
func (m *machine) try(command string, args ...any) result {
	cmd := exec.Command("./machine.sh", "run", m.dir, fmt.Sprintf(command, args...))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // the kept connection may hold the pipe
	err := cmd.Run()
	if out.Len() > 0 && err == exec.ErrWaitDelay {
		err = nil
	}
	return result{strings.TrimSpace(out.String()), err}
}

// run is try for a command that has to succeed.
func (m *machine) run(command string, args ...any) string {
	m.Helper()
	r := m.try(command, args...)
	if r.err != nil {
		m.Fatalf("%s: %v: %s", fmt.Sprintf(command, args...), r.err, r.text)
	}
	return r.text
}

// until runs a command until it succeeds, and returns what it says then.
func (m *machine) until(deadline time.Duration, command string, args ...any) string {
	m.Helper()
	for end := time.Now().Add(deadline); ; {
		r := m.try(command, args...)
		if r.err == nil {
			return r.text
		}
		if time.Now().After(end) {
			m.Fatalf("%s: still %v after %s: %s", fmt.Sprintf(command, args...), r.err, deadline, r.text)
		}
	}
}

// log waits until the journal of the unit has a line with the text of a regular expression, and returns the lines.
func (m *machine) log(expression string) string {
	m.Helper()
	return m.until(time.Minute, "journalctl -q --no-pager -u baetyl --since %s | grep -E -- '%s'", m.since, expression)
}

// port is the address by which a port of the machine is reached.
func (m *machine) port(number string) string {
	m.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, "port."+number))
	require.NoError(m, err)
	return net.JoinHostPort("127.0.0.1", strings.TrimSpace(string(text)))
}

// monitor gives QEMU a command: "set_link n off" pulls the cable, "system_reset" is the reset button, "stop" and "cont"
// hold the machine.
func (m *machine) monitor(command string) {
	m.Helper()
	conn, err := net.Dial("unix", filepath.Join(m.dir, "monitor"))
	require.NoError(m, err)
	defer conn.Close()
	require.NoError(m, conn.SetDeadline(time.Now().Add(30*time.Second)))
	for range 2 { // after the first prompt the command is given, after the second it is done
		var answer []byte
		for !bytes.HasSuffix(answer, []byte("(qemu) ")) {
			part := make([]byte, 1024)
			n, err := conn.Read(part)
			require.NoError(m, err)
			answer = append(answer, part[:n]...)
		}
		if command != "" {
			_, err = fmt.Fprintln(conn, command)
			require.NoError(m, err)
			command = ""
		}
	}
}

// reset presses the reset button: what the machine's memory held is lost, what its disk was given is kept.
func (m *machine) reset() {
	m.Helper()
	id := m.run("cat /proc/sys/kernel/random/boot_id")
	m.monitor("system_reset")
	m.script("wait", id)
}
