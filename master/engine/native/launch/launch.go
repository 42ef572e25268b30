//go:build unix

// Package launch is what a native service's process does before it becomes the service's program: it takes off what it
// inherited from the master and its keeper, and what a service has no need of. It is called the shim.
//
//	keeper ──fork, exec──► baetyl native-shim ──────────────────────────────────────────────exec──► program, same pid
//	           fd 3: Spec    dies with the keeper · session · oom score · cgroups
//	           fd 4: why     own mounts: /tmp, read-only, bound, hidden, /proc
//	                 not     groups, user, capabilities, no_new_privs · limits, umask, descriptors, signals
//
// A step that fails ends the process, and descriptor 4 says which one: no program runs half protected.
//
// All of it happens on one thread, which is the one that calls exec: mounts, users and capabilities belong to threads.
package launch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Arg is the argument that makes this program a shim (early), when it is the only one.
const Arg = "native-shim"

// Descriptors of a shim. The program does not inherit them.
const (
	specFD   = 3 // Spec, as Encode writes it
	statusFD = 4 // ready, right before exec; or why not: the number of execve(2) or 0, a space, the text; or both
	socketFD = 5 // the first of Spec.Listen, which the program finds from specFD on
	joinFD   = 5 // the first of Spec.Join, which has no sockets
)

// ready tells exec from the end of a shim that could not even say why: the Go runtime has thrown, under a limit of
// processes or memory that is too low, or the kernel has killed it.
const ready = "ok "

// Main becomes the program that descriptor 3 describes, or writes to descriptor 4 why it cannot. It never returns. The
// goroutine that calls it has to be the main one.
func Main() {
	runtime.LockOSThread()
	syscall.CloseOnExec(specFD)
	syscall.CloseOnExec(statusFD)
	status := statusFD
	if err := run(&status); err != nil {
		_, _ = syscall.Write(status, encodeFailure(err)) // there is no other place for an error
		os.Exit(1)
	}
	os.Exit(0)
}

// run returns nil only when there is no program to become. status is where the keeper hears; it gives way to sockets.
func run(status *int) error {
	data, err := readSpec()
	if err != nil {
		return err
	}
	spec, err := Decode(data)
	if err != nil {
		return err
	}
	if err := prepare(spec); err != nil {
		return err
	}
	if spec.Program == "" {
		return nil
	}
	if len(spec.Listen) > 0 {
		if *status, err = passSockets(len(spec.Listen)); err != nil {
			return fmt.Errorf("pass the listening sockets: %w", err)
		}
	}
	if _, err := syscall.Write(*status, []byte(ready)); err != nil {
		return fmt.Errorf("tell the keeper: %w", err)
	}
	return become(spec)
}

// become returns only when it fails. Of what was found in PATH, the first that the kernel runs is taken, as in
// execvp(3).
func become(spec Spec) error {
	env := spec.environ(os.Getpid())
	var failed error
	for _, path := range spec.candidates() {
		err := syscall.Exec(path, spec.Args, env)
		var errno syscall.Errno
		if !errors.As(err, &errno) {
			return fmt.Errorf("exec %s: %w", path, err)
		}
		if spec.Find && syscall.Access(path, 0) != nil { // also where the user may not enter the folder
			errno, path = syscall.ENOENT, spec.Program
		}
		if failed == nil || errno != syscall.ENOENT && errno != syscall.ENOTDIR {
			failed = execError{path, errno}
		}
	}
	return failed
}

// candidates are the paths of the program, at least one.
func (s Spec) candidates() (paths []string) {
	if !s.Find || strings.Contains(s.Program, "/") {
		return []string{s.Program}
	}
	search := defaultPath
	for _, kv := range s.Env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok && path != "" {
			search = path
		}
	}
	for _, dir := range filepath.SplitList(search) {
		paths = append(paths, filepath.Join(cmp.Or(dir, "."), s.Program))
	}
	return paths
}

// defaultPath is where programs are when the environment says nothing.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// readSpec leaves the descriptor open: its number must not become one of the runtime's own, for passSockets.
func readSpec() ([]byte, error) {
	fd, err := syscall.Dup(specFD)
	if err != nil {
		return nil, fmt.Errorf("read what to do: %w", err)
	}
	syscall.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "spec")
	defer file.Close()
	_, _ = file.Seek(0, io.SeekStart) // whoever wrote it stands at its end; a pipe has no other place than this one
	data, err := io.ReadAll(io.LimitReader(file, maxSpec+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read what to do: %w", err)
	case len(data) > maxSpec:
		return nil, fmt.Errorf("read what to do: it has more than %d bytes", maxSpec)
	}
	return data, nil
}

// execError is a failure of execve(2) itself, whose number crosses the pipe: what failed before is none of the program.
type execError struct {
	path string
	syscall.Errno
}

func (e execError) Error() string { return "exec " + e.path + ": " + e.Errno.Error() }

func encodeFailure(err error) []byte {
	var failed execError
	errors.As(err, &failed) // leaves 0
	return fmt.Appendf(nil, "%d %s", int(failed.Errno), err.Error())
}

// step is one thing to do before the program runs.
type step struct {
	name string // begins with a verb, for the error
	do   func(Spec) error
}

func inOrder(spec Spec, steps []step) error {
	for _, s := range steps {
		if err := s.do(spec); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// enterDir comes after the mounts, which may lie over the folder, and after the change of the user, who has to be
// allowed to be there. A mount that hangs holds up this process alone.
func enterDir(spec Spec) error {
	dir := cmp.Or(spec.Dir, "/")
	if err := syscall.Chdir(dir); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}
