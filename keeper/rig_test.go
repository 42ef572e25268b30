//go:build linux

package keeper_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/keeper"
)

// This test binary is keeper, master and service too. Each copy of it has a trailer: the digest of its keeper, and what
// else it does differently.
func init() {
	if len(os.Args) < 2 || os.Args[1] != "start" && os.Args[1] != "service" {
		return
	}
	part := trailer()
	if strings.HasPrefix(part, "unreadable") && os.Getenv("BAETYL_KEEPER_CHECK") != "" {
		os.Exit(2)
	}
	second := func(name string) time.Duration {
		d, _ := time.ParseDuration(os.Getenv(name))
		return d
	}
	keeper.Early(keeper.Options{
		Part: part, Alive: second("RIG_ALIVE"), Settled: max(second("RIG_SETTLED"), time.Millisecond),
		Retry: 100 * time.Millisecond, Stop: second("RIG_STOP"), Hello: second("RIG_HELLO"),
	})
	switch os.Args[1] {
	case "start":
		os.Exit(runMaster(os.Args[2]))
	case "service":
		runService(os.Args[2])
		os.Exit(0)
	}
}

const mark = "\nPART="

// trailer returns what stands behind mark at the end of this program.
func trailer() string {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return ""
	}
	defer f.Close()
	end := make([]byte, 64)
	if _, err := f.Seek(-int64(len(end)), io.SeekEnd); err != nil {
		return ""
	}
	_, _ = io.ReadFull(f, end)
	_, part, _ := strings.Cut(string(end), mark)
	return part
}

// install writes a copy of this program with a trailer.
func install(t testing.TB, path, part string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, append(text, mark+part...), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// command is what a test tells the master, answer what that answers.
type command struct {
	Op     string
	Spec   *keeper.Spec
	Handle string
	Signal int
	Trial  *keeper.Trial
}

type result struct {
	Error   string
	Errno   int
	PID     int
	Process keeper.Process
	State   keeper.State
	Lines   []string
	End     *keeper.End
	ends    bool // the master, when it has answered
	stops   bool // everything, as above
}

// runMaster is a master that does what the test says over a socket. The file "behaviour", and "candidate" for a program
// that ends in .new, says what it does of its own: "exit <n>", "crash", "mute" (no hello), "waits" (until the
// file is gone), "hang" (not alive), "deaf" (does not stop), "says <why>" (and leaves), "protocol" (another one).
func runMaster(dir string) int {
	exe, _ := os.Executable()
	name := "behaviour"
	if strings.HasSuffix(exe, ".new") {
		name = "candidate"
	}
	text, _ := os.ReadFile(filepath.Join(dir, name))
	does := strings.TrimSpace(string(text))
	if status, ok := strings.CutPrefix(does, "exit "); ok {
		n, _ := strconv.Atoi(status)
		// A pipe full of lines is still to be read when the process has ended.
		fmt.Fprint(os.Stderr, strings.Repeat("a line of a master\n", 3000), "cannot start\n")
		return n
	}
	c, err := keeper.Dial()
	if err != nil || c == nil {
		fmt.Fprintln(os.Stderr, "no keeper:", err)
		return 9
	}
	go func() { <-c.Lost(); os.Exit(8) }()
	if does == "mute" {
		select {}
	}
	for does == "waits" {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	signal.Ignore(syscall.SIGUSR2)
	protocol := keeper.Protocol
	if does == "protocol" {
		protocol++
	}
	state, err := c.Hello(context.Background(), keeper.Hello{Protocol: protocol, Part: trailer(), Grace: time.Second})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 7
	}
	if why, ok := strings.CutPrefix(does, "says "); ok {
		_ = c.Leave(why)
		return 4
	}
	if does == "crash" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	if does == "hang" {
		select {}
	}
	health := func() keeper.Health {
		_, err := os.Stat(filepath.Join(dir, "unstarted"))
		return keeper.Health{Started: err != nil, Text: "2 services\nREADY=1\x1b[2J, 1 failing"}
	}
	if err := c.Alive(health()); err != nil {
		return 6
	}
	if does == "words" {
		_, _ = os.NewFile(3, "").WriteString("ready\n")
		word := make([]byte, 3)
		_, err := io.ReadFull(os.NewFile(4, ""), word)
		note(dir, fmt.Sprintf("ready: %v", errors.Join(err, c.Ready(context.Background()))))
	}
	if state.Candidate && does != "late" {
		go func() {
			note(dir, "ready: "+fmt.Sprint(c.Ready(context.Background())))
		}()
	}
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			_ = c.Alive(health())
		}
	}()
	if does == "storm" {
		go storm(c, state.Processes)
	}
	go serve(c, dir, state)
	for e := range c.Events() {
		note(dir, e.Kind+" "+e.Why)
		if e.Kind == keeper.EventReload && does != "unread" {
			_ = c.Reloaded()
		}
		if e.Kind != keeper.EventStop || does == "deaf" {
			continue
		}
		for _, p := range state.Processes {
			_ = c.Signal(p.Handle, syscall.SIGTERM)
			<-c.Ended(p.Handle)
			end, ok := c.End(p.Handle)
			tail, err := c.Tail(p.Handle)
			note(dir, fmt.Sprintf("%s ended: %+v %v %q %v", p.Handle, end, ok, tail, err))
		}
		_ = c.Stopped(e.Why)
		return 0
	}
	return 5
}

// note adds a line to the file "events".
func note(dir, line string) {
	f, err := os.OpenFile(filepath.Join(dir, "events"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, _ = fmt.Fprintln(f, line)
		_ = f.Close()
	}
}

func serve(c *keeper.Client, dir string, state keeper.State) {
	path := filepath.Join(dir, strconv.Itoa(os.Getpid()))
	l, err := net.Listen("unix", path)
	if err != nil {
		return
	}
	_ = os.Rename(path, filepath.Join(dir, "socket"))
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			var cmd command
			if json.NewDecoder(conn).Decode(&cmd) != nil {
				return
			}
			r := carryOut(c, cmd, state)
			_ = json.NewEncoder(conn).Encode(r)
			if r.stops { // after the answer, too: there is no next master
				_ = c.Stop("by the test")
			}
			if r.ends { // after the answer: whoever misses it asks the next master
				os.Exit(0)
			}
		}()
	}
}

func carryOut(c *keeper.Client, cmd command, state keeper.State) (r result) {
	var err error
	r.PID, r.State = os.Getpid(), state
	r.State.Kept = nil
	switch cmd.Op {
	case "start":
		r.Process, err = c.Start(context.Background(), *cmd.Spec)
	case "signal":
		err = c.Signal(cmd.Handle, syscall.Signal(cmd.Signal))
	case "end":
		<-c.Ended(cmd.Handle)
		if end, ok := c.End(cmd.Handle); ok {
			r.End = &end
		}
	case "tail":
		r.Lines, err = c.Tail(cmd.Handle)
	case "release":
		err = c.Release(cmd.Handle)
	case "keep":
		var f *os.File
		if f, err = os.OpenFile(cmp.Or(cmd.Handle, os.DevNull), os.O_RDWR, 0); err == nil {
			err = c.Keep("kept", f)
			_ = f.Close()
		}
	case "leave":
		err = c.Leave("the test wants it")
		r.ends = true
	case "try":
		err = c.Try(*cmd.Trial)
		r.ends = err == nil
	case "storm":
		err = <-stormed
	case "environment":
		r.Lines = os.Environ()
	case "stop":
		r.stops = true
	case "print":
		fmt.Println(cmd.Handle)
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// runService writes numbered lines, rate a second on stdout, until SIGTERM.
func runService(rate string) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	n, _ := strconv.Atoi(rate)
	tick := time.NewTicker(10 * time.Millisecond)
	begun, i := time.Now(), 0
	for {
		select {
		case <-stop:
			fmt.Println("end", i)
			os.Exit(4)
		case <-tick.C:
		}
		for ; float64(i) < time.Since(begun).Seconds()*float64(n); i++ {
			fmt.Println(i)
		}
	}
}

// rig is a keeper that runs, and its folder.
type rig struct {
	t    testing.TB
	dir  string
	prog string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu  sync.Mutex
	out bytes.Buffer
}

func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(p)
}

func (r *rig) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), done: make(chan struct{})}
	r.prog = filepath.Join(r.dir, "bin", "prog")
	install(t, r.prog, "one")
	return r
}

func (r *rig) file(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// run starts the keeper. prepare may change how.
func (r *rig) run(prepare ...func(*exec.Cmd)) *rig {
	r.t.Helper()
	r.cmd = exec.Command(r.prog, "start", r.dir)
	// By default a program with the race detector takes a second to end.
	r.cmd.Env = append(os.Environ(), "RIG_ALIVE=20s", "GORACE=atexit_sleep_ms=0")
	r.cmd.Stdout, r.cmd.Stderr = r, r
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.cmd.WaitDelay = time.Second
	for _, f := range prepare {
		f(r.cmd)
	}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(r.cmd, r.done)
	r.t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.done
		if r.t.Failed() {
			r.t.Logf("console:\n%s", r.text())
		}
	})
	return r
}

// wait waits for the end of the keeper and returns its status.
func (r *rig) wait() int {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		r.t.Fatalf("the keeper has not ended")
	}
	return r.cmd.ProcessState.ExitCode()
}

func (r *rig) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// ask lets the master carry out a command, whichever it is by then.
func (r *rig) ask(cmd command) result {
	r.t.Helper()
	var got result
	eventually(r.t, "a master answers to "+cmd.Op, func() bool {
		conn, err := net.Dial("unix", filepath.Join(r.dir, "socket"))
		if err != nil {
			return false
		}
		defer conn.Close()
		return json.NewEncoder(conn).Encode(cmd) == nil && json.NewDecoder(conn).Decode(&got) == nil
	})
	return got
}

func (r *rig) must(cmd command) result {
	r.t.Helper()
	got := r.ask(cmd)
	if got.Error != "" {
		r.t.Fatalf("%s: %s", cmd.Op, got.Error)
	}
	return got
}

// start starts a service.
func (r *rig) start(handle string, args ...string) keeper.Process {
	r.t.Helper()
	path := r.prog
	if len(args) == 0 || args[0] != "service" {
		path, args = "/bin/sh", append([]string{"sh", "-c"}, args...)
	} else {
		args = append([]string{handle}, args...)
	}
	return r.must(command{Op: "start", Spec: &keeper.Spec{
		Handle: handle, Path: path, Args: args, Env: []string{"PATH=" + os.Getenv("PATH")}, Dir: r.dir,
		Output: keeper.Output{File: filepath.Join(r.dir, handle+".log"), Instance: handle, Size: 50, Age: 1, Backups: 1},
	}}).Process
}

// master returns the process id of a master other than not.
func (r *rig) master(not int) int {
	r.t.Helper()
	var pid int
	eventually(r.t, "there is a new master", func() bool {
		pid = r.ask(command{Op: "pid"}).PID
		return pid != not
	})
	return pid
}

// says waits until the console has a text.
func (r *rig) says(text string) {
	r.t.Helper()
	eventually(r.t, "the console says "+text, func() bool { return strings.Contains(r.text(), text) })
}

// noted waits until the events have a line.
func (r *rig) noted(line string) {
	r.t.Helper()
	eventually(r.t, "event "+line, func() bool {
		text, _ := os.ReadFile(filepath.Join(r.dir, "events"))
		return strings.Contains(string(text), line)
	})
}

// lives tells whether a process does.
func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := string(stat[bytes.LastIndexByte(stat, ')')+1:])
	return !strings.HasPrefix(rest, " Z") && !strings.HasPrefix(rest, " X")
}

type cmd = exec.Cmd

// childrenOf returns the children of a process.
func childrenOf(pid int) (all []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, f := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(f); err == nil {
			all = append(all, n)
		}
	}
	return all
}
