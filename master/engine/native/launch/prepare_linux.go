package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// prepare does all but exec. The order counts: what needs root comes before the user changes, mounts come while the
// keeper's folders can still be seen, and the death signal is asked for twice since a change of the user forgets it.
func prepare(spec Spec) error {
	return inOrder(spec, []step{
		{"die with the keeper", dieWithKeeper},
		{"start a session", startSession},
		{"take the terminal", takeTerminal},
		{"set the oom score", setOOMScore},
		{"set the limits", setLimits},
		{"set the groups", setGroups},
		{"enter the cgroups", enterCgroups}, // late: where its processes are too many, this one gets no more threads
		{"make mounts", makeMounts},
		{"join the namespaces", joinNamespaces},
		{"give the output to the user", giveOutput},
		{"change the user", changeUser},
		{"leave the keys of the keeper", leaveKeys},
		{"allow no new privileges", noNewPrivileges},
		{"die with the keeper", dieWithKeeper},
		{"enter the working directory", enterDir},
		{"set the umask", setUmask},
		{"close descriptors", closeDescriptors},
		{"reset signals", resetSignals},
	})
}

// dieWithKeeper asks for SIGKILL at the end of the parent, and then looks whether that was too late.
func dieWithKeeper(spec Spec) error {
	if spec.Keeper == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	if parent := os.Getppid(); parent != spec.Keeper {
		return fmt.Errorf("the parent is process %d, not %d", parent, spec.Keeper)
	}
	return nil
}

// enterCgroups moves this process, all threads of it.
func enterCgroups(spec Spec) error {
	for _, dir := range spec.Cgroups {
		if err := writeProc(filepath.Join(dir, "cgroup.procs"), "0"); err != nil {
			return err
		}
	}
	return nil
}

// startSession leaves the terminal of the keeper. The process leads a group of its own, to which signals can be sent.
func startSession(spec Spec) error {
	pid := os.Getpid()
	if sid, err := unix.Getsid(0); err != nil || sid == pid {
		return err
	}
	if unix.Getpgrp() == pid {
		// A leader cannot start a session: back to the group of the parent, unless that has ended.
		group, err := unix.Getpgid(os.Getppid())
		if err == nil {
			err = unix.Setpgid(0, group)
		}
		if err != nil {
			return fmt.Errorf("leave the own process group: %w", err)
		}
	}
	_, err := unix.Setsid()
	return err
}

func setOOMScore(spec Spec) error {
	const file = "/proc/self/oom_score_adj"
	now, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	want := strconv.Itoa(spec.OOMScoreAdj)
	if string(now) == want+"\n" {
		return nil
	}
	err = writeProc(file, want)
	if errors.Is(err, unix.EACCES) && os.Geteuid() != 0 {
		return nil // a plain user may only raise it; one that is too high protects the others
	}
	return err
}

// setLimits forbids dumps, which hold secrets; a program may allow them again.
func setLimits(spec Spec) error {
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil {
		return err
	}
	core.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &core); err != nil {
		return err
	}
	if spec.NoFile == 0 {
		return nil // Exec restores what the runtime has raised
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: spec.NoFile, Max: spec.NoFile})
}

func leaveKeys(spec Spec) error {
	if spec.UID < 0 {
		return nil
	}
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return nil // a kernel without keys, a container that may not use them
	}
	return err
}

func noNewPrivileges(Spec) error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }

func setUmask(spec Spec) error {
	if spec.Umask >= 0 {
		unix.Umask(spec.Umask)
	}
	return nil
}

// closeDescriptors lets exec close all but standard input, output and error. They stay open until then: the runtime
// uses some, and descriptor 4 may be needed.
func closeDescriptors(Spec) error {
	err := unix.CloseRange(specFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	names, err := os.ReadDir("/proc/self/fd") // before Linux 5.11
	if err != nil {
		return err
	}
	for _, n := range names {
		if fd, err := strconv.Atoi(n.Name()); err == nil && fd >= specFD {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

func writeProc(file, text string) error {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return fmt.Errorf("write %s to %s: %w", text, file, err)
	}
	return nil
}
