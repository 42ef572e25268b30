//go:build !linux

package members

import "syscall"

// Signal has nothing to do: there are no groups.
func Signal(string, syscall.Signal) error { return nil }
