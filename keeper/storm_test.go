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
func storm(c *keeper.Client) {
	const workers, each = 6, 5
	errs := make([]error, workers)
	var all sync.WaitGroup
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
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	script, fails := "sleep 0.005; exec 4>&-; exit 5", worker == 0
	if fails { // one that cannot become its program
		script = "echo 2 no such program >&4; exec 4>&-; sleep 0.02"
	}
	_, err := c.Start(ctx, keeper.Spec{
		Handle: handle, Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")},
		Dir: "/", Launch: []byte("{}"),
		Output: keeper.Output{File: filepath.Join(os.Args[2], "storm.log"), Instance: handle, Size: 1, Age: 1, Backups: 1},
	})
	switch {
	case fails && err != nil && strings.Contains(err.Error(), "no such program"):
		return nil
	case err != nil || fails:
		return fmt.Errorf("start: %v", err)
	}
	select {
	case <-c.Ended(handle):
	case <-ctx.Done():
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
		r.must(command{Op: "storm"})
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
