//go:build !linux

package cgroup

import "syscall"

// signalAll has nothing to do: Find has found no groups.
func signalAll(string, syscall.Signal) error { return nil }
