//go:build unix

package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/utils/logfile"
)

// replacing is what is known of the next keeper: the program that has another one than this.
//
//	wanted ─► the program reads a copy of the state ─► files are written ─► readers halt ─► exec
//	   ▲          └ cannot: refused, this keeper stays       └ a write hangs: later
//	   └──────────────────────────────────────────────────────────┘
type replacing struct {
	wanted   bool
	busy     bool     // one step is going on beside the loop
	checked  bool     // the program can read the state
	part     string   // digest of the keeper that was wanted last: no second attempt
	unserved *Request // Hello that only the next keeper can answer
	retry    *time.Timer
}

const (
	envPrefix  = "BAETYL_KEEPER_"       // of all that only keepers tell each other, and EnvConn
	envState   = envPrefix + "STATE"    // descriptor of the state
	envCheck   = envPrefix + "CHECK"    // the program reads a state on descriptor 3 and says on 4 whether it can
	answerOK   = "OK"                   // what it says then
	checkLimit = 10 * time.Second       // for that
	diskLimit  = 5 * time.Second        // for what waits for a disk to be written
	haltLimit  = 200 * time.Millisecond // the same, while nothing is read
)

// wantReplaced lets this program be replaced by the master's, whose keeper has the digest part. It does so once.
func (k *supervisor) wantReplaced(part string) {
	if k.replace.part == part {
		if k.replace.unserved != nil && !k.replace.wanted { // otherwise it is served by what is going on
			k.refuse(fmt.Errorf("this keeper speaks protocol %d, and so does the one of %s", Protocol, k.program))
		}
		return
	}
	k.replace.part, k.replace.wanted, k.replace.checked = part, true, false
	k.replaceNext()
}

// refuse gives up what was wanted.
func (k *supervisor) refuse(err error) {
	k.logf("error", "the keeper is not replaced: %v", err)
	k.replace.wanted = false
	if r := k.replace.unserved; r != nil && k.peer != nil {
		k.peer.fail(r.ID, err)
	}
	k.replace.unserved = nil
}

// replaceNext does the next step, when nothing is going on that an exec would interrupt.
func (k *supervisor) replaceNext() {
	r := &k.replace
	if !r.wanted || r.busy || k.stopping != "" || k.stopped || k.end != nil || k.m == nil || k.m.pid == 0 {
		return
	}
	if !r.checked {
		r.busy = true
		k.check(k.program, func(err error) {
			r.busy = false
			if err != nil {
				k.refuse(err)
				return
			}
			r.checked = true
			k.replaceNext()
		})
		return
	}
	if !k.settled() {
		k.later(time.Second) // or when quiet comes here
		return
	}
	r.busy = true
	files := k.openFiles()
	go func() { // ends after diskLimit
		err := flushFiles(files, diskLimit)
		k.post(func() {
			if r.busy = false; err != nil {
				k.logf("warning", "the keeper is replaced later: %v", err)
				k.later(k.o.Retry)
				return
			}
			k.exec()
		})
	}()
}

// settled tells whether nothing is going on that only this program can end: what the next one does not know of would
// never be answered.
func (k *supervisor) settled() bool {
	for _, h := range k.processes {
		if h.starting {
			return false
		}
	}
	m := k.m
	return k.forking == 0 && k.next == nil && m.peer != nil && (m.trial == nil || m.trial.committed)
}

func (k *supervisor) later(d time.Duration) {
	if k.replace.retry != nil {
		k.replace.retry.Stop()
	}
	k.replace.retry = k.after(d, k.replaceNext)
}

func (k *supervisor) openFiles() (all []*logfile.File) {
	for _, f := range k.files {
		all = append(all, f.File)
	}
	return all
}

func flushFiles(files []*logfile.File, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for _, f := range files {
		if err := f.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// exec replaces this program. It returns only when that was not possible, or not now: then everything goes on.
func (k *supervisor) exec() {
	if k.stopping != "" || k.m == nil || k.helpers[k.m.pid] == nil || !k.settled() { // while files were written
		k.later(time.Second)
		return
	}
	for _, h := range k.processes {
		h.out.halt()
	}
	for _, r := range k.m.readers {
		if r != nil {
			r.halt()
		}
	}
	k.peer.halt()
	s := k.save(true) // half lines wait from here on
	err := flushFiles(k.openFiles(), haltLimit)
	if err == nil {
		err = k.execNow(s)
	}
	k.logf("error", "replace the keeper: %v", err)
	for _, h := range k.processes {
		h.out.read(k.Server)
	}
	k.readMaster(k.m)
	k.peer.resume()
	k.later(k.o.Retry)
}

// execNow returns only with an error.
func (k *supervisor) execNow(s *saved) error {
	k.logf("info", "the keeper is replaced by that of %s", k.program)
	k.console.flush(haltLimit)
	k.manager.leave()
	failed := make(chan error)
	k.thread <- func() { failed <- k.execOnThread(s) } // the one that has forked all children: they end with it
	err := <-failed
	k.manager.watch()
	signal.Notify(k.signals, handled()...)
	for _, sig := range leaveGuard(s.Guard) {
		go k.post(func() { k.handle(sig) })
	}
	return err
}

func (k *supervisor) execOnThread(s *saved) error {
	s.Guard = startGuard()
	// What came before the guard may still be on its way through the runtime, where Ignore would lose it. Stop waits until
	// all of that is in its channels.
	all := make(chan os.Signal, 1)
	signal.Notify(all, handled()...)
	signal.Stop(all)
	if len(k.signals) > 0 {
		return errors.New("a signal came")
	}
	signal.Ignore(handled()...) // the runtime would end the program; the guard sees them nevertheless
	fd, err := s.file()
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	defer syscall.Close(fd)
	env := append(environ(), fmt.Sprintf("%s=%d", envState, fd))
	carried := append(s.descriptors(), fd)
	inherit(carried, true)
	err = syscall.Exec(k.program, os.Args, env)
	inherit(carried, false)
	runtime.KeepAlive(k)
	return fmt.Errorf("exec %s: %w", k.program, err)
}
