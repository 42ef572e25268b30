//go:build unix

package keeper

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// supervisor is a Server with a master that it starts, and starts again.
//
//	          ┌──────────────── crash: at once, then after 100 ms … 5 s ◄──┐
//	          ▼                                                           │
//	keeper ─► master ─leaves─► master      ─wants a candidate tried─► candidate ─ready, healthy─► committed
//	             └─ended everything, or: stop, master gone─► all groups end ─► the keeper ends    └─rejected─► master
type supervisor struct {
	*Server
	o       Options
	console *console
	program string // what is started as the master
	path    string // of this program, as it was started
	self    bool   // this program is a candidate itself, of a version without a keeper

	m        *master // nil: none lives, and none is being forked
	again    *time.Timer
	failures int // crashes one after the other
	next     *Trial
	rejected string // why, until a master has said that it is alive

	stopping string // why everything is to stop; empty: it is not
	stopped  bool   // the master has said that everything has ended
	served   bool   // a master has said that it is alive, and none that everything has ended: it may have left something
	last     bool   // one more master was started, only to stop everything in order
	end      *shutdown
	status   int // of this program

	replace replacing
	manager *notifier
}

// Options are for tests; zero values mean what is documented.
type Options struct {
	Part    string        // default Part
	Alive   time.Duration // without OpAlive after which a master is killed; default a minute
	Hello   time.Duration // without Hello, from the fork on, after which a master is killed; default 30 s
	Settled time.Duration // that a master has run when its end is not one more crash in a row; default 10 s
	Stop    time.Duration // that a master has to stop everything, beside the grace times; default a minute
	Retry   time.Duration // before the next attempt to replace the keeper, while a disk hangs; default 30 s
}

// master is the one that runs.
type master struct {
	pid     int // 0: it is being forked
	program string
	peer    *peer // nil: it is of a version without a keeper
	readers [2]*reader
	relays  [2]*relay
	started time.Time
	hello   *Hello
	alive   bool        // it has said so
	told    bool        // to stop
	left    bool        // it ends to make place for a successor
	watch   *time.Timer // kills it when it does not say that it is alive
	silent  int         // parts of that time in which it did not
	trial   *candidate  // nil: it is not tried
	plain   bool        // of a version without a keeper
	reason  string      // why it was killed as a candidate
}

func (k *supervisor) logf(level, format string, args ...any) { k.console.log(level, format, args...) }

// start starts the program as the master, or c.
func (k *supervisor) start(c *candidate) {
	if k.m != nil || k.end != nil || k.over {
		return
	}
	if k.stopping != "" {
		c, k.last = nil, true
	}
	m := &master{program: k.program, trial: c, started: time.Now()}
	if c != nil {
		m.program, m.plain = c.Candidate, c.Plain
		k.manager.status("a new master is tried")
	}
	if m.plain { // it opens all of this itself
		k.closeKept()
	}
	f, err := k.prepare(m)
	k.m = m
	if err == nil && !k.fork(f, func(pid int, err error) { k.began(m, pid, err) }) {
		err = syscall.EAGAIN
	}
	if err != nil {
		k.began(m, 0, err)
	}
}

// prepare makes what the master gets: its output goes through this process, which never makes it wait.
func (k *supervisor) prepare(m *master) (f fork, err error) {
	f = fork{path: m.program, args: append([]string{MasterName}, os.Args[1:]...)}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	null, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return f, err
	}
	f.files = append(f.files, uintptr(null))
	for i, to := range []*relay{{to: k.console.out}, {to: k.console.err}} {
		r, w, err := pipe()
		if err != nil {
			return f, err
		}
		f.files = append(f.files, uintptr(w))
		m.relays[i], m.readers[i] = to, &reader{pipe: r, copy: to.copy}
	}
	f.env = withoutManager(environ())
	if m.plain {
		f.args[0] = k.program // as a supervisor without a keeper starts it
		return f, k.preparePlain(m, &f)
	}
	if k.self { // the words of its parent go to the master
		f.files = append(f.files, 3, 4)
		f.env = append(f.env, envCandidate+"=1")
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return f, err
	}
	conn, err := connOf(ours, "master")
	if err != nil {
		_ = syscall.Close(theirs)
		return f, err
	}
	f.env = append(f.env, fmt.Sprintf("%s=%d", EnvConn, len(f.files)))
	f.files = append(f.files, uintptr(theirs))
	m.peer = k.attach(conn)
	return f, nil
}

// environ is the environment without what keeper and master tell each other.
func environ() (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, envPrefix) && !strings.HasPrefix(kv, envCandidate+"=") {
			env = append(env, kv)
		}
	}
	return env
}

// withoutManager is env without what is between the manager of services and this program.
func withoutManager(env []string) (out []string) {
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if name != envNotify && name != envWatchdog && name != envWatchdogPID {
			out = append(out, kv)
		}
	}
	return out
}

// began goes on when the master was forked, or was not.
func (k *supervisor) began(m *master, pid int, err error) {
	if err != nil {
		for _, r := range m.readers {
			if r != nil {
				_ = r.pipe.Close()
			}
		}
		k.detach()
		m.reason = fmt.Sprintf("start it: %v", err)
		k.logf("error", "start master %s: %v", m.program, err)
		k.after(0, func() { k.gone(m, syscall.WaitStatus(1<<8)) })
		return
	}
	m.pid = pid
	k.helpers[pid] = func(status syscall.WaitStatus) { k.masterEnded(m, status) }
	k.readMaster(m)
	if m.trial != nil {
		k.tryOut(m)
	} else {
		k.arm(m)
	}
	if k.stopping != "" {
		k.stopMaster()
	}
	k.logf("info", "master started pid=%d", pid)
}

func (k *supervisor) readMaster(m *master) {
	for _, r := range m.readers {
		if r != nil && !r.end {
			r.start(func() { _ = r.pipe.Close() })
		}
	}
}
