//go:build unix

package keeper

import (
	"bytes"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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
		if k.m == nil || k.m.hello == nil {
			k.logf("info", "%s: there is no master that could read its configuration again", name)
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

// stopMaster tells the master, at its Hello when that has not come. Until then it is asked by a signal too, which may end
// it at once, when there is nothing that it could stop. It has the time in which a master says that it is alive. A
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
	case k.mayLeave():
	default:
		_ = syscall.Kill(m.pid, syscall.SIGTERM)
	}
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

func (k *supervisor) listenTo(m *master) {
	m.watch = k.after(k.o.Alive/silences, func() {
		if k.m != m || k.helpers[m.pid] == nil {
			return
		}
		if m.silent++; m.silent <= silences {
			k.listenTo(m)
			return
		}
		k.logf("error", "the master has not said that it is alive for %s and is killed", k.o.Alive)
		_ = syscall.Kill(m.pid, syscall.SIGKILL)
	})
}

// shutdown is what is going on when everything ends without a master.
type shutdown struct {
	asked  map[*process]bool // SIGTERM was sent
	kill   bool              // it has taken too long
	gaveUp bool
}

// finish ends what is left, and then this program with status.
func (k *supervisor) finish(status int) {
	k.status = status
	k.endAll()
}

// endAll ends every group: SIGTERM, SIGKILL after the grace time. When all have ended the loop ends.
func (k *supervisor) endAll() {
	if k.end != nil {
		return
	}
	k.end = &shutdown{asked: map[*process]bool{}}
	if len(k.processes) > 0 {
		k.after(k.grace, func() { k.end.kill = true; k.endNext() })
		k.after(k.grace+killTimeout, func() { k.end.gaveUp = true; k.endNext() })
	}
	k.endNext()
}

func (k *supervisor) endNext() {
	if k.over {
		return
	}
	left := 0
	for _, h := range k.processes {
		switch {
		case h.End != nil:
			continue
		case h.PID == 0: // is being forked
		case k.end.kill:
			_ = syscall.Kill(-h.PID, syscall.SIGKILL)
		case !k.end.asked[h]:
			k.end.asked[h] = true
			h.signalled.Store(true)
			_ = syscall.Kill(-h.PID, syscall.SIGCONT) // one that is stopped would not see the other
			_ = syscall.Kill(-h.PID, syscall.SIGTERM)
		}
		left++
	}
	if left > 0 && !k.end.gaveUp {
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

// flushTimeout is how long log files and the console may take at the end.
const flushTimeout = 2 * time.Second
