package user_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/engine"
)

// A tree that a service has prepared leads nowhere.
func TestHostileTree(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	out := b.file("outside/shadow", 0o600)
	inner := b.file("outside/dir/file", 0o600)
	dir := b.path("var/db/v")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	suid := b.file("var/db/v/suid", 0o4755)
	data := b.file("var/db/v/data", 0o2600)
	require.NoError(t, os.Symlink(out, dir+"/link"))
	require.NoError(t, os.Symlink("../../../outside/dir", dir+"/dirlink"))
	require.NoError(t, os.Symlink("/", dir+"/root"))
	require.NoError(t, os.Symlink("loop", dir+"/loop"))
	require.NoError(t, os.Link(out, dir+"/hard"))
	require.NoError(t, unix.Mkfifo(dir+"/fifo", 0o600))
	require.NoError(t, unix.Mknod(dir+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	require.NoError(t, os.Mkdir(dir+"/mounted", 0o755))
	require.NoError(t, unix.Mount(b.path("outside/dir"), dir+"/mounted", "", unix.MS_BIND, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir+"/mounted", unix.MNT_DETACH)) })
	deep := dir
	for range 300 {
		deep += "/d"
	}
	require.NoError(t, os.MkdirAll(deep, 0o755))

	s, err := r.Settle(dir, engine.Use{Writers: member("evil")})
	require.NoError(t, err)
	evil := service(t, r, "evil").UID
	b.is(out, "0 0 0600")
	b.is(inner, "0 0 0600")
	b.is(b.path("outside/dir"), "0 0 0755")
	b.is("/", rootIs(t))
	b.is(dir+"/null", "0 0 0600")
	b.is(deep, "0 0 0755")
	b.is(suid, fmt.Sprintf("%d %d 0755", evil, s.GID))
	b.is(data, fmt.Sprintf("%d %d 0600", evil, s.GID))
	b.is(dir+"/link", fmt.Sprintf("%d %d 0777", evil, s.GID))
	b.is(dir+"/fifo", fmt.Sprintf("%d %d 0600", evil, s.GID))
	require.Len(t, s.Warnings, 1)
	require.Contains(t, s.Warnings[0], "left with its owner")
	require.Contains(t, s.Warnings[0], "; and 1 more")
}

func rootIs(t *testing.T) string {
	info, err := os.Stat("/")
	require.NoError(t, err)
	s := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d %d %04o", s.Uid, s.Gid, s.Mode&0o7777)
}

// The folder itself may be replaced by a link, or one above it, since it was looked at.
func TestHostileTop(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	f := b.file("outside/dir/file", 0o600)
	require.NoError(t, os.MkdirAll(b.path("var/db/v"), 0o755))
	require.NoError(t, os.Symlink(b.path("outside"), b.path("var/db/v/sub")))
	require.NoError(t, os.Link(f, b.path("var/db/hard")))
	for _, path := range []string{"var/db/v/sub", "var/db/v/sub/dir", "var/db/hard", "var/db/v/sub/dir/file", "var/none"} {
		_, err := r.Settle(b.path(path), engine.Use{Writers: member("evil")})
		require.Error(t, err, path)
	}
	b.is(f, "0 0 0600")
	b.is(b.path("outside/dir"), "0 0 0755")
}

// A service that exchanges files for links while its folder is given away gains nothing.
func TestRace(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	out := b.file("outside/shadow", 0o600)
	dir := b.path("var/db/v")
	for i := range 200 {
		b.file(fmt.Sprintf("var/db/v/d%d/f", i), 0o600)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			d := fmt.Sprintf("%s/d%d", dir, i%200)
			_ = os.Remove(d + "/f")
			_ = os.Symlink(out, d+"/f")
			_ = os.Rename(d, d+"x")
			_ = os.Symlink(filepath.Dir(out), d)
			_ = os.Remove(d)
			_ = os.Rename(d+"x", d)
			_ = os.Remove(d + "/f")
			_ = os.Link(out, d+"/f")
		}
	}()
	began := time.Now()
	for i := 0; time.Since(began) < time.Second; i++ {
		_, err := r.Settle(dir, engine.Use{Writers: member(fmt.Sprint("s", i%2))})
		require.NoError(t, err)
	}
	close(stop)
	<-done
	b.is(out, "0 0 0600")
	b.is(filepath.Dir(out), "0 0 0755")
}
