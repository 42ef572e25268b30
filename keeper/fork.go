//go:build unix

package keeper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// fork is a child to start.
type fork struct {
	path   string
	args   []string
	env    []string
	dir    string
	files  []uintptr // 0, 1, 2 … of the child; closed when it has its own
	cgroup string
	// unwanted tells, from any goroutine, that nobody waits for it any more; nil: somebody does
	unwanted func() bool
	held     int // descriptor of the program, closed with files; 0: there is none
}

// hold opens a program that a process shows (/proc/<pid>/exe), before it waits for others: by the time of its fork that
// process may be gone, and another one may have its number.
func (f *fork) hold() error {
	if !strings.HasPrefix(f.path, "/proc/") {
		return nil
	}
	fd, err := openPath(f.path)
	if err != nil {
		return err
	}
	// Not /proc/self: in the child the numbers below that of the last file are taken.
	f.held, f.path = fd, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
	return nil
}

// fork hands a child to the locked thread; started is called by the loop. It reports false, and closes the files, when
// too many wait there.
func (s *Server) fork(f fork, started func(pid int, err error)) bool {
	job := func() {
		pid, err := 0, errGivenUp
		if f.unwanted == nil || !f.unwanted() {
			pid, err = f.start()
		}
		f.close()
		s.post(func() {
			s.forking--
			started(pid, err)
			s.reap() // it may have ended before it was known
		})
	}
	select {
	case s.thread <- job:
		s.forking++
		return true
	default:
		f.close()
		return false
	}
}

// work is what the one locked thread of the keeper does.
func work(jobs <-chan func()) {
	unignore()
	for f := range jobs {
		f()
	}
}

// close closes what was meant for the child.
func (f *fork) close() {
	for _, fd := range f.files {
		_ = syscall.Close(int(fd))
	}
	if f.held != 0 {
		_ = syscall.Close(f.held)
	}
}

func (f *fork) start() (int, error) {
	// Its group, to which signals go, is that of a session: in another PID namespace than that of the keeper's group, a
	// child that only led a group could start no session later.
	sys := &syscall.SysProcAttr{Setsid: true}
	closeCgroup, err := bornIn(sys, f.cgroup)
	if err != nil {
		return 0, err
	}
	defer closeCgroup()
	attr := &syscall.ProcAttr{Dir: f.dir, Env: f.env, Files: f.files, Sys: sys}
	pid, err := syscall.ForkExec(f.path, f.args, attr)
	for tries := 0; errors.Is(err, syscall.ETXTBSY) && tries < 20; tries++ {
		// "Text file busy": a process that was forked while the file was written still has it open for a moment.
		time.Sleep(10 * time.Millisecond)
		pid, err = syscall.ForkExec(f.path, f.args, attr)
	}
	return pid, err
}

// pipe returns a pipe whose reading end can wait with a deadline.
func pipe() (r *os.File, w int, err error) {
	var p [2]int
	syscall.ForkLock.RLock()
	if err := syscall.Pipe(p[:]); err != nil {
		syscall.ForkLock.RUnlock()
		return nil, 0, err
	}
	syscall.CloseOnExec(p[0])
	syscall.CloseOnExec(p[1])
	syscall.ForkLock.RUnlock()
	return pipeEnd(p[0]), p[1], nil
}

// pipeEnd makes the reading end of a pipe one that can wait with a deadline.
func pipeEnd(fd int) *os.File {
	_ = syscall.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), "pipe")
}

// duplicate returns another descriptor of the same file, which no child inherits.
func duplicate(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	own, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(own)
	}
	return own, err
}

// connPair returns the two ends of a connection.
func connPair() (a, b *net.UnixConn, err error) {
	x, y, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	if a, err = connOf(x, "master"); err != nil {
		_ = syscall.Close(y)
		return nil, nil, err
	}
	if b, err = connOf(y, "keeper"); err != nil {
		_ = a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

func socketPair() (ours, theirs int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, 0, err
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	return fds[0], fds[1], nil
}

// fill writes content to fd and goes back to its beginning.
func fill(fd int, content []byte) error {
	for len(content) > 0 {
		n, err := syscall.Write(fd, content)
		if err != nil && err != syscall.EINTR {
			return os.NewSyscallError("write", err)
		}
		content = content[max(n, 0):]
	}
	_, err := syscall.Seek(fd, 0, 0)
	return os.NewSyscallError("seek", err)
}
