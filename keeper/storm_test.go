//go:build linux

package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baetyl/baetyl/keeper"
)

// stormed gets what went wrong in the storm of this master.
var stormed = make(chan error, 1)

// storm starts short processes as those of services are: the start is answered when descriptor 4 is closed. Each end
// has to come.
// So does that of those that run since a master before.
func storm(c *keeper.Client, before []keeper.Process) {
	const workers, each = 6, 5
	errs := make([]error, workers+len(before))
	var all sync.WaitGroup
	for n, p := range before {
		all.Go(func() {
			if err := stormEnds(c, p.Handle); err != nil {
				errs[workers+n] = fmt.Errorf("%s: %w", p.Handle, err)
			}
		})
	}
	for w := range workers {
		all.Go(func() {
			for i := range each {
				handle := fmt.Sprintf("storm-%d-%d-%d", os.Getpid(), w, i)
				if err := stormOne(c, handle, w); err != nil {
					errs[w] = fmt.Errorf("%s: %w", handle, err)
					return
				}
			}
		})
	}
	all.Wait()
	stormed <- errors.Join(errs...)
}

func stormOne(c *keeper.Client, handle string, worker int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	script, fails := "sleep 0.005; echo ok >&4; exec 4>&-; exit 5", worker == 0
	if fails { // one that cannot become its program
		script = "echo 2 no such program >&4; exec 4>&-; sleep 0.02"
	}
	spec := keeper.Spec{
		Handle: handle, Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")},
		Dir: "/", Launch: []byte("{}"),
		Output: keeper.Output{File: filepath.Join(os.Args[2], "storm.log"), Instance: handle, Size: 1, Age: 1, Backups: 1},
	}
	if worker%2 == 1 {
		spec.Launch = nil
	}
	_, err := c.Start(ctx, spec)
	switch {
	case fails && err != nil && strings.Contains(err.Error(), "no such program"):
		return nil
	case err != nil || fails:
		return fmt.Errorf("start: %w", err)
	}
	return stormEnds(c, handle)
}

func stormEnds(c *keeper.Client, handle string) error {
	select {
	case <-c.Ended(handle):
	case <-time.After(time.Minute):
		return errors.New("its end is lost")
	}
	if end, ok := c.End(handle); !ok || end.Code != 5 {
		return fmt.Errorf("end %+v, %v", end, ok)
	}
	return c.Release(handle)
}

// No answer and no end is lost while the keeper replaces itself again and again.
func TestReplaceKeeperInAStorm(t *testing.T) {
	r := newRig(t)
	r.file("behaviour", "storm")
	r.run()
	master := r.master(0)
	for i := range times(15, 100) {
		if i%2 == 0 { // or in the middle of it
			r.must(command{Op: "storm"})
		}
		r.upgrade([]string{"two", "one"}[i%2])
		master = r.master(master)
		eventually(t, "the keeper was replaced", func() bool {
			return strings.Count(r.text(), "the keeper was replaced;") == i+1
		})
	}
	r.must(command{Op: "storm"})
	r.file("behaviour", "")
	r.must(command{Op: "leave"})
	r.master(master)
	if left := r.must(command{Op: "pid"}).State.Processes; len(left) > 0 {
		t.Errorf("the keeper holds %v still", left)
	}
	if status := r.stop(); status != 0 {
		t.Errorf("status %d", status)
	}
}
