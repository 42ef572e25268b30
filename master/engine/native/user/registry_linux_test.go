package user_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native/user"
	"github.com/baetyl/baetyl/utils/log"
)

// bench is a host with installations.
type bench struct {
	t    *testing.T
	dir  string
	host string
	log  bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "one"), 0o755))
	return &bench{t: t, dir: dir, host: filepath.Join(dir, "host")}
}

var usual = engine.Users{First: 70000, Last: 74999}

// open opens the registry of the installation called name.
func (b *bench) open(name string, users engine.Users) (*user.Registry, error) {
	return user.Open(user.Options{
		Workdir: filepath.Join(b.dir, name), Users: users, HostDir: b.host, Admins: "daemon",
		Log: log.NewTo(&b.log, log.Config{Level: "debug"}),
	})
}

func (b *bench) registry() *user.Registry {
	b.t.Helper()
	r, err := b.open("one", usual)
	require.NoError(b.t, err)
	return r
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, "one", name) }

func service(t *testing.T, r *user.Registry, name string) user.ID {
	t.Helper()
	id, err := r.Service(name)
	require.NoError(t, err)
	return id
}

// A number stays that of its service, over restarts, and also when the list is lost.
func TestNumbersStay(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	seen := map[int]string{}
	for i := range 50 {
		name := fmt.Sprintf("s%d", i)
		id := service(t, r, name)
		require.Equal(t, id.UID, id.GID)
		require.True(t, usual.Contains(uint32(id.UID)))
		require.Empty(t, seen[id.UID])
		seen[id.UID] = name
	}
	gid, err := r.Volume(b.path("var/db/baetyl/v"))
	require.NoError(t, err)
	require.Empty(t, seen[gid])
	info, err := os.Stat(b.path(user.File))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())

	r = b.registry()
	for id, name := range seen {
		require.Equal(t, id, service(t, r, name).UID)
	}
	require.NoError(t, os.WriteFile(b.path(user.File), []byte("{half"), 0o600))
	r = b.registry()
	require.Contains(t, b.log.String(), "services get the same numbers again")
	same := 0
	for id, name := range seen {
		if service(t, r, name).UID == id {
			same++
		}
	}
	require.GreaterOrEqual(t, same, 48, "but for the few whose place another has taken first")
}

func TestRangeIsFull(t *testing.T) {
	b := newBench(t)
	r, err := b.open("one", engine.Users{First: 80000, Last: 80099})
	require.NoError(t, err)
	for i := range 100 {
		service(t, r, fmt.Sprint("s", i))
	}
	_, err = r.Service("more")
	require.ErrorIs(t, err, user.ErrFull)
	require.ErrorContains(t, err, "make the range 80000-80099 larger")
	was := service(t, r, "s7")
	r, err = b.open("one", engine.Users{First: 80000, Last: 80999})
	require.NoError(t, err)
	service(t, r, "more")
	require.Equal(t, was, service(t, r, "s7"), "a larger range keeps the numbers")
}

// Without a range in the configuration each installation finds one of its own, and keeps it.
func TestRangeIsChosen(t *testing.T) {
	b := newBench(t)
	none := engine.Users{}
	number := func(name string) uint32 {
		r, err := b.open(name, none)
		require.NoError(t, err)
		return uint32(service(t, r, "hub").UID)
	}
	one := number("one")
	require.True(t, engine.Users{First: 70000, Last: 70999}.Contains(one))
	require.NoError(t, exec.Command("cp", "-a", b.path(""), filepath.Join(b.dir, "copy")).Run())
	copied := number("copy")
	require.True(t, engine.Users{First: 71000, Last: 71999}.Contains(copied))
	require.Equal(t, one, number("one"))
	require.Equal(t, copied, number("copy"))
	require.NoError(t, os.WriteFile(filepath.Join(b.dir, "copy", user.File), []byte("{half"), 0o600))
	require.Equal(t, copied, number("copy"), "its list is lost, its claim is not")
}

// No two installations share a number, whatever was done to them.
func TestClaims(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	was := service(t, r, "hub")
	other := engine.Users{First: 80000, Last: 84999}

	require.NoError(t, exec.Command("cp", "-a", b.path(""), filepath.Join(b.dir, "copy")).Run())
	_, err := b.open("copy", usual)
	require.ErrorIs(t, err, user.ErrTaken)
	require.ErrorContains(t, err, "claim native.users 70000-74999: ")
	require.ErrorContains(t, err, b.path("")+", by "+b.host+"/70000-74999; write another range")
	require.ErrorContains(t, err, "native: {users: 75000-79999}")
	_, err = b.open("copy", engine.Users{First: 74999, Last: 75999})
	require.ErrorIs(t, err, user.ErrTaken, "one number in common")
	b.registry() // the original is not disturbed

	c, err := b.open("copy", other)
	require.NoError(t, err)
	require.True(t, other.Contains(uint32(service(t, c, "hub").UID)))
	b.registry()

	// One that was moved goes on, and its old place is free of it.
	require.NoError(t, os.Rename(b.path(""), filepath.Join(b.dir, "moved")))
	m, err := b.open("moved", usual)
	require.NoError(t, err)
	require.Equal(t, was, service(t, m, "hub"))

	// One that gets another range leaves the old one to others; one that is removed too.
	_, err = b.open("moved", engine.Users{First: 90000, Last: 94999})
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(b.dir, "new"), 0o755))
	_, err = b.open("new", usual)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(b.dir, "copy")))
	require.NoError(t, os.Mkdir(filepath.Join(b.dir, "newer"), 0o755))
	_, err = b.open("newer", other)
	require.NoError(t, err)

	// Through a link it is the same installation.
	require.NoError(t, os.Symlink("newer", filepath.Join(b.dir, "link")))
	_, err = b.open("link", other)
	require.NoError(t, err)
}

// A claim that can't be read does not stop every start; a list that can't be read counts as in use.
func TestDamagedClaims(t *testing.T) {
	b := newBench(t)
	b.registry()
	require.NoError(t, os.Mkdir(filepath.Join(b.dir, "two"), 0o755))
	list := b.path(user.File)
	good, err := os.ReadFile(list)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(list, []byte("{half"), 0o600))
	_, err = b.open("two", usual)
	require.ErrorIs(t, err, user.ErrTaken)
	require.NoError(t, os.WriteFile(list, good, 0o600))

	require.NoError(t, os.WriteFile(filepath.Join(b.host, usual.String()), []byte("{half"), 0o600))
	b.registry()
	require.Contains(t, b.log.String(), "claim of native.users is damaged")
}

// A host that keeps nothing has no claims; services have users all the same.
func TestReadOnlyHost(t *testing.T) {
	b := newBench(t)
	at := filepath.Join(b.dir, "system")
	require.NoError(t, os.Mkdir(at, 0o755))
	require.NoError(t, unix.Mount("none", at, "tmpfs", unix.MS_RDONLY, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(at, unix.MNT_DETACH)) })
	b.host = filepath.Join(at, "lib/native-users")
	service(t, b.registry(), "hub")
	require.Contains(t, b.log.String(), "a second installation here needs another native.users")

	// The folder may be there already, with claims of when the system was made: one of ours, of one that is gone, and of
	// another installation, which counts.
	require.NoError(t, unix.Mount("none", at, "tmpfs", unix.MS_REMOUNT, ""))
	require.NoError(t, os.Mkdir(filepath.Join(b.dir, "two"), 0o755))
	_, err := b.open("two", engine.Users{First: 80000, Last: 80999})
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(b.dir, "three"), 0o755))
	_, err = b.open("three", engine.Users{First: 81000, Last: 81999})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(b.dir, "three")))
	require.NoError(t, unix.Mount("none", at, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	service(t, b.registry(), "hub")
	_, err = b.open("one", engine.Users{First: 80000, Last: 80999})
	require.ErrorIs(t, err, user.ErrTaken)

	// A volume on it is as whoever made it wanted it.
	r := b.registry()
	s, err := r.Settle(at, engine.Use{Writers: member("hub")})
	require.NoError(t, err)
	require.Empty(t, s.Warnings)
}

func TestNamed(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	nobody, err := r.Named("nobody")
	require.NoError(t, err)
	require.Equal(t, 65534, nobody.UID)
	byNumber, err := r.Named("65534")
	require.NoError(t, err)
	require.Equal(t, nobody, byNumber)
	id, err := r.Named("12345:54321")
	require.NoError(t, err)
	require.Equal(t, user.ID{UID: 12345, GID: 54321}, id)
	id, err = r.Named("12345")
	require.NoError(t, err)
	require.Equal(t, user.ID{UID: 12345, GID: 12345}, id)
	root, err := r.Named("root:daemon")
	require.NoError(t, err)
	require.Zero(t, root.UID)
	for text, want := range map[string]string{
		"no-such-user":         "user no-such-user: this host has no such user; make it, or write its number",
		"nobody:no-such-group": "this host has no group no-such-group",
		"70001":                "70001 may be the number of another service, here (native.users 70000-74999)",
		"12345:70001":          "70001 may be the number of another service",
		"90001":                "90001 may be the number of another service",
		"a b":                  `"a b" is not a name`,
		"12345:daemon":         "its group is daemon, which may use the API without a token; write another: 12345:<group>",
	} {
		_, err := r.Named(text)
		require.ErrorContains(t, err, want, text)
	}
}

// Installations that start at the same moment get ranges of their own: none takes the claim of one whose list is not
// written yet for one of nobody.
func TestClaimsAtOnce(t *testing.T) {
	for range 10 {
		b := newBench(t)
		var mu sync.Mutex
		var wg sync.WaitGroup
		seen := map[int]string{}
		for n := range 12 {
			name := fmt.Sprint("at-once", n)
			require.NoError(t, os.Mkdir(filepath.Join(b.dir, name), 0o755))
			wg.Go(func() {
				r, err := user.Open(user.Options{
					Workdir: filepath.Join(b.dir, name), HostDir: b.host, Admins: "daemon", Log: log.Discard(),
				})
				if !assert.NoError(t, err) {
					return
				}
				id, err := r.Service("same")
				assert.NoError(t, err)
				mu.Lock()
				defer mu.Unlock()
				assert.Empty(t, seen[id.UID], "%s has the user of another installation", name)
				seen[id.UID] = name
			})
		}
		wg.Wait()
	}
}
