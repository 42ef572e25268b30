//go:build unix

package native

import (
	"context"
	"syscall"
)

// Freeze holds what is in the cgroup, or without one the process group.
func (i *instance) Freeze(ctx context.Context) error {
	if i.tree.in != nil {
		return i.tree.in.Freeze(ctx)
	}
	i.tree.signalGroup(syscall.SIGSTOP)
	return nil
}

// Thaw lets it go on.
func (i *instance) Thaw(context.Context) error {
	if i.tree.in != nil {
		return i.tree.in.Thaw()
	}
	i.tree.signalGroup(syscall.SIGCONT)
	return nil
}
