package master_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/utils/log"
)

// fakeKeeper holds the lock, and remembers what masters say at their end.
type fakeKeeper struct {
	lock  *os.File
	alive chan struct{} // has one slot; full means that somebody has called Alive
	said  []string

	mu     sync.Mutex // guards health
	health keeper.Health
}

func newFakeKeeper() *fakeKeeper { return &fakeKeeper{alive: make(chan struct{}, 1)} }

func (k *fakeKeeper) Try(keeper.Trial) error { return errors.New("not in this test") }

func (k *fakeKeeper) Keep(name string, f *os.File) error {
	if name != master.KeptLock {
		return nil
	}
	fd, err := syscall.Dup(int(f.Fd()))
	k.lock = os.NewFile(uintptr(fd), name)
	return err
}

func (k *fakeKeeper) Alive(h keeper.Health) error {
	k.mu.Lock()
	k.health = h
	k.mu.Unlock()
	select {
	case k.alive <- struct{}{}:
	default:
	}
	return nil
}

func (k *fakeKeeper) Leave(why string) error   { k.said = append(k.said, "leave: "+why); return nil }
func (k *fakeKeeper) Stopped(why string) error { k.said = append(k.said, "stopped: "+why); return nil }

// kept runs a master that has a keeper. end ends it with that cause, and returns what Run returns.
func (d *device) kept(t *testing.T, k *fakeKeeper) (end func(cause error) error) {
	select {
	case <-k.alive: // of the master before
	default:
	}
	opts := master.Options{Workdir: d.dir, Log: log.Discard(), Keeper: k, Lock: k.lock}
	m, err := master.New(d.config(t), d.fake, opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx, d.api(t, m)) }()
	return func(cause error) error { cancel(cause); return <-done }
}

// A master that is asked to leave stops nothing, and the next one gets the lock of the directory without a gap. One
// that is asked to stop stops everything.
func TestLeaveAndStop(t *testing.T) {
	d, k := newDevice(t), newFakeKeeper()
	d.write(t, application.File, probe)
	end := d.kept(t, k)
	<-k.alive
	d.client(t)
	require.Eventually(t, func() bool { _, err := os.Stat(d.path("var/run/baetyl/instances.json")); return err == nil },
		time.Minute, time.Millisecond, "service probe is not recorded")
	require.NoError(t, end(master.Ending{Why: "baetyl restart", Leave: true}))
	require.Equal(t, []string{"leave: baetyl restart"}, k.said)
	require.Equal(t, []string{"probe"}, d.fake.Running())
	require.FileExists(t, d.path("var/run/baetyl/instances.json"))

	stranger := d.master(t)
	require.ErrorContains(t, stranger.Run(t.Context(), d.api(t, stranger)), "another master runs in "+d.dir)
	require.Equal(t, []string{"probe"}, d.fake.Running())

	end = d.kept(t, k)
	<-k.alive
	d.client(t)
	require.NoError(t, end(master.Ending{Why: "SIGTERM"}))
	require.Equal(t, "stopped: SIGTERM", k.said[1])
	require.NoFileExists(t, d.path("var/run/baetyl/instances.json"))
}

// The file of the lock was removed while a keeper holds it: the next master locks the one that others see.
func TestLockThatWasRemoved(t *testing.T) {
	d, k := newDevice(t), newFakeKeeper()
	end := d.kept(t, k)
	<-k.alive
	require.NoError(t, end(master.Ending{Leave: true}))
	require.NoError(t, os.Remove(d.path("var/run/baetyl/master.lock")))
	end = d.kept(t, k)
	<-k.alive
	stranger := d.master(t)
	require.ErrorContains(t, stranger.Run(t.Context(), d.api(t, stranger)), "another master runs in")
	require.NoError(t, end(nil))
}

// A part of the master that fails stops no service: the next master goes on with them.
func TestFailureLeaves(t *testing.T) {
	d, k := newDevice(t), newFakeKeeper()
	d.write(t, application.File, probe)
	m, err := master.New(d.config(t), d.fake, master.Options{Workdir: d.dir, Log: log.Discard(), Keeper: k})
	require.NoError(t, err)
	broken := brokenAPI{fail: make(chan error)}
	done := make(chan error, 1)
	go func() { done <- m.Run(t.Context(), broken) }()
	require.Eventually(t, func() bool { return len(d.fake.Running()) == 1 }, time.Minute, time.Millisecond,
		"service probe was not started")
	broken.fail <- errors.New("boom")
	require.ErrorContains(t, <-done, "boom")
	require.Equal(t, []string{"probe"}, d.fake.Running())
	require.Empty(t, k.said, "the keeper sees a crash, and may wait before it starts the next one")
}

type brokenAPI struct{ fail chan error }

func (b brokenAPI) Listen() error               { return nil }
func (b brokenAPI) Leave()                      {}
func (b brokenAPI) Serve(context.Context) error { return <-b.fail }

// The keeper learns when the application has been started, and how many services fail.
func TestHealth(t *testing.T) {
	d, k := newDevice(t), newFakeKeeper()
	d.write(t, application.File, probe)
	end := d.kept(t, k)
	require.Eventually(t, func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.health == keeper.Health{Started: true, Text: "services: 1, failing: 0"}
	}, time.Minute, time.Millisecond, "last: %+v", &k.health)
	require.NoError(t, end(nil))

	d.write(t, application.File, "no: application")
	end = d.kept(t, k)
	require.Eventually(t, func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.health.Started && strings.Contains(k.health.Text, "there is an error in the application")
	}, time.Minute, time.Millisecond, "last: %+v", &k.health)
	require.NoError(t, end(nil))
}
