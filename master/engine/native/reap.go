//go:build unix

package native

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// reapGrace is between SIGTERM and SIGKILL for what an earlier master left.
const reapGrace = 5 * time.Second

// Reap ends the process groups that an earlier master left: those of the records, and any process that works in a service's
// directory with our variables, since a master may be killed between starting a process and writing its record. Then it
// removes the directories.
func (e *Engine) Reap(ctx context.Context, records []engine.Record) error {
	ctx, cancel := context.WithTimeout(ctx, reapGrace)
	defer cancel()
	groups := map[int]engine.Record{}
	for _, r := range records {
		if r.Engine == masterapi.ModeNative && r.Process != nil && r.Process.ID > 1 && r.Boot == bootID() {
			groups[r.Process.ID] = r
		}
	}
	var wg sync.WaitGroup
	for group, r := range groups {
		if pids := e.ours(group, r); len(pids) > 0 {
			wg.Go(func() { e.end(ctx, r, pids, func() []int { return e.ours(group, r) }) })
		}
	}
	wg.Wait()
	if stray := e.strays(); len(stray) > 0 {
		e.end(ctx, engine.Record{}, stray, e.strays)
	}
	if err := os.RemoveAll(filepath.Join(e.opts.Workdir, servicesDir)); err != nil {
		return fmt.Errorf("remove directories of services: %w", err)
	}
	return nil
}

// ours returns the living members of the recorded group, none when it is not the one of the record. With its leader gone
// its members still show by their environment whose they are.
func (e *Engine) ours(group int, r engine.Record) (pids []int) {
	leader := r.Started != "" && startOf(group) == r.Started
	for _, pid := range groupOf(group) {
		env := environOf(pid)
		if leader || env[masterapi.EnvInstanceName] == r.Instance && env[masterapi.EnvServiceName] == r.Service {
			pids = append(pids, pid)
		}
	}
	return pids
}

// strays returns processes whose working directory is that of a service and whose environment is that of an instance.
func (e *Engine) strays() (pids []int) {
	root, err := filepath.EvalSymlinks(filepath.Join(e.opts.Workdir, servicesDir))
	if err != nil {
		return nil // no directory, nobody in it
	}
	for _, pid := range processes() {
		cwd := cwdOf(pid)
		if !strings.HasPrefix(cwd, root+"/") || startOf(pid) == "" {
			continue
		}
		service, _, _ := strings.Cut(strings.TrimPrefix(cwd, root+"/"), "/")
		env := environOf(pid)
		if env[masterapi.EnvServiceName] == service && env[masterapi.EnvServiceMode] == masterapi.ModeNative {
			pids = append(pids, pid)
		}
	}
	return pids
}

// end asks pids to end and kills what is left when ctx ends. left tells who is.
func (e *Engine) end(ctx context.Context, r engine.Record, pids []int, left func() []int) {
	l := e.opts.Log
	if r.Service != "" {
		l = l.WithField(log.KeyService, r.Service).WithField(log.KeyInstance, r.Instance)
	}
	l.Warnf("processes %v were left by an earlier master and are stopped", pids)
	signal := func(sig syscall.Signal) {
		for _, pid := range left() {
			_ = syscall.Kill(pid, sig) // gone by now is what we want
		}
	}
	signal(syscall.SIGTERM)
	tick := time.NewTicker(orphanPoll)
	defer tick.Stop()
	var killed time.Time
	for len(left()) > 0 {
		if ctx.Err() != nil && killed.IsZero() {
			killed = time.Now()
		}
		if !killed.IsZero() {
			signal(syscall.SIGKILL)
			if time.Since(killed) > killPatience {
				l.Errorf("processes %v cannot be killed", left())
				return
			}
		}
		<-tick.C
	}
}
