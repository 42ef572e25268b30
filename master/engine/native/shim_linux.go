package native

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ShimArg is the first argument that makes this program a shim (see Shim).
const ShimArg = "native-shim"

// statusFD is where the shim writes why it cannot become the program; the program does not inherit it.
const statusFD = 3

// Shim runs at the start of a process with read-only mounts: it is this program, in a mount namespace of its own. It
// makes the sources read-only there and becomes the service's program. args are the read-only paths, "--", the program,
// and its arguments from arg[0] on; without a program the shim only tries to mount. It never returns.
//
//	master ──clone(CLONE_NEWNS)──► shim: bind each path on itself, read-only ──exec──► program, same pid
func Shim(args []string) {
	status := os.NewFile(statusFD, "status")
	syscall.CloseOnExec(statusFD)
	if err := shim(args); err != nil {
		_, _ = status.Write(failureOf(err).encode()) // there is no other place for an error
		os.Exit(1)
	}
	os.Exit(0)
}

// shimFailure is why a shim could not become the program, as it crosses the status pipe: the number, a space, the text.
type shimFailure struct {
	exec syscall.Errno // of execve(2); 0 when the shim failed before it
	text string
}

func failureOf(err error) shimFailure {
	f := shimFailure{text: err.Error()}
	var failed execError
	if errors.As(err, &failed) {
		f.exec = failed.Errno
	}
	return f
}

func (f shimFailure) encode() []byte { return fmt.Appendf(nil, "%d %s", int(f.exec), f.text) }

// decodeFailure reads what encode has written. What does not begin with a number, as the output of a
// runtime that crashed, is text.
func decodeFailure(data []byte) shimFailure {
	number, text, ok := strings.Cut(string(data), " ")
	if errno, err := strconv.ParseUint(number, 10, 16); ok && err == nil {
		return shimFailure{exec: syscall.Errno(errno), text: text}
	}
	return shimFailure{text: string(data)}
}

// Error is the text of the shim.
func (f shimFailure) Error() string { return f.text }

// Unwrap lets errors.Is find the number of execve(2), as when this process had started the program itself.
func (f shimFailure) Unwrap() error {
	if f.exec == 0 {
		return nil
	}
	return f.exec
}

// execError is a failure of execve(2) itself.
type execError struct {
	path string
	syscall.Errno
}

func (e execError) Error() string { return "exec " + e.path + ": " + e.Errno.Error() }

func shim(args []string) error {
	var paths []string
	for len(args) > 0 && args[0] != "--" {
		paths, args = append(paths, args[0]), args[1:]
	}
	// Later mounts of the host still appear here; mounts made here do not appear on the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("detach from the mounts of the host: %w", err)
	}
	for _, p := range paths {
		if err := bindReadOnly(p); err != nil {
			return fmt.Errorf("make %s read-only: %w", p, err)
		}
	}
	if len(args) < 3 {
		return nil
	}
	err := syscall.Exec(args[1], args[2:], os.Environ())
	var errno syscall.Errno
	if errors.As(err, &errno) { // always, except for an argument with a zero byte
		return execError{args[1], errno}
	}
	return fmt.Errorf("exec %s: %w", args[1], err)
}

func bindReadOnly(path string) error {
	if err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return err
	}
	// A remount replaces all flags, so pass those that are set; statfs(2) and mount(2) use the same values for them.
	const kept = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME
	return unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|uintptr(fs.Flags)&kept, "")
}

// shimProgram is this program, also after its file has been replaced.
const shimProgram = "/proc/self/exe"

// tryShim returns why this master cannot make paths read-only, nil when it can.
func tryShim(path string) error {
	if os.Geteuid() != 0 {
		return errors.New("the master does not run as root")
	}
	cmd := &exec.Cmd{Path: shimProgram, Args: []string{"baetyl", ShimArg, path}}
	if err := startShim(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// viaShim changes cmd, which is complete, so that it starts as a shim that makes paths read-only.
func viaShim(cmd *exec.Cmd, paths []string) {
	args := append([]string{"baetyl", ShimArg}, paths...)
	args = append(args, "--", cmd.Path)
	cmd.Path, cmd.Args = shimProgram, append(args, cmd.Args...)
}

// startShim starts a shim and returns when it has become the program, or why it could not.
func startShim(cmd *exec.Cmd) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{w} // statusFD
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNS
	err = cmd.Start()
	_ = w.Close() // the shim has its own
	if err != nil {
		return err
	}
	why, err := io.ReadAll(r) // ends when the shim ends or becomes the program
	if err == nil && len(why) == 0 {
		return nil
	}
	_ = cmd.Process.Kill() // fails when it has ended by itself
	_ = cmd.Wait()
	if err != nil {
		return fmt.Errorf("read why the shim could not start: %w", err)
	}
	return decodeFailure(why)
}
