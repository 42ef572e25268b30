//go:build unix

package launch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Abilities are what this host lets a shim do: nil, or why not.
type Abilities struct {
	Users        error // to run a program as another user
	Capabilities error // to give such a program single capabilities, and to take all others away
	Namespaces   error // mounts of its own: Binds, Hidden, PrivateTmp
	ReadOnly     error
	PrivateIPC   error
	HideProc     error
}

// someUser is one that no program has: nothing is done with its rights. It is nobody on most systems.
const someUser = 65534

// Probe tries all abilities together and, where that fails, each once, in a process of its own. dir is a folder that is
// bound and hidden meanwhile, for those processes alone. Services wait for it: it takes some ten milliseconds. What it
// finds does not change while the master runs.
func Probe(dir string) Abilities {
	spec := Spec{UID: -1, GID: -1, Umask: -1}
	try := func(change func(*Spec)) error {
		s := spec
		change(&s)
		return tryShim(s)
	}
	var a Abilities
	capabilities := []string{"CAP_NET_BIND_SERVICE"}
	if try(func(s *Spec) {
		s.UID, s.GID, s.Capabilities = someUser, someUser, capabilities
		s.PrivateTmp, s.PrivateIPC, s.HideProc = true, true, true
		s.ReadOnly, s.Hidden = []string{dir}, []string{dir}
	}) == nil {
		return a
	}
	a.Users = try(func(s *Spec) { s.UID, s.GID = someUser, someUser })
	a.Namespaces = try(func(s *Spec) { s.PrivateTmp, s.Hidden = true, []string{dir} })
	if a.Capabilities = a.Users; a.Users == nil {
		a.Capabilities = try(func(s *Spec) {
			s.UID, s.GID, s.Capabilities = someUser, someUser, capabilities
		})
	}
	if a.ReadOnly, a.PrivateIPC, a.HideProc = a.Namespaces, a.Namespaces, a.Namespaces; a.Namespaces == nil {
		a.PrivateIPC = try(func(s *Spec) { s.PrivateIPC = true })
		a.ReadOnly = try(func(s *Spec) { s.ReadOnly = []string{dir} })
		a.HideProc = try(func(s *Spec) { s.HideProc = true })
	}
	return a
}

// tryShim runs a shim without a program.
func tryShim(s Spec) error {
	runtime.LockOSThread() // the death signal belongs to the thread that forks
	defer runtime.UnlockOSThread()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if runtime.GOOS == "linux" {
		program = "/proc/self/exe" // also after its file has been replaced
	}
	s.Keeper = os.Getpid()
	why, err := start(&exec.Cmd{Path: program, Args: []string{"baetyl", Arg}, Dir: "/"}, s)
	if err != nil {
		return err
	}
	if _, text, ok := strings.Cut(string(why), " "); ok {
		return errors.New(text)
	}
	return nil
}

// start starts cmd, which is a shim, and returns what it says on descriptor 4: nothing when it became the program, or
// when there is none.
func start(cmd *exec.Cmd, s Spec) (why []byte, err error) {
	data, err := s.Encode()
	if err != nil {
		return nil, err
	}
	spec, specWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	status, statusWriter, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, spec.Close(), specWriter.Close())
	}
	cmd.ExtraFiles = append([]*os.File{spec, statusWriter}, cmd.ExtraFiles...) // specFD, statusFD, socketFD and up
	err = cmd.Start()
	_, _ = spec.Close(), statusWriter.Close() // the shim has its own
	if err != nil {
		return nil, errors.Join(err, specWriter.Close(), status.Close())
	}
	_, err = specWriter.Write(data) // fails when the shim has ended, which says why
	_ = specWriter.Close()
	why, readErr := io.ReadAll(status)
	_ = status.Close()
	if len(why) == 0 && errors.Join(err, readErr) != nil {
		why = fmt.Appendf(nil, "0 talk to the shim: %v", errors.Join(err, readErr))
	}
	why, began := bytes.CutPrefix(why, []byte(ready))
	if len(why) == 0 && !began && s.Program != "" {
		why = []byte("0 the shim ended before it became the program")
	}
	if len(why) > 0 || s.Program == "" {
		err := cmd.Wait()
		if len(why) == 0 && err != nil {
			why = fmt.Appendf(nil, "0 the shim ended: %v", err)
		}
	}
	return why, nil
}
