package launch

import (
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/keeper/signals"
)

// resetSignals gives every signal its default and blocks none: exec would keep what is ignored or blocked. An ignored
// SIGPIPE makes the writer of a closed pipe spin.
func resetSignals(Spec) error {
	if err := signals.Default(1, signals.Last()); err != nil {
		return err
	}
	return unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
}
