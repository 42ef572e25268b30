//go:build unix && !linux

package launch

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// prepare does what this system can: user, groups, limits, umask, signals. There is no death signal here; what a keeper
// leaves is found by its record.
func prepare(spec Spec) error {
	return inOrder(spec, []step{
		{"protect the program", refuse},
		{"start a session", startSession},
		{"set the limits", setLimits},
		{"change the user", changeUser},
		{"enter the working directory", enterDir},
		{"set the umask", setUmask},
		{"close descriptors", closeDescriptors},
		{"reset signals", resetSignals},
	})
}

// refuse ends what asks for more than can be done.
func refuse(spec Spec) error {
	if spec.PrivateTmp || spec.PrivateIPC || spec.HideProc ||
		len(spec.ReadOnly)+len(spec.Binds)+len(spec.Hidden)+len(spec.Cgroups) > 0 {
		return errors.New("mounts and cgroups need Linux")
	}
	if len(spec.Listen) > 0 {
		return errors.New("sockets of the instance before need Linux")
	}
	if spec.Join > 0 || spec.Terminal {
		return errors.New("commands in an instance need Linux")
	}
	if len(spec.Capabilities) > 0 {
		return errors.New("capabilities need Linux")
	}
	return nil
}

// passSockets is not reached: refuse comes before it.
func passSockets(int) (status int, err error) { return statusFD, errors.ErrUnsupported }

func startSession(Spec) error {
	_, err := syscall.Setsid()
	if errors.Is(err, syscall.EPERM) {
		return nil // leads a group already
	}
	return err
}

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
		return nil
	}
	var files syscall.Rlimit
	setLimit(&files.Cur, spec.NoFile)
	setLimit(&files.Max, spec.NoFile)
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
}

// setLimit takes the type that a limit has on this system.
func setLimit[T int64 | uint64](to *T, n uint64) { *to = T(n) }

func changeUser(spec Spec) error {
	if spec.UID >= 0 || spec.Groups != nil {
		if err := syscall.Setgroups(spec.Groups); err != nil {
			return fmt.Errorf("groups %v: %w", spec.Groups, err)
		}
	}
	if spec.GID >= 0 {
		if err := syscall.Setgid(spec.GID); err != nil {
			return fmt.Errorf("group %d: %w", spec.GID, err)
		}
	}
	if spec.UID >= 0 {
		if err := syscall.Setuid(spec.UID); err != nil {
			return fmt.Errorf("user %d: %w", spec.UID, err)
		}
	}
	return nil
}

func setUmask(spec Spec) error {
	if spec.Umask >= 0 {
		syscall.Umask(spec.Umask)
	}
	return nil
}

func closeDescriptors(Spec) error {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	for fd := specFD; fd < int(min(files.Cur, 1<<16)); fd++ {
		syscall.CloseOnExec(fd)
	}
	return nil
}

// resetSignals catches all signals: exec gives those that are caught their default, and keeps those that are ignored.
func resetSignals(Spec) error {
	signal.Notify(make(chan os.Signal, 1))
	return nil
}
