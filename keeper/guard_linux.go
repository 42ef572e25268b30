package keeper

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A signal that comes while the keeper replaces itself must neither be lost nor kill it. Blocking it is no way: the
// runtime unblocks those that end a program before it can handle them. So a child, the guard, traces the keeper for
// those milliseconds: it takes the signals away, and tells the next keeper of them.
//
//	keeper ─► guard ─► traces the keeper, says so ─► exec ─► the next keeper handles signals, says so ─► gets what came
//
// Where tracing is not allowed the keeper replaces itself without.

const (
	envGuard   = envPrefix + "GUARD"
	guardLimit = 10 * time.Second       // that a guard lives at most
	guardWait  = time.Second            // for its end
	guardStep  = 100 * time.Microsecond // between its checks
)

// startGuard starts one and returns the descriptors to it and from it; -1 when there is none. It is called on the first
// thread, the one that is traced.
func startGuard() (guard [2]int) {
	none := [2]int{-1, -1}
	from, said, err := pipe()
	if err != nil {
		return none
	}
	defer from.Close()
	defer syscall.Close(said)
	var to [2]int
	if syscall.Pipe2(to[:], syscall.O_CLOEXEC) != nil {
		return none
	}
	defer syscall.Close(to[0])
	f := fork{
		path: "/proc/self/exe", args: []string{GuardName, "start"}, env: append(environ(), envGuard+"=1"),
		files: []uintptr{uintptr(to[0]), 2, 2, uintptr(to[0]), uintptr(said)},
	}
	pid, err := f.start()
	if err != nil {
		_ = syscall.Close(to[1])
		return none
	}
	_ = unix.Prctl(unix.PR_SET_PTRACER, uintptr(pid), 0, 0, 0) // needed where only a parent may trace its child
	_, _ = syscall.Write(to[1], []byte("t"))
	// One that cannot trace ends, and with it the pipe. One that is slow is waited for: it may trace already when nobody
	// hears it any more, and what it takes would be lost.
	answer := make([]byte, 1)
	_ = from.SetReadDeadline(time.Now().Add(guardLimit))
	if _, err := io.ReadFull(from, answer); err != nil {
		_ = syscall.Close(to[1]) // it ends with that
		return none
	}
	own, err := duplicate(number(from))
	if err != nil {
		_ = syscall.Close(to[1])
		return none
	}
	return [2]int{to[1], own}
}

// leaveGuard ends the guard and returns the signals that it has taken.
func leaveGuard(guard [2]int) (came []os.Signal) {
	if guard[0] < 0 {
		return nil
	}
	_, _ = syscall.Write(guard[0], []byte("r"))
	from := pipeEnd(guard[1])
	defer from.Close()
	defer syscall.Close(guard[0])
	_ = from.SetReadDeadline(time.Now().Add(guardWait))
	text, _ := io.ReadAll(from) // ends with the guard
	for _, number := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(number); err == nil {
			came = append(came, syscall.Signal(n))
		}
	}
	return came
}

// runGuard is the guard. It ends the program.
func runGuard() {
	runtime.LockOSThread() // a tracer is a thread
	signal.Notify(make(chan os.Signal, 1), handled()...)
	in, out, keeper := os.NewFile(3, "from keeper"), os.NewFile(4, "to keeper"), os.Getppid()
	word := make([]byte, 1)
	if _, err := io.ReadFull(in, word); err != nil || !seize(keeper) {
		os.Exit(1)
	}
	_, _ = out.Write(word)
	over := make(chan struct{})
	go func() {
		_, _ = io.ReadFull(in, word)
		close(over)
	}()
	limit := time.After(guardLimit)
	for {
		select {
		case <-over:
			os.Exit(0) // the kernel lets the keeper go on
		case <-limit:
			os.Exit(1)
		case <-time.After(guardStep):
		}
		traceSignals(out)
	}
}

// seize traces all threads of a process, and those that they start: a signal goes to any of them.
func seize(pid int) bool {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(tid), 0, unix.PTRACE_O_TRACECLONE, 0, 0)
		if errno != 0 && errno != unix.ESRCH { // that one has just ended
			return false
		}
	}
	return err == nil && len(tasks) > 0
}

// traceSignals takes the signals away that stop the keeper, and lets it go on.
func traceSignals(out io.Writer) {
	for {
		var status syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &status, syscall.WNOHANG|syscall.WALL, nil)
		if err != nil || tid <= 0 {
			return
		}
		if !status.Stopped() {
			continue
		}
		sig := status.StopSignal()
		switch event := int(status) >> 16; {
		case event != 0:
			sig = 0 // it was stopped, or has started a thread
		case slices.Contains(handled(), os.Signal(sig)):
			_, _ = fmt.Fprintln(out, int(sig))
			sig = 0
		}
		_ = unix.PtraceCont(tid, int(sig))
	}
}
