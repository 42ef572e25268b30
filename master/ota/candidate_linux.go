package ota

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the kernel kill the candidate when this process is killed: two masters of one directory would
// follow.
func endWithParent(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
