//go:build unix

package native

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
)

// endLeft ends the processes that no keeper holds: of a version without a keeper, whose master started them itself, and
// children that a killed keeper left where there are no cgroups.
func (e *Engine) endLeft(ctx context.Context, records []engine.Record, keep map[instanceKey]bool) error {
	groups := map[int]engine.Record{}
	for _, r := range records {
		ours := r.Engine == masterapi.ModeNative && r.Handle == "" && !keep[keyOf(r)]
		if ours && r.Process != nil && r.Process.ID > 1 && r.Boot == measure.BootID() {
			groups[r.Process.ID] = r
		}
	}
	for pid, owner := range e.left(groups, keep) {
		logOf(e.opts.Log, owner).WithField(log.KeyPID, pid).
			Warnf("process was left by an earlier master and is stopped")
		_ = syscall.Kill(pid, syscall.SIGTERM) // an error means that it has ended
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	ended := until(ctx, func(killing bool) bool {
		left := e.left(groups, keep)
		for pid := range left {
			if killing {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		return len(left) == 0
	})
	if !ended {
		return fmt.Errorf("end processes of an earlier master: %d cannot be killed", len(e.left(groups, keep)))
	}
	return nil
}

// until calls done until it is true; killing is set from the end of ctx on. It gives up killTimeout after that.
func until(ctx context.Context, done func(killing bool) bool) bool {
	tick := time.NewTicker(orphanInterval)
	defer tick.Stop()
	for killed := (time.Time{}); !done(!killed.IsZero()); <-tick.C {
		if ctx.Err() == nil {
			continue
		}
		if killed.IsZero() {
			killed = time.Now()
		}
		if time.Since(killed) > killTimeout {
			return false
		}
	}
	return true
}

// left returns the living processes of instances that are not in keep, with the instance that each belongs to. It reads
// every process of the host once.
//
// A process is one of this installation when it works in the directory of one of its services, or was started there:
// the records of a copied installation name the processes of the original.
func (e *Engine) left(groups map[int]engine.Record, keep map[instanceKey]bool) map[int]engine.Record {
	root, err := filepath.EvalSymlinks(filepath.Join(e.opts.Workdir, servicesDir))
	if err != nil {
		root = "" // without the directory no process is in it
	}
	// If the leader of a group is the recorded process, the whole group belongs to the instance.
	led := map[int]bool{}
	for group, r := range groups {
		led[group] = r.Started != "" && startOf(group) == r.Started && e.startedHere(group, root)
	}
	out := map[int]engine.Record{}
	for _, pid := range processes() {
		group, ok := groupOfLiving(pid)
		if !ok {
			continue
		}
		r, recorded := groups[group]
		if led[group] {
			out[pid] = r
			continue
		}
		service := serviceIn(cwdOf(pid), root)
		if !recorded && service == "" {
			continue
		}
		env := environOf(pid)
		owner := engine.Record{Service: env[masterapi.EnvServiceName], Instance: env[masterapi.EnvInstanceName]}
		switch {
		case keep[keyOf(owner)]:
		case recorded && keyOf(owner) == keyOf(r) && e.startedHere(pid, root): // its leader is gone
			out[pid] = r
		case service != "" && owner.Service == service && env[masterapi.EnvServiceMode] == masterapi.ModeNative:
			out[pid] = owner
		}
	}
	return out
}

// startedHere tells whether pid works in a directory of ours, or did when it was started. A system that tells neither
// leaves it at the record.
func (e *Engine) startedHere(pid int, root string) bool {
	env := environOf(pid)
	if env == nil && cwdOf(pid) == "" {
		return true
	}
	return serviceIn(cwdOf(pid), root) != "" || serviceIn(env["PWD"], filepath.Join(e.opts.Workdir, servicesDir)) != ""
}

// serviceIn is the service whose directory below root path lies in; empty: none.
func serviceIn(path, root string) string {
	if root == "" {
		return ""
	}
	rest, ok := strings.CutPrefix(path, root+"/")
	if !ok {
		return ""
	}
	service, _, _ := strings.Cut(rest, "/")
	return service
}
