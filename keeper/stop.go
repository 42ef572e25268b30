//go:build unix

package keeper

import (
	"bytes"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/keeper/members"
)

// ending are the signals that end a process by default and that a process may handle. SIGPIPE is none of them: a
// console that has gone is no reason to stop. The runtime takes SIGPROF and those from 34 on, which do nothing then.
var ending = []os.Signal{
	syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
	syscall.SIGVTALRM, syscall.SIGXCPU, syscall.SIGXFSZ, syscall.SIGIO,
}

// handle is what a signal does. The loop calls it.
func (k *supervisor) handle(sig os.Signal) {
	name := unix.SignalName(sig.(syscall.Signal))
	switch sig {
	case syscall.SIGPIPE:
	case syscall.SIGHUP:
		k.manager.reload(k.o.Alive)
		if k.m == nil || k.m.hello == nil {
			k.logf("info", "%s: there is no master that could read its configuration again", name)
			k.manager.reloaded() // the next one reads it
			return
		}
		k.m.peer.send(Event{Kind: EventReload, Why: name}, nil)
	case syscall.SIGQUIT:
		stacks := make([]byte, 64<<10)
		dump := bytes.NewReader(stacks[:runtime.Stack(stacks, true)])
		_ = (&relay{to: k.console.err}).copy(dump) // line by line
		k.stop(name)
	default:
		k.stop(name)
	}
}

// stop lets the master stop everything, or does so without one.
func (k *supervisor) stop(why string) {
	if k.stopping != "" {
		k.logf("info", "%s: everything is being stopped already", why)
		return
	}
	k.stopping = why
	k.logf("info", "%s: everything is stopped", why)
	k.manager.stopping(why)
	if k.again != nil {
		k.again.Stop()
	}
	switch {
	case k.m != nil:
		k.stopMaster()
	case k.mayLeave():
		k.start(nil)
	default:
		k.endAll()
	}
}

// stopMaster tells the master, at its Hello when that has not come. Until then it is asked by a signal too, which may
// end it at once, when there is nothing that it could stop. It has the time in which a master says that it is alive. A
// candidate that has not said Hello is not waited for: nothing depends on it yet.
func (k *supervisor) stopMaster() {
	m := k.m
	switch {
	case m.pid == 0 || m.told: // began comes here again
	case m.plain:
		m.told = true
		k.endPlain(m)
	case m.hello == nil && m.trial != nil:
		k.reject(m, "everything was stopped while it was tried")
	case m.hello != nil:
		m.told = true
		m.peer.send(Event{Kind: EventStop, Why: k.stopping}, nil)
		k.limitStop(m)
	case k.mayLeave():
	default:
		_ = syscall.Kill(m.pid, syscall.SIGTERM)
	}
}

// limitStop ends the stop of a master that says that it is alive and comes to no end. It has the grace times of all
// that it ends, which may be one after the other. A master that holds nothing here has no limit: what it stops is not
// known.
func (k *supervisor) limitStop(m *master) {
	limit := k.o.Stop
	for _, h := range k.processes {
		limit += k.graceOf(h) + killTimeout
	}
	if len(k.processes) == 0 {
		return
	}
	k.after(limit, func() {
		if k.m != m || k.helpers[m.pid] == nil {
			return
		}
		k.logf("error", "the master has not stopped everything within %s and is killed: it is stopped now", limit)
		_ = syscall.Kill(m.pid, syscall.SIGKILL)
		k.finish(1) // not when it has ended: it may wait for a broken device itself
	})
}

// arm gives the master time to say that it is alive.
func (k *supervisor) arm(m *master) {
	m.silent = 0
	if m.watch == nil {
		k.listenTo(m)
	}
}

// silences is in how many parts the time is counted, one after the other: when this process could not run itself, that
// counts as one, and what the master has said meanwhile is read in the next.
const silences = 6

// helloTimeout is the default of Options.Hello. A master says hello before it reads or decides anything: that takes
// milliseconds, some seconds on a device that is busy with its boot. It is half of what a master has that already
// decides, since nobody does while it is awaited.
const helloTimeout = 30 * time.Second

func (k *supervisor) listenTo(m *master) {
	limit, what := k.o.Alive, "that it is alive"
	if m.hello == nil {
		limit, what = k.o.Hello, "hello"
	}
	m.watch = k.after(limit/silences, func() {
		if k.m != m || k.helpers[m.pid] == nil {
			return
		}
		if m.silent++; m.silent <= silences {
			k.listenTo(m)
			return
		}
		k.logf("error", "the master has not said %s for %s and is killed", what, limit)
		_ = syscall.Kill(m.pid, syscall.SIGKILL)
	})
}

// shutdown is what is going on when everything ends without a master.
type shutdown struct {
	asked  map[*process]time.Time // SIGTERM was sent
	strays map[*process]bool      // the same, to what has left the group
	next   *time.Timer            // the next look; nil: there was none
}

// endInterval is the time between looks at what is left.
const endInterval = 50 * time.Millisecond

// finish ends what is left, and then this program with status.
func (k *supervisor) finish(status int) {
	k.status = status
	k.endAll()
}

// endAll ends every group, and what is left in the cgroups of processes: SIGTERM, SIGKILL after the grace time. When
// all have ended the loop ends.
func (k *supervisor) endAll() {
	if k.end != nil {
		return
	}
	k.end = &shutdown{asked: map[*process]time.Time{}, strays: map[*process]bool{}}
	k.endNext()
}

func (k *supervisor) endNext() {
	if k.over {
		return
	}
	left, waiting := 0, false
	for _, h := range k.processes {
		if h.End != nil && !h.populated() {
			continue
		}
		left++
		waiting = k.endOne(h) || waiting
	}
	if k.end.next != nil {
		k.end.next.Stop()
	}
	if waiting {
		k.end.next = k.after(endInterval, k.endNext)
		return
	}
	if left > 0 {
		k.logf("error", "%d processes could not be ended", left)
	}
	k.detach()
	k.closeFiles(flushTimeout)
	k.logf("info", "keeper ends: exit status %d", k.status)
	k.over = true
}

// endOne does what is due to end h. It reports false when that is given up.
func (k *supervisor) endOne(h *process) bool {
	if h.starting {
		h.unwanted.Store(true)
	}
	asked, ok := k.end.asked[h]
	if !ok {
		asked = time.Now()
		k.end.asked[h] = asked
		h.signalled.Store(true)
		h.signal(syscall.SIGCONT) // one that is stopped would not see the other
		h.signal(syscall.SIGTERM)
	}
	if h.End != nil && !k.end.strays[h] { // they have not been asked
		k.end.strays[h] = true
		h.signalStrays(syscall.SIGCONT)
		h.signalStrays(syscall.SIGTERM)
	}
	since := time.Since(asked)
	if since > k.graceOf(h) {
		h.killed.Store(true)
		h.signal(syscall.SIGKILL)
		h.signalStrays(syscall.SIGKILL)
	}
	return since <= k.graceOf(h)+killTimeout
}

// signal sends sig to the group, while its leader has not been reaped.
func (h *process) signal(sig syscall.Signal) {
	if h.PID != 0 && h.End == nil {
		_ = syscall.Kill(-h.PID, sig) // an error means that it has ended
	}
}

// signalStrays sends sig to all in the cgroups of h, which nothing can leave.
func (h *process) signalStrays(sig syscall.Signal) {
	for _, c := range h.cgroups {
		if sig == syscall.SIGKILL { // what forks faster than it is signalled
			members.Close(c)
		}
		for _, path := range members.Nested(c) {
			_ = members.Signal(path, sig) // as above
		}
	}
}

// populated tells whether a process is in the cgroups of h.
func (h *process) populated() bool { return slices.ContainsFunc(h.cgroups, members.Populated) }

// flushTimeout is how long log files and the console may take at the end.
const flushTimeout = 2 * time.Second
