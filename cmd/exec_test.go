//go:build linux

package cmd_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// exec returns the program as a person runs a command in service loop.
func (d *device) exec(flags []string, command ...string) *exec.Cmd {
	args := append(append([]string{"exec", "loop"}, flags...), "--")
	return exec.Command(d.path("bin/baetyl"), append(args, command...)...)
}

// runs starts a device whose services run, and returns its keeper.
func (d *device) runs(t *testing.T) *exec.Cmd {
	c, _ := d.start(t)
	d.await(t, copies)
	require.Eventually(t, func() bool { return d.exec(nil, "true").Run() == nil }, time.Minute, 20*time.Millisecond)
	return c
}

func statusOf(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return 0
}

func TestExecCommand(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	d.runs(t)
	for name, c := range map[string]struct {
		args   []string
		status int
		out    string
	}{
		"status":                {[]string{"loop", "--", "sh", "-c", "echo out; echo err >&2; exit 7"}, 7, "out\n"},
		"a signal":              {[]string{"loop", "--", "sh", "-c", "kill -KILL $$"}, 137, ""},
		"an instance":           {[]string{"loop", "--instance", "loop.i1", "--", "sh", "-c", "echo $BAETYL_SERVICE_INSTANCE_NAME"}, 0, "loop.i1\n"},
		"variables":             {[]string{"-e", "A=b c", "loop", "-e", "Z=", "--", "sh", "-c", `echo "$A$Z."`}, 0, "b c.\n"},
		"a folder":              {[]string{"--dir", "/usr", "loop", "--", "pwd"}, 0, "/usr\n"},
		"arguments as they are": {[]string{"loop", "--", "printf", "%s|", "-x", "--", "a b", "$HOME", "'"}, 0, "-x|--|a b|$HOME|'|"},
		"no program":            {[]string{"loop", "--", "no-such-program"}, 127, "the program is not there"},
		"not to be run":         {[]string{"loop", "--", "/etc/passwd"}, 126, "the program cannot be run"},
		"no folder":             {[]string{"loop", "--dir", "/nowhere", "--", "true"}, 1, "enter the working directory: /nowhere"},
		"no service":            {[]string{"ghost", "--", "true"}, 1, "service (ghost) not found"},
		"no instance":           {[]string{"loop", "--instance", "x", "--", "true"}, 1, "instance (x) of service (loop) not found"},
		"nothing":               {[]string{}, 2, "name a service, and a command behind --"},
		"no command":            {[]string{"loop"}, 2, "name a command behind --"},
		"no variable":           {[]string{"loop", "-e", "A", "--", "true"}, 2, `-e "A": write NAME=VALUE`},
		"no absolute folder":    {[]string{"loop", "--dir", "x", "--", "true"}, 2, `dir: "x" is not an absolute path`},
		"no input by itself":    {[]string{"loop", "--", "cat"}, 0, ""},
		"a terminal if asked":   {[]string{"loop", "-t", "--", "sh", "-c", "tty; stty size; echo $TERM"}, 0, "24 80\r\n"},
		"no terminal else":      {[]string{"loop", "--", "tty"}, 1, "not a tty\n"},
	} {
		cmd := exec.Command(d.path("bin/baetyl"), append([]string{"exec"}, c.args...)...)
		cmd.Stdin = strings.NewReader("input of a loop\n")
		out, err := cmd.CombinedOutput()
		require.Equal(t, c.status, statusOf(err), "%s: %s", name, out)
		require.Contains(t, string(out), c.out, name)
		if c.out == "" {
			require.Empty(t, string(out), name)
		}
	}
}

// 100 MB go in and come out as they are, whoever is slow.
func TestExecCopies(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	d.runs(t)
	const size = 20_000_000
	random, err := os.Open("/dev/urandom")
	require.NoError(t, err)
	defer random.Close()
	sent, got := sha256.New(), sha256.New()
	c := d.exec([]string{"-i"}, "cat")
	c.Stdin = io.TeeReader(io.LimitReader(random, size), sent)
	c.Stdout = got
	require.NoError(t, c.Run())
	require.Equal(t, sent.Sum(nil), got.Sum(nil))

	// What is not read is not written either, and a reader that goes ends the command: nobody says that the master did.
	var stderr bytes.Buffer
	c = d.exec(nil, "sh", "-c", "echo $$; exec yes")
	c.Stderr = &stderr
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	first := make([]byte, 100)
	_, err = io.ReadFull(out, first)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.Split(string(first), "\n")[0])
	require.NoError(t, err)
	require.NoError(t, out.Close())
	require.Equal(t, 128+int(syscall.SIGPIPE), statusOf(c.Wait()))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	other := d.exec(nil, "yes")
	other.Stdout, other.Stderr = full, &stderr
	require.Equal(t, 1, statusOf(other.Run()))
	require.Equal(t, "baetyl: write the output of the command: write /dev/stdout: no space left on device\n",
		stderr.String())
	require.Eventually(t, func() bool { return lineOf(strconv.Itoa(pid)) == "" }, time.Minute, 5*time.Millisecond)
	// An input that the command does not take keeps nothing back.
	c = d.exec([]string{"-i"}, "sh", "-c", "exit 5")
	c.Stdin = random
	require.NoError(t, c.Start())
	state, err := c.Process.Wait()
	require.NoError(t, err)
	require.Equal(t, 5, state.ExitCode())
}

// Signals of a person's program go to the command, and nothing is left of it when that program is killed, or the
// master.
func TestExecEnds(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	keeper := d.runs(t)
	const script = `trap 'echo int' INT; trap '' TERM HUP; (setsid sleep 91919 &); echo up $$; while :; do sleep 0.1; done`
	begin := func() (*exec.Cmd, *mqtttest.Output) {
		c, out := d.exec(nil, "sh", "-c", script), &mqtttest.Output{}
		c.Stdout, c.Stderr = out, out
		require.NoError(t, c.Start())
		require.Eventually(t, func() bool { return strings.Contains(out.String(), "up ") }, time.Minute, time.Millisecond)
		return c, out
	}
	gone := func() {
		t.Helper()
		require.Eventually(t, func() bool { return exec.Command("pgrep", "-f", "sleep 91919").Run() != nil }, time.Minute,
			5*time.Millisecond)
	}
	c, out := begin()
	require.NoError(t, c.Process.Signal(syscall.SIGINT))
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "int\n") }, time.Minute, time.Millisecond)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Process.Signal(syscall.SIGUSR1)) // the third
	require.NotZero(t, statusOf(c.Wait()))
	gone()

	c, _ = begin()
	require.NoError(t, c.Process.Kill())
	_ = c.Wait()
	gone()

	c, out = begin()
	master := masterOf(keeper.Process.Pid)
	services := d.await(t, copies+1) // the script is one of them
	require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
	require.Equal(t, 1, statusOf(c.Wait()))
	require.Contains(t, out.String(), "the master")
	gone()
	require.Subset(t, services, d.await(t, copies))
	otherMaster(t, keeper.Process.Pid, master)
	d.answers(t)

	c, _ = begin()
	require.NoError(t, keeper.Process.Signal(syscall.SIGTERM)) // and a command keeps nothing from stopping
	require.NoError(t, keeper.Wait())
	require.Equal(t, 1, statusOf(c.Wait()))
	gone()
}

// person is a terminal with a program at it.
type person struct {
	t     *testing.T
	outer *os.File
	inner *os.File
	shown mqtttest.Output
}

func newPerson(t *testing.T) *person {
	p := &person{t: t}
	var err error
	p.outer, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	n, err := unix.IoctlGetInt(int(p.outer.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(p.outer.Fd()), unix.TIOCSPTLCK, 0))
	p.inner, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = p.inner.Close(), p.outer.Close() })
	go func() { _, _ = io.Copy(&p.shown, p.outer) }() // ends with the terminal
	p.resize(33, 77)
	return p
}

func (p *person) resize(rows, columns uint16) {
	require.NoError(p.t, unix.IoctlSetWinsize(int(p.outer.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}))
}

func (p *person) mode() unix.Termios {
	m, err := unix.IoctlGetTermios(int(p.inner.Fd()), unix.TCGETS)
	require.NoError(p.t, err)
	return *m
}

// start starts c at the terminal, which becomes its own.
func (p *person) start(c *exec.Cmd) *exec.Cmd {
	c.Stdin, c.Stdout, c.Stderr = p.inner, p.inner, p.inner
	if c.Env == nil {
		c.Env = os.Environ()
	}
	c.Env = append(c.Env, "TERM=xterm-test")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(p.t, c.Start())
	return c
}

func (p *person) types(text string) {
	_, err := p.outer.WriteString(text)
	require.NoError(p.t, err)
}

func (p *person) sees(text string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.shown.String(), text) },
		time.Minute, 5*time.Millisecond, "%q is not in %q", text, &p.shown)
}

// A person works in a service as at the device itself, and has the own terminal back whatever happens.
func TestExecAtATerminal(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	keeper := d.runs(t)
	p := newPerson(t)
	before := p.mode()
	c := p.start(d.exec(nil, "sh", "-i"))
	p.types("stty size; echo $TERM is here\n")
	p.sees("33 77\r\nxterm-test is here\r\n")
	p.resize(44, 88)
	require.NoError(t, c.Process.Signal(syscall.SIGWINCH)) // as the kernel does for the terminal of a session
	p.types("until [ \"$(stty size)\" = '44 88' ]; do sleep 0.01; done; echo re''sized\n")
	p.sees("resized\r\n")
	p.types("(echo wait''ing; exec sleep 1000)\n")
	p.sees("waiting\r\n")
	p.types("\x03") // which throws away what was typed behind it
	p.sees("^C")
	p.types("echo after $?\n")
	p.sees("after 130\r\n")
	p.types("exit 9\n")
	require.Equal(t, 9, statusOf(c.Wait()))
	require.Equal(t, before, p.mode())

	for name, end := range map[string]func(p *person, c *exec.Cmd){
		"^D":     func(p *person, _ *exec.Cmd) { p.types("\x04") },
		"SIGHUP": func(_ *person, c *exec.Cmd) { require.NoError(t, c.Process.Signal(syscall.SIGHUP)) },
		"the master killed": func(*person, *exec.Cmd) {
			require.NoError(t, syscall.Kill(masterOf(keeper.Process.Pid), syscall.SIGKILL))
		},
	} {
		p := newPerson(t)
		before := p.mode()
		c := p.start(d.exec(nil, "sh", "-c", "echo up; exec cat"))
		p.sees("up\r\n")
		require.NotEqual(t, before, p.mode(), name)

		end(p, c)
		_ = c.Wait()
		require.Equal(t, before, p.mode(), name)
		require.Eventually(t, func() bool { return d.exec(nil, "true").Run() == nil }, time.Minute, 20*time.Millisecond)
	}
	require.False(t, bytes.Contains([]byte(p.shown.String()), []byte("panic")))
}
