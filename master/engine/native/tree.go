//go:build unix

package native

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// tree is all processes of one instance: those in its cgroup or, without one, those in its process group.
type tree struct {
	all   *cgroup.Tree  // nil: the host has no cgroups for us
	in    *cgroup.Group // nil: none
	group int           // process group, once it runs
	// sure: a member of the group has to show, by this folder in its environment, that it is one of the instance. The
	// leader ended while nobody looked, and its number may be that of a stranger by now.
	sure string
}

// defaultPids is the limit of processes and threads of an instance with a user of its own that names none: a bomb of
// forks takes all numbers of the host otherwise.
const defaultPids = 4096

// make makes the cgroup. What a limit cannot hold is added to notes.
func (t *tree) make(s engine.Service, instance string, own bool, notes *[]string) error {
	if t.all == nil {
		return nil
	}
	if old, err := t.all.Open(s.Name, instance); err == nil { // no instance of that name runs: it could not be removed
		ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
		defer cancel()
		if err := errors.Join(old.Kill(ctx), old.Remove()); err != nil {
			return fmt.Errorf("remove what is left of the instance before: %w", err)
		}
	}
	r := s.Resources
	if bound := (app.Resources{Pids: app.Pids{Limit: defaultPids}}); own && r.Pids.Limit == 0 &&
		len(t.all.Problems(bound)) == 0 { // else a warning of what nobody has asked for
		r.Pids = bound.Pids
	}
	g, warnings, err := t.all.Make(s.Name, instance, r)
	t.in = g
	*notes = append(*notes, warnings...)
	return err
}

// open finds the cgroup of an instance that runs already.
func (t *tree) open(service, instance string) {
	if t.all == nil {
		return
	}
	if g, err := t.all.Open(service, instance); err == nil { // without it the process group is what there is
		t.in = g
	}
}

// endLeaves ends what commands of an earlier master have left, and removes their groups.
func (t *tree) endLeaves() {
	if t.in == nil {
		return
	}
	for _, l := range t.in.Leaves() {
		_ = endLeaf(l) // what is left ends with the instance
	}
}

func endLeaf(l *cgroup.Group) error {
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	return errors.Join(l.Kill(ctx), l.Remove())
}

// v2 is the folder that a process is born in.
func (t *tree) v2() string {
	if t.in == nil {
		return ""
	}
	return t.in.V2()
}

// v1 are the folders that a process enters.
func (t *tree) v1() []string {
	if t.in == nil {
		return nil
	}
	return t.in.V1()
}

// populated tells whether a process is left, beside the leader that has ended.
func (t *tree) populated() bool {
	if t.in != nil && t.in.Populated() {
		return true
	}
	return len(t.members()) > 0
}

// members are the living processes of the process group.
func (t *tree) members() (pids []int) {
	if t.group <= 1 {
		return nil
	}
	for _, pid := range groupOf(t.group) {
		if t.sure == "" || environOf(pid)[masterapi.EnvRunDir] == t.sure {
			pids = append(pids, pid)
		}
	}
	return pids
}

// signal sends sig to all.
func (t *tree) signal(sig syscall.Signal) {
	if t.in != nil {
		_ = t.in.Signal(sig) // an error means that they have ended
	}
	t.signalGroup(sig)
}

func (t *tree) kill() {
	if t.in != nil {
		ctx, cancel := context.WithTimeout(context.Background(), orphanInterval)
		defer cancel()
		_ = t.in.Kill(ctx) // who calls looks whether something is left
	}
	t.signalGroup(syscall.SIGKILL)
}

// signalGroup sends sig to the process group. Its number is not given to a new process while it has members.
func (t *tree) signalGroup(sig syscall.Signal) {
	if len(t.members()) > 0 {
		_ = syscall.Kill(-t.group, sig) // an error means that they have ended
	}
}

// oom is how many processes the kernel has killed since the cgroup was made.
func (t *tree) oom() int {
	if t.in == nil {
		return 0
	}
	return t.in.OOM()
}

func (t *tree) remove() error {
	if t.in == nil {
		return nil
	}
	return t.in.Remove()
}

// groupOf returns the living processes of a process group.
func groupOf(group int) (pids []int) {
	for _, pid := range processes() {
		if g, ok := groupOfLiving(pid); ok && g == group {
			pids = append(pids, pid)
		}
	}
	return pids
}
