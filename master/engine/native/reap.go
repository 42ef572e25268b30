//go:build unix

package native

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// reapGrace is the time between SIGTERM and SIGKILL for processes of an earlier master.
const reapGrace = 5 * time.Second

// Reap ends what an earlier master left: the process groups of the records, and any process that works in a service's
// directory with the variables of an instance, since a master may be killed between starting a process and writing its
// record. Then it removes the directories.
func (e *Engine) Reap(ctx context.Context, records, _ []engine.Record) error {
	ctx, cancel := context.WithTimeout(ctx, reapGrace)
	defer cancel()
	groups := map[int]engine.Record{}
	for _, r := range records {
		if r.Engine == masterapi.ModeNative && r.Process != nil && r.Process.ID > 1 && r.Boot == bootID() {
			groups[r.Process.ID] = r
		}
	}
	left := e.left(groups)
	for pid, owner := range left {
		e.opts.Log.WithField(log.KeyService, owner.Service).WithField(log.KeyInstance, owner.Instance).
			WithField(log.KeyPID, pid).Warnf("process was left by an earlier master and is stopped")
		_ = syscall.Kill(pid, syscall.SIGTERM) // an error means that it has ended
	}
	tick := time.NewTicker(orphanInterval)
	defer tick.Stop()
	for killed := (time.Time{}); len(left) > 0; left = e.left(groups) {
		if ctx.Err() != nil {
			if killed.IsZero() {
				killed = time.Now()
			}
			for pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			if time.Since(killed) > killTimeout {
				return fmt.Errorf("end processes of an earlier master: %d cannot be killed", len(left))
			}
		}
		<-tick.C
	}
	if err := os.RemoveAll(filepath.Join(e.opts.Workdir, servicesDir)); err != nil {
		return fmt.Errorf("remove directories of services: %w", err)
	}
	return nil
}

// left returns the living processes that an earlier master started, with the instance that each belongs to. It reads
// every process of the host once.
func (e *Engine) left(groups map[int]engine.Record) map[int]engine.Record {
	root, err := filepath.EvalSymlinks(filepath.Join(e.opts.Workdir, servicesDir))
	if err != nil {
		root = "" // without the directory no process is in it
	}
	// If the leader of a group is the recorded process, the whole group belongs to the instance.
	led := map[int]bool{}
	for group, r := range groups {
		led[group] = r.Started != "" && startOf(group) == r.Started
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
		service := ""
		if cwd := cwdOf(pid); root != "" && strings.HasPrefix(cwd, root+"/") {
			service, _, _ = strings.Cut(strings.TrimPrefix(cwd, root+"/"), "/")
		}
		if !recorded && service == "" {
			continue
		}
		env := environOf(pid)
		owner := engine.Record{Service: env[masterapi.EnvServiceName], Instance: env[masterapi.EnvInstanceName]}
		switch {
		case recorded && owner.Service == r.Service && owner.Instance == r.Instance: // its leader is gone
			out[pid] = r
		case service != "" && owner.Service == service && env[masterapi.EnvServiceMode] == masterapi.ModeNative:
			out[pid] = owner
		}
	}
	return out
}
