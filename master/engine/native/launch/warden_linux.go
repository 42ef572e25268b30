package launch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/keeper/members"
)

const (
	wardLimit = 5 * time.Second      // for SIGKILL to work; a process that waits for a broken device ignores it
	wardStep  = 2 * time.Millisecond // between looks at what is left
)

func ward() Result {
	runtime.LockOSThread() // the death signal of the command belongs to the thread that forks
	for fd := orderFD; fd < wardJoin+MaxJoin; fd++ {
		syscall.CloseOnExec(fd)
	}
	order, err := readOrder()
	if err != nil {
		return Result{Failed: err.Error()}
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return Result{Failed: fmt.Sprintf("adopt what the command leaves: %v", err)}
	}
	c := &charge{ended: make(chan struct{}), alone: make(chan struct{})}
	said, err := c.start(order.Spec)
	if err != nil {
		return Result{Failed: err.Error()}
	}
	over := make(chan struct{})
	go c.listen(over)
	go c.reap() // ends with the last child; until then this process does not end either, unless endAll gives up
	select {
	case <-c.ended:
	case <-over:
	}
	left := c.endAll(order.Cgroups)
	if left != nil {
		return Result{Failed: left.Error()}
	}
	why, _ := io.ReadAll(said) // its writers have ended
	return result(why, c.status)
}

// result says how the command has ended. why is what the shim has said.
func result(why []byte, status syscall.WaitStatus) (r Result) {
	why, began := bytes.CutPrefix(why, []byte(ready))
	switch {
	case len(why) > 0:
		number, text, _ := bytes.Cut(why, []byte(" "))
		n, _ := strconv.Atoi(string(number)) // leaves 0
		r.Errno, r.Failed = syscall.Errno(n), string(text)
	case !began:
		r.Failed = "it ended before it became the program; the limits of the instance may be too low for one more process"
	case status.Signaled():
		r.Status = 128 + int(status.Signal())
	default:
		r.Status = max(status.ExitStatus(), 0)
	}
	return r
}

func readOrder() (o Order, err error) {
	file := os.NewFile(orderFD, "order")
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, 2*maxSpec))
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		return o, fmt.Errorf("read what to run: %w", err)
	}
	return o, o.Spec.validate()
}

// charge is the child of a warden, with all that it starts.
type charge struct {
	pid int

	mu     sync.Mutex // held when it is reaped, and when it is signalled
	reaped bool
	status syscall.WaitStatus // written before ended is closed

	ended chan struct{} // closed by reap: the command has ended
	alone chan struct{} // closed by reap: nothing of it is left
}

// start forks the shim, and gives away what is the command's. said is what the shim says.
func (c *charge) start(s Spec) (said *os.File, err error) {
	s.Keeper = os.Getpid()
	data, err := s.Encode()
	if err != nil {
		return nil, err
	}
	spec, err := unix.MemfdCreate("launch", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if _, err := unix.Write(spec, data); err != nil {
		return nil, err
	}
	said, status, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	files := []uintptr{0, 1, 2, uintptr(spec), status.Fd()}
	for i := range s.Join {
		files = append(files, uintptr(wardJoin+i))
	}
	attr := &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: files, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	}
	c.pid, err = syscall.ForkExec("/proc/self/exe", []string{"baetyl", Arg}, attr)
	if err != nil {
		return nil, fmt.Errorf("fork: %w", err)
	}
	_, _ = unix.Close(spec), status.Close()
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	for fd := range orderFD { // their ends have to be seen on the other side
		if err == nil {
			_ = unix.Dup3(null, fd, unix.O_CLOEXEC)
		} else {
			_ = unix.Close(fd)
		}
	}
	for i := range s.Join {
		_ = unix.Close(wardJoin + i)
	}
	return said, nil
}

// listen passes signals on, and closes over when nobody wants the command any more.
func (c *charge) listen(over chan<- struct{}) {
	control := os.NewFile(controlFD, "control")
	buf := make([]byte, 16)
	for {
		n, err := control.Read(buf)
		for _, b := range buf[:n] {
			c.signal(syscall.Signal(b))
		}
		if err != nil {
			close(over)
			return
		}
	}
}

// signal sends sig to the process group of the command, and to the command itself until it leads one.
func (c *charge) signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return
	}
	if err := syscall.Kill(-c.pid, sig); errors.Is(err, syscall.ESRCH) {
		_ = syscall.Kill(c.pid, sig)
	}
}

// reap takes the ends of the command and of what it has left to this process, until there is nothing any more.
func (c *charge) reap() {
	defer close(c.alone)
	for {
		// WNOWAIT: the number of a zombie is nobody else's, so a signal cannot reach a stranger.
		pid, err := peek()
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil: // no child
			return
		}
		var status syscall.WaitStatus
		c.mu.Lock()
		_, _ = syscall.Wait4(pid, &status, 0, nil) // it has ended
		if pid == c.pid {
			c.reaped, c.status = true, status
			close(c.ended)
		}
		c.mu.Unlock()
	}
}

// peek waits until a child has ended, and leaves it a zombie.
func peek() (pid int, err error) {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		return 0, err
	}
	// si_pid is the first field of the union, which is aligned to a pointer (sigaction(2)).
	const head = 3 * unsafe.Sizeof(int32(0))
	const align = unsafe.Sizeof(uintptr(0))
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), (head+align-1)/align*align))), nil
}

// endAll kills what the command has started, whatever session it is in. What it kills leaves its own children to this
// process, as every end does here: so a round for each generation finds all, and only children are killed, whose
// numbers are nobody else's. What forks faster than that is ended by its cgroup.
func (c *charge) endAll(cgroups []string) error {
	for deadline := time.After(wardLimit); ; {
		for _, path := range cgroups {
			members.Close(path)
			_ = members.Signal(path, syscall.SIGKILL) // an error means that they have ended
		}
		c.mu.Lock()
		left := children(os.Getpid())
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		c.mu.Unlock()
		select {
		case <-c.alone:
			return nil
		case <-deadline:
			return fmt.Errorf("processes of the command cannot be killed and keep running: %v", left)
		case <-time.After(wardStep):
		}
	}
}

// children are the living ones of a process.
func children(of int) (pids []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what could be read counts
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err == nil && livesBelow(stat, of) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// livesBelow tells whether /proc/<pid>/stat (proc_pid_stat(5)) is of a living child of parent.
func livesBelow(stat []byte, parent int) bool {
	// The name in parentheses may hold anything; the last ')' ends it. State and parent follow.
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 2 || len(f[0]) != 1 || f[0][0] == 'Z' || f[0][0] == 'X' {
		return false
	}
	n, err := strconv.Atoi(string(f[1]))
	return err == nil && n == parent
}
