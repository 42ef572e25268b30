//go:build unix

package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/utils/logfile"
)

// process is one that the keeper holds.
//
//	starting ─► runs ─leader ends─► its group is cleared ─► output is read to its end ─► reaped, EventEnded ─► released
//
// Its leader stays a zombie until the group is empty: until then no other process can get its pid, and a signal to the
// group reaches nobody else.
type process struct {
	Process
	out       *output
	starting  bool               // Start has not been answered
	unwanted  atomic.Bool        // its master has given it up, or is gone, before it was answered
	failed    bool               // it could not become its program, and is forgotten when it has ended
	dead      bool               // the leader is a zombie, its group is being cleared
	deadAt    time.Time          // when that was noticed
	cleared   bool               // its group is empty
	grace     time.Duration      // 0: that of Hello
	cgroups   []string           // folders of those that are its own
	status    syscall.WaitStatus //nolint:unused // reap_other.go: a leader cannot stay a zombie there
	signalled atomic.Bool        // the master has sent a signal: it is ending this process itself
	killed    atomic.Bool        // with SIGKILL
}

const (
	orphanGrace    = 2 * time.Second       // for SIGTERM to end what a process left in its group
	orphanInterval = 20 * time.Millisecond // between checks of the group
	killTimeout    = 5 * time.Second       // for SIGKILL to work; a process that waits for a broken device ignores it
	outputTimeout  = time.Second           // for the output, when a stranger still holds the pipe
	maxExplanation = 64 << 10              // bytes that a program says on descriptor 4
)

// start starts a process. It is answered when the program runs.
func (s *Server) start(p *peer, id uint64, spec Spec) error {
	switch {
	case spec.Handle == "":
		return errors.New("start a process: it has no handle")
	case s.processes[spec.Handle] != nil:
		return fmt.Errorf("start %s: the handle is in use", spec.Handle)
	case p.dead:
		return fmt.Errorf("start %s: the master that asked for it is gone", spec.Handle)
	case !filepath.IsAbs(spec.Path) || !filepath.IsAbs(spec.Dir) || len(spec.Args) == 0:
		return fmt.Errorf("start %s: absolute paths and arguments are needed", spec.Handle)
	}
	h := &process{Process: Process{Handle: spec.Handle}, starting: true, grace: spec.Grace, cgroups: spec.Cgroups}
	f := fork{
		path: spec.Path, args: spec.Args, env: spec.Env, dir: spec.Dir, cgroup: spec.Cgroup, unwanted: h.unwanted.Load,
	}
	if spec.Cgroup != "" {
		h.cgroups = append([]string{spec.Cgroup}, h.cgroups...)
	}
	if err := f.hold(); err != nil {
		return fmt.Errorf("start %s: %w", spec.Handle, err)
	}
	explained, err := h.prepare(s, &f, spec)
	if err != nil {
		return fmt.Errorf("start %s: %w", spec.Handle, err)
	}
	started := func(pid int, err error) {
		h.PID, h.Started = pid, time.Now()
		s.startedAs(p, id, h, explained, err)
	}
	if !s.fork(f, started) {
		return fmt.Errorf("start %s: too many processes are starting", spec.Handle)
	}
	s.processes[spec.Handle] = h
	return errLater
}

// prepare makes what the child gets: its descriptors, and the pipes that the keeper reads.
func (h *process) prepare(s *Server, f *fork, spec Spec) (explained *os.File, err error) {
	var mine []*os.File
	fail := func(err error) (*os.File, error) {
		f.close()
		for _, r := range mine {
			_ = r.Close()
		}
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fail(err)
	}
	defer null.Close()
	in, err := duplicate(int(null.Fd()))
	if err != nil {
		return fail(err)
	}
	f.files = []uintptr{uintptr(in)}
	pipes := 2
	if spec.Launch != nil {
		pipes = 3
	}
	for i := range pipes {
		if i == 2 {
			fd, err := sealed("launch", spec.Launch)
			if err != nil {
				return fail(err)
			}
			f.files = append(f.files, uintptr(fd))
		}
		r, w, err := pipe()
		if err != nil {
			return fail(err)
		}
		f.files, mine = append(f.files, uintptr(w)), append(mine, r)
	}
	for _, name := range spec.Kept {
		fd, err := s.inherited(name)
		if err != nil {
			return fail(err)
		}
		f.files = append(f.files, uintptr(fd))
	}
	h.out = s.newOutput(spec.Output, logfile.State{}, [2]*os.File{mine[0], mine[1]}, func() { s.drain(h) })
	if pipes == 3 {
		explained = mine[2]
	}
	return explained, nil
}

// startedAs goes on when the child was forked, or was not.
func (s *Server) startedAs(p *peer, id uint64, h *process, explained *os.File, err error) {
	if err != nil || explained == nil {
		if explained != nil {
			_ = explained.Close()
		}
		s.answerStart(p, id, h, err)
		return
	}
	go func() { // ends when the program is executed, or has ended
		text, _ := io.ReadAll(io.LimitReader(explained, maxExplanation))
		_ = explained.Close()
		s.post(func() { s.answerStart(p, id, h, explanation(string(text))) })
	}()
}

// explanation is the error in what a program wrote on descriptor 4: the number of execve(2) or 0, a space, and the
// text. Anything else is text. "ok" alone is none; nothing at all is an end before exec, as by a limit that is too low.
func explanation(text string) error {
	text, ready := strings.CutPrefix(strings.TrimSpace(text), "ok")
	text = strings.TrimSpace(text)
	switch {
	case text == "" && ready:
		return nil
	case text == "":
		return errors.New("it ended before it became its program")
	}
	number, said, _ := strings.Cut(text, " ")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return errors.New(text)
	}
	return &callError{said, syscall.Errno(n)}
}

// answerStart answers OpStart. What could not become its program is forgotten when it has ended.
func (s *Server) answerStart(p *peer, id uint64, h *process, err error) {
	h.starting = false
	if err == nil && h.unwanted.Load() {
		err = errGivenUp
		h.signal(syscall.SIGKILL)
	}
	switch {
	case err != nil:
		h.failed = true
		if h.PID == 0 || h.End != nil {
			s.forget(h)
		}
		p.fail(id, fmt.Errorf("start %s: %w", h.Handle, err))
	default:
		running := h.Process
		running.End = nil
		p.reply(Reply{ID: id, Processes: []Process{running}})
		if h.End != nil {
			s.tell(h)
		}
	}
	s.quiet()
}

// errGivenUp is the error of a start that nobody waits for any more.
var errGivenUp = errors.New("it was given up before it was answered")

// signal sends sig to the group of a process. One that starts is given up by that, also before it is forked.
func (s *Server) signal(handle string, sig int) error {
	h := s.processes[handle]
	if h == nil {
		return unknown(handle)
	}
	if h.starting && sig != 0 {
		if h.unwanted.Store(true); h.PID == 0 {
			return nil
		}
	}
	if h.PID == 0 || h.End != nil {
		return fmt.Errorf("signal %s: %w", handle, syscall.ESRCH)
	}
	h.signalled.Store(true)
	if sig == int(syscall.SIGKILL) {
		h.killed.Store(true)
	}
	if err := syscall.Kill(-h.PID, syscall.Signal(sig)); err != nil {
		return fmt.Errorf("signal %s: %w", handle, err)
	}
	return nil
}

// release forgets a process that has ended. One that starts is given up, and forgotten when nothing of it is left.
func (s *Server) release(handle string) error {
	h := s.processes[handle]
	switch {
	case h == nil:
		return unknown(handle)
	case h.starting:
		h.unwanted.Store(true)
		return nil
	case h.failed: // is forgotten
		return nil
	case h.End == nil:
		return fmt.Errorf("release %s: it runs", handle)
	}
	s.forget(h)
	return nil
}

func (s *Server) forget(h *process) {
	delete(s.processes, h.Handle)
	s.leave(h.out.file)
	s.quiet()
}

// tell tells the master how a process ended.
func (s *Server) tell(h *process) {
	if s.peer != nil {
		s.peer.send(Event{Kind: EventEnded, Handle: h.Handle, End: h.End}, nil)
	}
}
