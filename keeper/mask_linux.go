package keeper

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/keeper/signals"
)

// unignore makes sure that children ignore no signal. Those that the runtime knows it handles, or gives back to them;
// some programs ignore the others, and what they start would inherit it.
func unignore() { _ = signals.Default(signals.FirstOfThreads, signals.LastOfThreads) }

// unblock makes sure that this process blocks no signal, and so none of its children. The runtime gives children what
// it has inherited itself, so this program executes itself once when that is not nothing.
func unblock() {
	var was unix.Sigset_t
	if unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, &was) != nil || was == (unix.Sigset_t{}) {
		return
	}
	if exe, err := os.Executable(); err == nil && os.Getenv(envUnblocked) == "" {
		_ = syscall.Exec(exe, os.Args, append(os.Environ(), envUnblocked+"=1")) // returns only with an error
	}
}

// envUnblocked is set after that: it is done once.
const envUnblocked = envPrefix + "UNBLOCKED"
