//go:build unix

package keeper

import (
	"cmp"
	"fmt"
	"syscall"
	"time"
)

// masterEnded waits for its last words, of which one may be that it leaves.
func (k *supervisor) masterEnded(m *master, status syscall.WaitStatus) {
	if m.watch != nil {
		m.watch.Stop()
	}
	said := make(chan struct{})
	var read, heard <-chan struct{} = said, said // nothing to wait for
	close(said)
	if m.peer != nil {
		m.peer.dead = true // its number is free: /proc/<pid> may be another one's
		read = m.peer.read
	}
	if m.plain {
		heard = m.trial.heard
	}
	var shown []<-chan struct{} // what it has written, before a last line of this process says how it ended
	for _, r := range m.readers {
		if r != nil {
			shown = append(shown, r.done)
			time.AfterFunc(outputTimeout, func() { r.halt(); _ = r.pipe.Close() })
		}
	}
	go func() { // ends after outputTimeout
		await(lastWords, read, heard)
		await(outputTimeout, shown...)
		k.post(func() { k.gone(m, status) })
	}()
}

// await waits until all are closed, at most d in all.
func await(d time.Duration, all ...<-chan struct{}) {
	limit := time.After(d)
	for _, c := range all {
		select {
		case <-c:
		case <-limit:
			return
		}
	}
}

// lastWords is how long after the end of a master what it has said may still come.
const lastWords = 200 * time.Millisecond

// gone decides what follows a master.
func (k *supervisor) gone(m *master, status syscall.WaitStatus) {
	if k.m == m {
		k.m, k.replace.unserved = nil, nil // the next one asks itself
	}
	if k.peer == m.peer {
		k.detach()
	}
	k.manager.reloaded() // the next one reads it
	code, how := status.ExitStatus(), fmt.Sprintf("exit status %d", status.ExitStatus())
	if status.Signaled() {
		code, how = 128+int(status.Signal()), "signal "+status.Signal().String()
	}
	switch {
	case k.end != nil: // without it
	case k.stopped, k.stopping != "" && m.plain:
		k.finish(code)
	case k.stopping != "":
		k.goneUnstopped(m, code, how)
	case m.trial != nil && !m.trial.committed:
		k.rejectedAs(m)
	case m.plain, k.self:
		k.logf("info", "the master has ended: %s", how)
		k.finish(code)
	case k.next != nil:
		c := &candidate{Trial: *k.next}
		k.next, k.failures = nil, 0
		k.start(c)
	case m.left:
		k.failures = 0
		k.start(nil)
	case !m.alive && !k.served && status.Exited() && len(k.processes) == 0:
		// This is the first start, which says why by its status.
		k.finish(code)
	default:
		k.crashed(m, how)
	}
}

// goneUnstopped goes on when a master has ended while everything is to stop, and has not said that it has stopped it.
// Only a master knows the order, the signals and the times: one more gets the chance.
func (k *supervisor) goneUnstopped(m *master, code int, how string) {
	switch {
	case !k.mayLeave():
		if m.hello == nil && code >= 128 { // by stopMaster
			code = 0
		}
		k.finish(code)
	case !k.last && !k.self:
		k.logf("warning", "the master has ended (%s) before everything was stopped: one more is started for that", how)
		k.start(nil)
	default:
		k.logf("error", "the master has ended (%s) before everything was stopped: it is ended without order", how)
		k.finish(cmp.Or(code, 1))
	}
}

// mayLeave tells whether there may be something that only a master can stop in order.
func (k *supervisor) mayLeave() bool {
	if k.served {
		return true
	}
	for _, h := range k.processes {
		if h.End == nil || h.populated() {
			return true
		}
	}
	return false
}

// crashed starts the master again: at once, and later when it goes on crashing.
func (k *supervisor) crashed(m *master, how string) {
	if time.Since(m.started) >= k.o.Settled {
		k.failures = 0
	}
	wait := backoff(k.failures)
	k.failures++
	k.logf("error", "the master has crashed (%s) and is started again in %s; %d processes run on", how, wait,
		len(k.processes))
	k.manager.status(fmt.Sprintf("the master has crashed (%s) and is started again", how))
	if wait == 0 {
		k.start(nil)
		return
	}
	k.again = k.after(wait, func() { k.start(nil) })
}

// backoff is how long to wait after a crash, with n crashes before it.
func backoff(n int) time.Duration {
	if n == 0 {
		return 0
	}
	return min(100*time.Millisecond<<min(n-1, 10), 5*time.Second)
}
