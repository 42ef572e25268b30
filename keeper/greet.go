//go:build unix

package keeper

import (
	"errors"
	"fmt"
	"syscall"
)

// hello answers Hello. A master whose program has another keeper is served, and the keeper replaces itself by that; one
// of another protocol is served by that.
func (k *supervisor) hello(p *peer, r Request) {
	m := k.m
	if m == nil {
		return // it has been killed
	}
	h := r.Hello
	m.hello = h
	k.arm(m)
	if h.Protocol != Protocol {
		if m.trial != nil || k.stopping != "" {
			err := fmt.Errorf("this keeper speaks protocol %d, the master %d", Protocol, h.Protocol)
			if m.trial != nil {
				m.trial.said = err.Error()
			}
			p.fail(r.ID, err)
			return
		}
		k.replace.unserved = &r
		k.wantReplaced(h.Part)
		return
	}
	k.welcome(p, Reply{ID: r.ID, Rejected: k.rejected, Candidate: m.trial != nil && !m.trial.committed})
	if k.stopping != "" {
		k.stopMaster()
	} else if h.Part != k.o.Part && m.trial == nil {
		k.wantReplaced(h.Part)
	}
	k.after(settleMemory, freeMemory)
}

// request carries out what a master says about itself.
func (k *supervisor) request(p *peer, r Request) error {
	m := k.m
	if m == nil || m.hello == nil {
		return errors.New("say hello first")
	}
	switch r.Op {
	case OpAlive:
		m.alive, k.served = true, true
		if m.trial == nil {
			k.rejected = ""
		}
		k.arm(m)
		if r.Health != nil && (m.trial == nil || m.trial.committed) {
			k.manager.status(r.Health.Text)
			if r.Health.Started {
				k.manager.started()
			}
		}
	case OpReloaded:
		k.manager.reloaded()
	case OpStop:
		k.stop(r.Trouble)
	case OpLeave:
		if m.trial != nil && !m.trial.committed { // it says why it cannot stay
			m.trial.said = r.Trouble
			break
		}
		m.left = true
		k.logf("info", "the master leaves and is started again: %s", r.Trouble)
	case OpTry:
		if err := k.try(r.Trial); err != nil {
			return err
		}
		k.logf("info", "the master leaves, and %s is tried in its place", r.Trial.Candidate)
	case OpReady:
		return k.ready(p, r)
	case OpStopped:
		k.stopped, k.served = true, false
		k.logf("info", "everything has ended: %s", r.Trouble)
	default:
		return fmt.Errorf("call %q: %w", r.Op, syscall.ENOSYS)
	}
	return nil
}
