//go:build unix

package keeper

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// candidate is a program that is tried in place of the master.
//
//	OpTry, the master ends ─► started ─OpReady─► ready ─stays up─► its keeper reads the state ─► renamed, answered
//	                             └── too late, ended, cannot read the state: killed, the program before is started again
type candidate struct {
	Trial
	ready     bool
	checking  bool
	committed bool
	id        uint64   // of OpReady
	tell      *os.File // of a plain one: where it hears that it is the program
	hear      *os.File
	heard     chan struct{} // closed when it says no more
	said      string        // why it ends, in its words
}

// envCandidate tells a master that it is a candidate of a version without a keeper. Its descriptors 3 and 4 lead to
// that.
const envCandidate = "BAETYL_MASTER_TRIAL"

// Words of a plain candidate and to it.
const (
	wordReady = "ready"
	wordGo    = "go"
	wordError = "error "
)

// maxWords is how many bytes a plain candidate may say.
const maxWords = 64 << 10

// try notes the candidate that follows the master.
func (k *supervisor) try(t *Trial) error {
	switch {
	case t == nil || !filepath.IsAbs(t.Candidate) || !filepath.IsAbs(t.Program) || t.Deadline <= 0:
		return errors.New("try a candidate: absolute paths and a deadline are needed")
	case k.stopping != "":
		return fmt.Errorf("try a candidate: everything is being stopped: %w", ErrStopping)
	case t.Plain && len(k.processes) > 0:
		return errors.New("try a candidate without a keeper: processes are held")
	}
	k.next, k.m.left, k.program = t, true, t.Program
	if t.Plain { // everything was stopped for it
		k.served = false
	}
	return nil
}

// tryOut watches the candidate m.
func (k *supervisor) tryOut(m *master) {
	c := m.trial
	k.after(c.Deadline, func() {
		if k.m == m && !c.ready {
			k.reject(m, fmt.Sprintf("it has not started the application within %s", c.Deadline))
		}
	})
	if m.plain {
		go k.listen(m) // ends with the pipe
	}
}

// preparePlain makes the pipes of a candidate without a keeper: it says words on 3 and hears on 4.
func (k *supervisor) preparePlain(m *master, f *fork) error {
	r, w, err := pipe()
	if err != nil {
		return err
	}
	m.trial.hear, m.trial.heard = r, make(chan struct{})
	f.files = append(f.files, uintptr(w))
	var p [2]int
	if err := syscall.Pipe(p[:]); err != nil {
		return err
	}
	syscall.CloseOnExec(p[0])
	syscall.CloseOnExec(p[1])
	m.trial.tell = os.NewFile(uintptr(p[1]), "to candidate")
	f.files = append(f.files, uintptr(p[0]))
	f.env = append(f.env, envCandidate+"=1")
	return nil
}

func (k *supervisor) listen(m *master) {
	defer close(m.trial.heard)
	said := &relay{to: writer(func(line []byte) {
		word := strings.TrimSpace(string(line))
		k.post(func() { k.word(m, word) })
	})}
	_ = said.copy(io.LimitReader(m.trial.hear, maxWords))
}

// writer is a function that takes lines.
type writer func(line []byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func (k *supervisor) word(m *master, word string) {
	if word == wordReady {
		k.isReady(m)
	} else if why, ok := strings.CutPrefix(word, wordError); ok {
		m.trial.said = why
	}
}

// isReady goes on when the candidate serves: it has to stay up.
func (k *supervisor) isReady(m *master) {
	if m.trial.ready {
		return
	}
	m.trial.ready = true
	k.after(m.trial.Healthy, func() {
		if k.m == m && k.helpers[m.pid] != nil && m.reason == "" && k.stopping == "" {
			k.commit(m)
		}
	})
}

// ready answers OpReady.
func (k *supervisor) ready(p *peer, r Request) error {
	switch m := k.m; {
	case m.trial != nil && !m.trial.committed:
		if m.trial.ready {
			return errors.New("this candidate is ready already")
		}
		m.trial.id = r.ID
		k.isReady(m)
		return errLater
	case k.self: // the version without a keeper has committed it, and is our parent from now on
		k.self = false
		k.program = strings.TrimSuffix(k.path, staged)
	}
	return nil
}

// staged is the suffix of a candidate's program.
const staged = ".new"

// commit makes the candidate the program.
func (k *supervisor) commit(m *master) {
	if m.plain || m.hello.Part == k.o.Part {
		k.rename(m)
		return
	}
	m.trial.checking = true
	k.check(m.trial.Candidate, func(err error) {
		m.trial.checking = false
		switch {
		case k.m != m || m.reason != "":
		case err != nil:
			k.reject(m, fmt.Sprintf("its keeper: %v", err))
		default:
			k.rename(m)
		}
	})
}

// rename is the one step after which the candidate is what starts. The disk may take its time.
func (k *supervisor) rename(m *master) {
	c := m.trial
	c.checking = true
	go func() { // ends with the disk
		err := os.Rename(c.Candidate, c.Program)
		var unsynced error
		if err == nil {
			unsynced = syncDir(filepath.Dir(c.Program))
		}
		k.post(func() { k.renamed(m, err, unsynced) })
	}()
}

func (k *supervisor) renamed(m *master, err, unsynced error) {
	c := m.trial
	c.checking = false
	if err != nil {
		k.reject(m, fmt.Sprintf("replace master: %v", err))
		return
	}
	if unsynced != nil {
		k.logf("warning", "the new master is in place, but a power cut now could bring the old one back: %v", unsynced)
	}
	c.committed = true
	m.program = c.Program
	k.logf("info", "the candidate is the master now")
	if m.plain {
		_, _ = io.WriteString(c.tell, wordGo+"\n") // fails when it has just ended
		return
	}
	if k.m != m {
		return
	}
	m.peer.reply(Reply{ID: c.id})
	if m.hello.Part != k.o.Part {
		k.wantReplaced(m.hello.Part)
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// reject ends the candidate. The program before is started when it has ended.
func (k *supervisor) reject(m *master, reason string) {
	if m.reason != "" || k.helpers[m.pid] == nil {
		return
	}
	m.reason = reason
	if !m.plain {
		_ = syscall.Kill(m.pid, syscall.SIGKILL)
		return
	}
	k.endPlain(m)
}

// endPlain ends a master without a keeper, which has services of its own.
func (k *supervisor) endPlain(m *master) {
	_ = syscall.Kill(m.pid, syscall.SIGTERM)
	k.after(k.grace+plainTimeout, func() {
		if k.helpers[m.pid] != nil {
			_ = syscall.Kill(m.pid, syscall.SIGKILL)
		}
	})
}

// plainTimeout is how long a master without a keeper may take to stop, beside the grace time of its services.
const plainTimeout = 20 * time.Second

// rejectedAs starts the program before again, and notes why for it.
func (k *supervisor) rejectedAs(m *master) {
	c := m.trial
	if c.checking { // it is decided when that has ended
		k.after(10*time.Millisecond, func() { k.rejectedAs(m) })
		return
	}
	if c.committed { // the rename came first
		k.crashed(m, "after it was committed")
		return
	}
	for _, f := range []*os.File{c.hear, c.tell} {
		if f != nil {
			_ = f.Close()
		}
	}
	k.rejected = cmp.Or(m.reason, c.said)
	if k.rejected == "" && c.ready {
		k.rejected = fmt.Sprintf("it did not stay up for %s", c.Healthy)
	} else if k.rejected == "" {
		k.rejected = "it ended before it had started the application"
	}
	k.logf("error", "the candidate is rejected: %s", k.rejected)
	k.failures = 0
	k.start(nil)
}
