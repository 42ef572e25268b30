package docker

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// task is what /proc says of a process.
type task struct {
	pid, parent, session int
	state                byte
	started              string // clock ticks after boot
}

// parseTask reads /proc/<pid>/stat (proc_pid_stat(5)).
func parseTask(pid int, stat []byte) (t task, ok bool) {
	// The name in parentheses may hold anything; the last ')' ends it. State, parent, group and session follow.
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return t, false
	}
	parent, err := strconv.Atoi(string(f[1]))
	session, failed := strconv.Atoi(string(f[3]))
	found := task{pid: pid, parent: parent, session: session, state: f[0][0], started: string(f[19])}
	return found, err == nil && failed == nil
}

func (t task) lives() bool { return t.state != 'Z' && t.state != 'X' }

func readTask(pid int) (task, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return task{}, false
	}
	return parseTask(pid, stat)
}

// ended tells whether there is no such process any more.
func ended(pid int) bool {
	t, ok := readTask(pid)
	return !ok || !t.lives()
}

// isMarked tells whether a process was started with a variable that begins so.
func isMarked(pid int, mark string) bool {
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	return err == nil && (bytes.HasPrefix(environ, []byte(mark)) || bytes.Contains(environ, []byte("\x00"+mark)))
}

// marked are the processes with the mark, and those that come from them: their children, and their sessions.
func marked(mark string) (out []task) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what could be read counts
	var all []task
	belongs, sessions := map[int]bool{}, map[int]bool{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		t, ok := readTask(pid)
		if !ok || !t.lives() {
			continue
		}
		all = append(all, t)
		if isMarked(pid, mark) {
			belongs[pid] = true
			sessions[t.session] = sessions[t.session] || t.session == pid
		}
	}
	for grown := true; grown; {
		grown = false
		for _, t := range all {
			if !belongs[t.pid] && (belongs[t.parent] || sessions[t.session]) {
				belongs[t.pid], grown = true, true
			}
		}
	}
	for _, t := range all {
		if belongs[t.pid] {
			out = append(out, t)
		}
	}
	return out
}

// endMarked kills what belongs to a command, and tells whether there was something.
func endMarked(mark string) bool {
	left := marked(mark)
	for _, t := range left {
		_ = killHeld(t) // an error means that it has ended
	}
	return len(left) > 0
}

// killHeld kills a process that is still one of those that were found: between the two another one may have got its
// number.
func killHeld(t task) error {
	fd, err := unix.PidfdOpen(t.pid, 0)
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.3
		return syscall.Kill(t.pid, syscall.SIGKILL)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if now, ok := readTask(t.pid); !ok || now.started != t.started {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, syscall.SIGKILL, nil, 0)
}

// signalMarked sends sig to the process group that the command leads, and tells whether it is the command already.
func signalMarked(pid int, mark string, sig syscall.Signal) bool {
	if !isMarked(pid, mark) {
		return false
	}
	_ = syscall.Kill(-pid, sig) // as above
	return true
}
