//go:build unix

package keeper

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Server is the holding side. Its loop is the only goroutine that reads and changes it, but for what says otherwise.
//
//	connection, output, signals, timers, the forking thread ─► calls ─► loop
type Server struct {
	log    func(level, format string, args ...any)
	orphan bool // whether children that it has not started are reaped too

	calls chan func()   // to the loop; whoever posts waits for it
	ended chan struct{} // closed when the loop has ended
	over  bool          // the loop ends after this call
	// thread takes work to the locked thread, which ends when it is closed. When it is full no more is started: all of it
	// waits for a program that cannot be executed.
	thread   chan func()
	children chan os.Signal // holds one: children have ended. One round of reap finds them all, so that is enough
	signals  chan os.Signal // others; nil: none

	processes map[string]*process
	kept      map[string]int                   // descriptors, by name
	files     map[string]*sharedFile           // by path
	helpers   map[int]func(syscall.WaitStatus) // other children, and who learns how they ended
	forking   int                              // forks that are going on
	grace     time.Duration                    // of Hello; that a group has after SIGTERM
	peer      *peer                            // the connection to the master; nil: there is none

	greet    func(p *peer, r Request)       // answers Hello
	other    func(p *peer, r Request) error // calls that are about the master itself
	onSignal func(os.Signal)
	first    func() // before anything else
	quiet    func() // after something that was waited for has ended: a start, a process
}

func newServer(orphan bool, log func(level, format string, args ...any)) *Server {
	s := &Server{
		log: log, orphan: orphan,
		calls: make(chan func()), ended: make(chan struct{}),
		thread: make(chan func(), maxStarts), children: make(chan os.Signal, 1),
		processes: map[string]*process{}, kept: map[string]int{}, files: map[string]*sharedFile{},
		helpers: map[int]func(syscall.WaitStatus){},
		grace:   defaultGrace,
		other:   func(*peer, Request) error { return nil },
		quiet:   func() {},
		first:   func() {},
	}
	s.greet = func(p *peer, r Request) { s.welcome(p, Reply{ID: r.ID}) }
	return s
}

// maxStarts is how many processes may wait for being forked.
const maxStarts = 1000

// defaultGrace is that of a Hello that names none.
const defaultGrace = 30 * time.Second

// post hands f to the loop. It reports false when that has ended.
func (s *Server) post(f func()) bool {
	select {
	case s.calls <- f:
		return true
	case <-s.ended:
		return false
	}
}

// after posts f after d. The timer ends with the returned function, or with the loop.
func (s *Server) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { s.post(f) })
}

// loop runs until over is set.
func (s *Server) loop() {
	defer close(s.ended)
	signal.Notify(s.children, syscall.SIGCHLD)
	defer signal.Stop(s.children)
	s.first()
	for !s.over {
		select {
		case f := <-s.calls:
			f()
		case <-s.children:
			s.reap()
		case sig := <-s.signals:
			s.onSignal(sig)
		}
	}
}

func (s *Server) setGrace(d time.Duration) {
	if s.grace = d; d <= 0 {
		s.grace = defaultGrace
	}
}

// graceOf is the time that h has after SIGTERM.
func (s *Server) graceOf(h *process) time.Duration { return cmp.Or(max(h.grace, 0), s.grace) }

// call carries out a request that does not wait. The error is that of the answer.
func (s *Server) call(p *peer, r Request, files []int) error {
	switch r.Op {
	case OpHello:
		if r.Hello == nil {
			return errFrame
		}
		s.setGrace(r.Hello.Grace)
		s.greet(p, r)
		return errLater
	case OpStart:
		if r.Spec == nil {
			return errFrame
		}
		return s.start(p, r.ID, *r.Spec)
	case OpSignal:
		return s.signal(r.Handle, r.Signal)
	case OpTail:
		h := s.processes[r.Handle]
		if h == nil {
			return unknown(r.Handle)
		}
		p.reply(Reply{ID: r.ID, Lines: h.out.lines.Tail()})
		return errLater
	case OpRelease:
		return s.release(r.Handle)
	case OpKeep:
		return s.keep(r.Handle, files)
	}
	return s.other(p, r)
}

// errLater tells that the answer is given elsewhere.
var errLater = errors.New("answered later")

func unknown(handle string) error { return fmt.Errorf("process %s is not known", handle) }

// welcome answers Hello with what is held, and its descriptors.
func (s *Server) welcome(p *peer, r Reply) {
	for _, h := range s.processes {
		if !h.starting && !h.failed { // whose end nobody is told
			r.Processes = append(r.Processes, h.Process)
		}
	}
	var files []int
	for name, fd := range s.kept {
		own, err := duplicate(fd)
		if err != nil {
			s.log("error", "pass %s to the master: %v", name, err)
			continue
		}
		r.Kept, files = append(r.Kept, name), append(files, own)
	}
	p.send(r, files)
}

// inherited returns a copy of a kept descriptor for a child.
func (s *Server) inherited(name string) (int, error) {
	fd, ok := s.kept[name]
	if !ok {
		return 0, fmt.Errorf("pass %s to the program: it is not kept", name)
	}
	own, err := duplicate(fd)
	if err != nil {
		return 0, fmt.Errorf("pass %s to the program: %w", name, err)
	}
	return own, nil
}

// closeKept closes what is held for the next master.
func (s *Server) closeKept() {
	for _, fd := range s.kept {
		letGo(fd)
	}
	clear(s.kept)
}

// letGo closes a kept descriptor beside the loop: who has made it may have made it one whose close waits (SO_LINGER).
func letGo(fd int) {
	go func() { _ = syscall.Close(fd) }()
}

// keep holds a descriptor, in place of that before.
func (s *Server) keep(name string, files []int) error {
	old, known := s.kept[name]
	if len(files) > 1 || len(files) == 1 && !known && len(s.kept) >= maxFiles {
		return fmt.Errorf("keep %s: too many descriptors", name)
	}
	if known {
		letGo(old)
		delete(s.kept, name)
	}
	if len(files) == 1 {
		own, err := duplicate(files[0])
		if err != nil {
			return fmt.Errorf("keep %s: %w", name, err)
		}
		s.kept[name] = own
	}
	return nil
}
