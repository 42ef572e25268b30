//go:build linux

package native_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/engine/native/launch"
)

// frozen mounts a file system at a folder of h that can be frozen: what writes to it then cannot be killed. It returns
// how to freeze it, and to let it go on.
func frozen(t *testing.T, h *host, rel string) (freeze, thaw func()) {
	t.Helper()
	needsRoot(t)
	image, at := filepath.Join(t.TempDir(), "image"), h.path(rel)
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 8<<20))
	require.NoError(t, os.MkdirAll(at, 0o755))
	run := func(name string, args ...string) error { return exec.Command(name, args...).Run() }
	if err := run("mkfs.ext4", "-q", image); err != nil {
		t.Skip("mkfs.ext4: ", err)
	}
	if err := run("mount", "-o", "loop", image, at); err != nil {
		t.Skip("this host does not let us mount a file: ", err)
	}
	thaw = func() { _ = run("fsfreeze", "-u", at) }
	t.Cleanup(func() {
		thaw()
		require.Eventually(t, func() bool { return run("umount", at) == nil }, time.Minute, 20*time.Millisecond)
	})
	return func() {
		if err := run("fsfreeze", "-f", at); err != nil {
			t.Skip("fsfreeze: ", err)
		}
	}, thaw
}

// A process that waits for a broken device holds up nobody: not the stop of its instance, and not what comes after it.
func TestStopOfWhatCannotBeKilled(t *testing.T) {
	for name, writes := range map[string]string{
		"a child":            "(read go; echo x >disk/file) <go & echo up; exec sleep 1000",
		"a child that left":  "(setsid sh -c 'read go; echo x >disk/file') <go & echo up; exec sleep 1000",
		"the leader":         "echo up; read go <go; echo x >disk/file",
		"a child, ends soon": "(read go; echo x >disk/file) <go & echo up; trap 'exit 0' TERM; while :; do sleep 0.02; done",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait
			h := newHost(t)
			freeze, thaw := frozen(t, h, "var/db/baetyl/disk")
			s := with(h.service(t, "svc", "mkfifo go; "+writes), "disk", "var/db/baetyl/disk", "disk", false)
			_, i := h.start(t, s, nil)
			enginetest.Output(t, i, "up")
			freeze()
			fifo := h.path("var/run/baetyl/services/svc/go")
			require.NoError(t, os.WriteFile(fifo, []byte("\n"), 0))
			require.Eventually(t, func() bool { return waitsForDisk(h.dir) }, time.Minute, 10*time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			stopped := make(chan struct{})
			go func() { i.Stop(ctx); close(stopped) }()
			select {
			case <-stopped:
			case <-time.After(time.Minute):
				thaw()
				<-stopped
				t.Fatal("the stop has not ended while a process could not be killed")
			}
			records := []engine.Record{i.Record()}
			h.successor(t)
			begun := time.Now()
			_ = h.Reap(t.Context(), records, nil) // says what is left
			require.Less(t, time.Since(begun), time.Minute)
			thaw()
			require.Eventually(t, func() bool { return !waitsForDisk(h.dir) && !alive(i.Record().Process.ID) }, time.Minute,
				10*time.Millisecond)
		})
	}
}

// A working directory on a mount that hangs, as of a server that is away, holds up its own process, not the thread of
// the keeper that forks all others.
func TestStartInAFolderThatHangs(t *testing.T) {
	h := newHost(t)
	s := h.service(t, "svc", "exec sleep 1000")
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	end := hang(t, h.path("var/run/baetyl/services/svc"))
	defer end()
	started := make(chan error, 1)
	go func() {
		_, err := box.Start(t.Context(), engine.Spec{Name: "svc"})
		started <- err
	}()
	shim := func() bool {
		processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, p := range processes {
			args, _ := os.ReadFile(p)
			stat, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "stat"))
			_, rest, _ := strings.Cut(string(stat), ") ")
			fields := strings.Fields(rest)
			if string(args) == "baetyl\x00"+launch.Arg+"\x00" && len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
				return true
			}
		}
		return false
	}
	require.Eventually(t, shim, time.Minute, 10*time.Millisecond, "the shim has not been executed")
	other := make(chan error, 1)
	go func() {
		second := h.service(t, "other", "exec sleep 1000")
		box, err := h.Open(t.Context(), second)
		if err == nil {
			_, err = box.Start(t.Context(), engine.Spec{Name: "other"})
		}
		other <- err
	}()
	select {
	case err := <-other:
		require.NoError(t, err)
	case err := <-started:
		t.Fatal("the folder does not hang: ", err)
	case <-time.After(time.Minute):
		t.Fatal("another service does not start while the working directory of the first one hangs")
	}
	require.Empty(t, started)
	end()
	require.ErrorContains(t, <-started, "transport endpoint is not connected")
}

// hang mounts a file system at dir whose server does not answer. It returns how to end that server.
func hang(t *testing.T, dir string) (end func()) {
	t.Helper()
	needsRoot(t)
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("this host has no FUSE: ", err)
	}
	t.Cleanup(func() { _ = unix.Close(server) })
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", server)
	if err := unix.Mount("hangs", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Skip("this host does not let us mount with FUSE: ", err)
	}
	// By force: a child that is being forked may have the server's descriptor too.
	end = sync.OnceFunc(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH)) })
	t.Cleanup(end)
	return end
}

// waitsForDisk tells whether a process of the services below dir does.
func waitsForDisk(dir string) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, _ := os.ReadFile(stat)
		_, rest, _ := strings.Cut(string(text), ") ")
		environ, _ := os.ReadFile(filepath.Join(filepath.Dir(stat), "environ"))
		if strings.HasPrefix(rest, "D") && strings.Contains(string(environ), dir) {
			return true
		}
	}
	return false
}
