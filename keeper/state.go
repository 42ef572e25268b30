//go:build unix

package keeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/utils/logfile"
)

// stateVersion is that of saved. Fields may be added; what a version before cannot do without needs another one.
const stateVersion = 1

// saved is what a keeper hands to the one that replaces it by exec: descriptors keep their numbers.
type saved struct {
	Version   int
	Program   string // of the master
	Processes []savedProcess
	Kept      map[string]int
	Grace     time.Duration
	Failures  int
	Served    bool
	Rejected  string
	Replaced  string // digest of the last keeper that was executed
	Master    *savedMaster
	Ready     bool   // as the manager of services was told
	Guard     [2]int // descriptors to and from what keeps signals; -1: nothing does
}

type savedProcess struct {
	Process
	Output    Output
	Lines     logfile.State
	Pipes     [2]int // -1: it has ended
	Signalled bool
	Failed    bool
	Grace     time.Duration
	Cgroups   []string
}

type savedMaster struct {
	PID     int
	Program string
	Started time.Time
	Hello   *Hello
	Alive   bool
	Left    bool
	Conn    int
	Unread  []byte
	Files   []int // received with Unread
	Unsent  []savedFrame
	Pipes   [2]int
	Half    [2][]byte
}

type savedFrame struct {
	Bytes []byte
	Files []int
}

// decodeState reads a state, also that of another version of this program.
func decodeState(text []byte) (*saved, error) {
	var s saved
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("read state: version %d is not known, only %d", s.Version, stateVersion)
	}
	handles := map[string]bool{}
	for _, p := range s.Processes {
		if p.Handle == "" || p.PID <= 0 || handles[p.Handle] {
			return nil, errors.New("read state: a process without a handle or number")
		}
		handles[p.Handle] = true
	}
	if s.Master != nil && s.Master.PID <= 0 {
		return nil, errors.New("read state: a master without a number")
	}
	return &s, nil
}

// save returns the state. The readers and the connection are halted, unless it is only to be looked at.
func (k *supervisor) save(halted bool) *saved {
	out := &saved{
		Version: stateVersion, Program: k.program, Kept: k.kept, Grace: k.grace, Failures: k.failures, Served: k.served,
		Rejected: k.rejected, Replaced: k.replace.part,
		Ready: k.manager.want.phase != isStarting,
	}
	for _, h := range k.processes {
		if h.PID == 0 { // is being forked; there is none of them at an exec
			continue
		}
		p := savedProcess{
			Process: h.Process, Output: h.out.Output, Signalled: h.signalled.Load(), Failed: h.failed, Pipes: [2]int{-1, -1},
			Grace: h.grace, Cgroups: h.cgroups,
		}
		for i, r := range h.out.readers {
			if r != nil {
				p.Pipes[i] = number(r.pipe)
			}
		}
		if halted {
			p.Lines = h.out.lines.State()
		}
		out.Processes = append(out.Processes, p)
	}
	if m := k.m; m != nil {
		s := &savedMaster{
			PID: m.pid, Program: m.program, Started: m.started, Hello: m.hello, Alive: m.alive, Left: m.left,
			Pipes: [2]int{-1, -1}, Conn: -1,
		}
		if halted {
			for i, r := range m.readers {
				if r != nil && !r.end {
					s.Pipes[i], s.Half[i] = number(r.pipe), m.relays[i].half
				}
			}
			k.savePeer(m, s)
		}
		out.Master = s
	}
	return out
}

func (k *supervisor) savePeer(m *master, s *savedMaster) {
	s.Conn = number(m.peer.conn)
	if r := k.replace.unserved; r != nil { // the next keeper reads it again
		s.Hello = nil
		if frame, err := encode(r, 0); err == nil {
			s.Unread = frame
		}
	}
	s.Unread, s.Files = append(s.Unread, m.peer.in.bytes...), m.peer.in.files
	for _, o := range m.peer.queue {
		s.Unsent = append(s.Unsent, savedFrame{o.bytes, o.files})
	}
}

// number is that of a descriptor, whose owner has to live on. Fd would make it a blocking one.
func number(f syscall.Conn) int {
	n := -1
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

// descriptors are those that have to go over the exec.
func (s *saved) descriptors() (all []int) {
	for _, p := range s.Processes {
		all = append(all, p.Pipes[:]...)
	}
	for _, fd := range s.Kept {
		all = append(all, fd)
	}
	if m := s.Master; m != nil {
		all = append(append(append(all, m.Conn), m.Files...), m.Pipes[:]...)
		for _, f := range m.Unsent {
			all = append(all, f.Files...)
		}
	}
	return append(all, s.Guard[:]...)
}

// inherit lets the descriptors go over an exec, or no more.
func inherit(all []int, yes bool) {
	flag := unix.FD_CLOEXEC
	if yes {
		flag = 0
	}
	for _, fd := range all {
		if fd >= 0 {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag)
		}
	}
}

// file writes the state to a file without a name, and reads it back.
func (s *saved) file() (fd int, err error) {
	text, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	if fd, err = sealed("state", text); err != nil {
		return 0, err
	}
	back, err := readState(fd)
	if err == nil && !bytes.Equal(back, text) {
		err = errors.New("the state is not what was written")
	}
	if err != nil {
		_ = syscall.Close(fd)
		return 0, err
	}
	return fd, nil
}

// readState reads the file fd from its beginning, and leaves it there.
func readState(fd int) ([]byte, error) {
	own, err := duplicate(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "state")
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return text, err
}

// restore takes over what the keeper before held.
func (k *supervisor) restore(s *saved) {
	k.program, k.kept, k.failures, k.rejected, k.replace.part = s.Program, s.Kept, s.Failures, s.Rejected, s.Replaced
	k.served = s.Served || s.Master != nil && s.Master.Alive
	k.setGrace(s.Grace)
	if k.kept == nil {
		k.kept = map[string]int{}
	}
	for _, p := range s.Processes {
		h := &process{Process: p.Process, failed: p.Failed, grace: p.Grace, cgroups: p.Cgroups}
		h.signalled.Store(p.Signalled)
		var pipes [2]*os.File
		for i, fd := range p.Pipes {
			if fd >= 0 {
				pipes[i] = pipeEnd(fd)
			}
		}
		k.processes[h.Handle] = h
		h.out = k.newOutput(p.Output, p.Lines, pipes, func() { k.drain(h) })
	}
	if s.Master != nil {
		k.restoreMaster(s.Master)
	}
}

func (k *supervisor) restoreMaster(s *savedMaster) {
	m := &master{pid: s.PID, program: s.Program, started: s.Started, hello: s.Hello, alive: s.Alive, left: s.Left}
	k.m = m
	k.helpers[m.pid] = func(status syscall.WaitStatus) { k.masterEnded(m, status) }
	for i, fd := range s.Pipes {
		to := []*relay{{to: k.console.out, half: s.Half[0]}, {to: k.console.err, half: s.Half[1]}}[i]
		if fd >= 0 {
			m.relays[i], m.readers[i] = to, &reader{pipe: pipeEnd(fd), copy: to.copy}
		}
	}
	k.readMaster(m)
	conn, err := connOf(s.Conn, "master")
	if err != nil {
		k.logf("error", "take over the connection to the master, which is started again: %v", err)
		_ = syscall.Kill(m.pid, syscall.SIGKILL)
		return
	}
	unsent := make([]outgoing, 0, len(s.Unsent))
	for _, f := range s.Unsent {
		unsent = append(unsent, outgoing{f.Bytes, f.Files})
	}
	m.peer = newPeer(k.Server, conn, incoming{conn: conn, bytes: s.Unread, files: s.Files}, unsent)
	k.peer = m.peer
	k.arm(m)
}
