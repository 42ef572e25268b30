//go:build faults

package fault

import (
	"fmt"
	"os"
	"syscall"
)

// At is passed when everything before it is on disk. It does not return when the environment names the point:
// BAETYL_FAULT, or BAETYL_FAULT_KEEPER when the parent of this process ends too. It returns when the point was passed
// before, since then there is the file that BAETYL_FAULT_FILE names.
func At(point string) {
	both := os.Getenv("BAETYL_FAULT_KEEPER") == point
	if os.Getenv("BAETYL_FAULT") != point && !both {
		return
	}
	f, err := os.OpenFile(os.Getenv("BAETYL_FAULT_FILE"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	_ = f.Close()
	fmt.Fprintln(os.Stderr, "fault:", point)
	if both {
		_ = syscall.Kill(os.Getppid(), syscall.SIGKILL)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}
