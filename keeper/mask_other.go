//go:build unix && !linux

package keeper

// unblock does nothing: what this process has inherited goes on to its children here.
func unblock() {}

// unignore does nothing here either.
func unignore() {}
