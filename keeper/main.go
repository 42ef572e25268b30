//go:build unix

package keeper

import (
	"cmp"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Names of processes, as ps shows them.
const (
	MasterName = "baetyl-master"
	CheckName  = "baetyl-check"
	GuardName  = "baetyl-guard"
)

// Early makes this program a keeper when its arguments say so, and returns otherwise. It is called from an init, on the
// first thread, before packages are initialised that a keeper has no need of.
func Early(o Options) {
	if len(os.Args) < 2 || os.Args[1] != "start" {
		return
	}
	if os.Getenv(EnvConn) != "" {
		nameProcess(MasterName)
		return
	}
	if slices.ContainsFunc(os.Args[2:], func(a string) bool { return a == "-h" || a == "--help" }) {
		return
	}
	runtime.LockOSThread()
	if os.Getenv(envCheck) != "" {
		answerCheck()
	}
	if os.Getenv(envGuard) != "" {
		runGuard()
	}
	os.Exit(run(o))
}

// run is the keeper. It returns its exit status.
func run(o Options) int {
	debug.SetGCPercent(20)
	unblock()
	closeInherited()
	syscall.Umask(0o022) // logs have the modes that they are given, whatever shell it was started from
	becomeSubreaper()
	k, err := newSupervisor(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "baetyl:", err)
		return 1
	}
	before, err := stateBefore()
	if err != nil { // children that are not known cannot be kept: they end with this process
		k.logf("error", "the state of the keeper before is lost: %v", err)
		k.console.flush(flushTimeout)
		return 1
	}
	signal.Notify(k.signals, handled()...)
	var came []os.Signal
	if before != nil {
		came = leaveGuard(before.Guard)
	}
	k.first = func() {
		k.begin(before)
		for _, sig := range came {
			k.handle(sig)
		}
	}
	go k.loop() // ends with over
	go func() { <-k.ended; close(k.thread) }()
	work(k.thread)
	k.console.flush(flushTimeout)
	return k.status
}

func (k *supervisor) begin(before *saved) {
	k.manager.begin(before != nil && before.Ready)
	if before != nil {
		k.restore(before)
		k.logf("info", "the keeper was replaced; %d processes run on", len(k.processes))
		k.reap() // what has ended meanwhile
		if k.m == nil {
			k.start(nil)
		}
	} else {
		k.start(nil)
	}
	k.after(settleMemory, freeMemory)
}

func newSupervisor(o Options) (*supervisor, error) {
	exe, err := os.Executable()
	if err == nil {
		exe, err = filepath.EvalSymlinks(exe)
	}
	if err != nil {
		return nil, fmt.Errorf("find program: %w", err)
	}
	o.Part = cmp.Or(o.Part, Part)
	o.Alive = cmp.Or(o.Alive, time.Minute)
	o.Hello = cmp.Or(o.Hello, helloTimeout)
	o.Settled = cmp.Or(o.Settled, 10*time.Second)
	o.Stop = cmp.Or(o.Stop, time.Minute)
	o.Retry = cmp.Or(o.Retry, 30*time.Second)
	k := &supervisor{o: o, console: newConsole(), program: exe, path: exe, self: os.Getenv(envCandidate) != ""}
	k.Server = newServer(true, k.logf)
	k.manager = newNotifier(k)
	k.signals = make(chan os.Signal, 64) // when it is full, more of the same are waiting already
	k.greet, k.other, k.onSignal = k.hello, k.request, k.handle
	k.quiet = func() {
		if k.end != nil {
			k.endNext()
		} else {
			k.replaceNext()
		}
	}
	return k, nil
}

// handled are all signals that do something.
func handled() []os.Signal {
	return append([]os.Signal{syscall.SIGHUP, syscall.SIGPIPE}, ending...)
}

// stateBefore returns what the keeper before has handed over; nil: there was none.
func stateBefore() (*saved, error) {
	text, ok := os.LookupEnv(envState)
	if !ok {
		return nil, nil
	}
	_ = os.Unsetenv(envState)
	fd, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	state, err := readState(fd)
	if err != nil {
		return nil, err
	}
	return decodeState(state)
}

// settleMemory is how long after a change the memory that it took is given back.
const settleMemory = 5 * time.Second

func freeMemory() { debug.FreeOSMemory() }
