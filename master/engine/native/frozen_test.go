//go:build linux

package native_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
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
		require.Eventually(t, func() bool { return run("umount", at) == nil }, 10*time.Second, 20*time.Millisecond)
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
			require.Eventually(t, func() bool { return waitsForDisk(h.dir) }, 10*time.Second, 10*time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			stopped := make(chan struct{})
			go func() { i.Stop(ctx); close(stopped) }()
			select {
			case <-stopped:
			case <-time.After(20 * time.Second):
				thaw()
				<-stopped
				t.Fatal("the stop has not ended while a process could not be killed")
			}
			records := []engine.Record{i.Record()}
			h.successor(t)
			begun := time.Now()
			_ = h.Reap(t.Context(), records, nil) // says what is left
			require.Less(t, time.Since(begun), 30*time.Second)
			thaw()
			require.Eventually(t, func() bool { return !waitsForDisk(h.dir) && !alive(i.Record().Process.ID) }, 10*time.Second,
				10*time.Millisecond)
		})
	}
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
