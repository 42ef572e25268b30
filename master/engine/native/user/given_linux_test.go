package user_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
)

// A service that changes the group of its folder makes the master walk through nothing, and changes that folder alone.
func TestGroupChangedByItsService(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	b.passable()
	use := engine.Use{Writers: member("hub")}
	f := b.file("var/db/v/f", 0o600)
	dir := filepath.Dir(f)
	_, err := r.Settle(dir, use)
	require.NoError(t, err)
	hub := service(t, r, "hub")
	require.True(t, as(t, hub, []int{groupOf(t, r, b)}, fmt.Sprintf("chgrp %d %s %s", hub.GID, f, dir)))
	b.is(dir, fmt.Sprintf("%d %d 2750", hub.UID, hub.GID))
	_, err = r.Settle(dir, use)
	require.NoError(t, err)
	b.is(dir, fmt.Sprintf("%d %d 2750", hub.UID, groupOf(t, r, b)))
	b.is(f, fmt.Sprintf("%d %d 0600", hub.UID, hub.GID)) // not walked
}

// A new folder of root may have the number of the old one: what is in it is given away.
func TestNewFolderWithTheOldNumber(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	f := b.file("var/db/v/f", 0o600)
	for _, use := range []engine.Use{{Writers: member("hub")}, {Readers: member("hub")}} {
		s, err := r.Settle(filepath.Dir(f), use)
		require.NoError(t, err)
		for _, path := range []string{f, filepath.Dir(f)} {
			require.NoError(t, os.Chown(path, 0, 0))
		}
		_, err = r.Settle(filepath.Dir(f), use)
		require.NoError(t, err)
		info, err := os.Stat(f)
		require.NoError(t, err)
		require.Equal(t, s.GID, int(info.Sys().(*syscall.Stat_t).Gid))
	}
}

// A volume that takes long to give away does not keep the others waiting.
func TestVolumesAreGivenAtTheSameTime(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	b.file("var/db/v/f", 0o600)
	slow := b.path("var/db/slow")
	b.file("var/db/slow/f", 0o600)
	end := r.Begin(slow) // somebody gives it away
	done := make(chan error)
	go func() {
		_, err := r.Settle(b.path("var/db/v"), engine.Use{Writers: member("hub")})
		done <- err
	}()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("another volume waits")
	}
	go func() {
		_, err := r.Settle(slow+"/f", engine.Use{Writers: member("hub")})
		done <- err
	}()
	select {
	case <-done:
		t.Fatal("what lies in the volume does not wait")
	case <-time.After(100 * time.Millisecond):
	}
	end()
	require.NoError(t, <-done)
}
