package user_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native/user"
)

// file makes a file of root with its folders.
func (b *bench) file(name string, mode os.FileMode) string {
	b.t.Helper()
	path := b.path(name)
	require.NoError(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(b.t, os.WriteFile(path, []byte("x"), 0o600))
	require.NoError(b.t, os.Chmod(path, mode))
	return path
}

// is compares owner, group and mode, in the form "uid gid mode"; the owners of the test by name.
func (b *bench) is(path, want string) {
	b.t.Helper()
	info, err := os.Lstat(path)
	require.NoError(b.t, err)
	s := info.Sys().(*syscall.Stat_t)
	require.Equal(b.t, want, fmt.Sprintf("%d %d %04o", s.Uid, s.Gid, s.Mode&0o7777), path)
}

func member(names ...string) (out []engine.Member) {
	for _, n := range names {
		out = append(out, engine.Member{Service: n})
	}
	return out
}

// as runs a shell as a service with groups, and returns whether it succeeds.
func as(t *testing.T, id user.ID, groups []int, script string) bool {
	t.Helper()
	c := exec.Command("/bin/sh", "-c", "umask 002; "+script)
	cred := &syscall.Credential{Uid: uint32(id.UID), Gid: uint32(id.GID)}
	for _, g := range groups {
		cred.Groups = append(cred.Groups, uint32(g))
	}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	return c.Run() == nil
}

// passable lets other users pass the folders above, which a mount namespace of the service does otherwise.
func (b *bench) passable() {
	for dir := b.path(""); dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			require.NoError(b.t, os.Chmod(dir, info.Mode()|0o011))
		}
	}
}

// What one service writes is its own; readers read; others see nothing.
func TestVolumeOfOneService(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	b.passable()
	hub, spy := service(t, r, "hub"), service(t, r, "spy")
	dir := b.path("var/db/baetyl/hub-data")
	f := b.file("var/db/baetyl/hub-data/sub/secret", 0o600)
	b.file("var/db/baetyl/hub-data/run.sh", 0o755)
	s, err := r.Settle(dir, engine.Use{Writers: member("hub"), Readers: member("spy")})
	require.NoError(t, err)
	require.Empty(t, s.Warnings)
	require.False(t, s.Shared)
	b.is(dir, fmt.Sprintf("%d %d 2750", hub.UID, s.GID))
	b.is(f, fmt.Sprintf("%d %d 0640", hub.UID, s.GID))
	b.is(dir+"/run.sh", fmt.Sprintf("%d %d 0755", hub.UID, s.GID))
	require.Equal(t, 1, strings.Count(b.log.String(), "files of a volume now belong to user"))
	require.Contains(t, b.log.String(), "files=4")

	require.True(t, as(t, hub, []int{s.GID}, "echo y >"+f+" && mkdir "+dir+"/new && "+dir+"/run.sh || [ -d "+dir+"/new ]"))
	require.True(t, as(t, spy, []int{s.GID}, "cat "+f), "a reader")
	require.False(t, as(t, spy, []int{s.GID}, "echo z >"+f))
	require.False(t, as(t, spy, nil, "cat "+f), "a stranger")
	require.False(t, as(t, spy, nil, "ls "+dir+"/run.sh"))

	// Later starts touch nothing, not even what has another owner by now.
	require.NoError(t, os.Chown(f, 0, 0))
	_, err = b.registry().Settle(dir, engine.Use{Writers: member("hub"), Readers: member("spy")})
	require.NoError(t, err)
	b.is(f, "0 0 0640")
	require.Equal(t, 1, strings.Count(b.log.String(), "files of a volume"))
}

// What only its owner uses keeps its modes: a key that no group may read stays one.
func TestPrivateVolume(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	key := b.file("var/db/x/id_rsa", 0o600)
	use := engine.Use{Writers: member("tunnel")}
	s, err := r.Settle(filepath.Dir(key), use)
	require.NoError(t, err)
	id := service(t, r, "tunnel")
	b.is(key, fmt.Sprintf("%d %d 0600", id.UID, s.GID))
	b.is(filepath.Dir(key), fmt.Sprintf("%d %d 2750", id.UID, s.GID))
	use.Readers = member("reader")
	_, err = r.Settle(filepath.Dir(key), use)
	require.NoError(t, err)
	b.is(key, fmt.Sprintf("%d %d 0640", id.UID, s.GID))
}

// Several that write have the group.
func TestSharedVolume(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	b.passable()
	one, two := service(t, r, "one"), service(t, r, "two")
	dir, f := b.path("var/db/x"), b.file("var/db/x/sub/f", 0o644)
	_, err := r.Settle(dir, engine.Use{Writers: member("one")})
	require.NoError(t, err)
	s, err := r.Settle(dir, engine.Use{Writers: member("one", "two")})
	require.NoError(t, err)
	require.True(t, s.Shared)
	b.is(dir, fmt.Sprintf("0 %d 2770", s.GID))
	b.is(f, fmt.Sprintf("0 %d 0664", s.GID))
	require.True(t, as(t, one, []int{s.GID}, "echo 1 >"+f+" && mkdir "+dir+"/sub/d && echo 1 >"+dir+"/sub/d/f"))
	require.True(t, as(t, two, []int{s.GID}, "echo 2 >"+f+" && echo 2 >>"+dir+"/sub/d/f && echo 2 >"+dir+"/sub/d/g"))
	require.False(t, as(t, service(t, r, "three"), nil, "cat "+f))

	// And back: all is the one's again.
	_, err = r.Settle(dir, engine.Use{Writers: member("two")})
	require.NoError(t, err)
	b.is(dir+"/sub/d/f", fmt.Sprintf("%d %d 0664", two.UID, s.GID))
}

// What nobody writes stays root's, and only those who mount it read it. A file of the master can be a volume too.
func TestReadOnlyVolume(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	b.passable()
	key := b.file("var/db/baetyl/conf/key.pem", 0o600)
	s, err := r.Settle(filepath.Dir(key), engine.Use{Readers: member("hub")})
	require.NoError(t, err)
	b.is(key, fmt.Sprintf("0 %d 0640", s.GID))
	require.True(t, as(t, service(t, r, "hub"), []int{s.GID}, "cat "+key))
	require.False(t, as(t, service(t, r, "hub"), []int{s.GID}, "echo >"+key))
	require.False(t, as(t, service(t, r, "spy"), nil, "cat "+key))

	single := b.file("var/db/single", 0o644)
	s, err = r.Settle(single, engine.Use{Readers: member("hub")})
	require.NoError(t, err)
	b.is(single, fmt.Sprintf("0 %d 0640", s.GID))
}

func TestOwnerOfVolume(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	hub := service(t, r, "hub")
	for i, c := range []struct {
		use  engine.Use
		want string
	}{
		{engine.Use{Owner: engine.Member{User: "nobody"}}, "65534 %d 2750"},
		{engine.Use{Owner: engine.Member{User: "123:456"}, Writers: member("hub")}, "123 %d 2770"},
		{engine.Use{Owner: engine.Member{Service: "hub"}, Writers: member("hub", "x")}, fmt.Sprint(hub.UID) + " %d 2770"},
		{engine.Use{Owner: engine.Member{Service: "hub"}}, fmt.Sprint(hub.UID) + " %d 2750"},
		{engine.Use{Writers: []engine.Member{{Service: "hub", User: "root"}}}, "0 %d 2750"},
		{engine.Use{Writers: []engine.Member{{Service: "hub", User: "12345"}}}, "12345 %d 2750"},
	} {
		dir := b.path(fmt.Sprintf("var/v%d", i))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		s, err := r.Settle(dir, c.use)
		require.NoError(t, err)
		b.is(dir, fmt.Sprintf(c.want, s.GID))
	}
	_, err := r.Settle(b.path("var/v0"), engine.Use{Owner: engine.Member{User: "no-such-user"}})
	require.ErrorContains(t, err, "this host has no such user")
}

// Folders of the master are given to nobody.
func TestMastersFolders(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	for _, dir := range []string{"bin", "etc/baetyl", "var/log/baetyl", "var/db/baetyl", "lib"} {
		require.NoError(t, os.MkdirAll(b.path(dir), 0o755))
	}
	for _, dir := range []string{"bin", "etc", "etc/baetyl", "var/log", "lib", "var/db", ".", "var"} {
		s, err := r.Settle(b.path(dir), engine.Use{})
		require.NoError(t, err)
		require.Zero(t, s)
		b.is(b.path(dir), "0 0 0755")
	}
	for _, dir := range []string{"bin", "etc", "var/log/baetyl"} {
		_, err := r.Settle(b.path(dir), engine.Use{Writers: member("hub")})
		require.ErrorContains(t, err, "it has files of the master")
		_, err = r.Settle(b.path(dir), engine.Use{Writers: []engine.Member{{Service: "hub", User: "root"}}})
		require.NoError(t, err)
	}
	s, err := r.Settle(b.path("var/db/baetyl"), engine.Use{Writers: member("agent")})
	require.NoError(t, err)
	require.Zero(t, s)

	// Neither is what lies in them; who only reads it gets in.
	for _, name := range []string{
		"bin/baetyl", "lib/x/y", "etc/baetyl/conf.yml", "var/run/x", "var/log/baetyl/x", "var/db/baetyl/application.yml",
	} {
		f := b.file(name, 0o640)
		for _, u := range []engine.Use{
			{Writers: member("hub")}, {Owner: engine.Member{Service: "hub"}}, {Owner: engine.Member{User: "nobody"}},
		} {
			_, err := r.Settle(f, u)
			require.ErrorContains(t, err, "it has files of the master, or is one of them")
		}
		b.is(f, "0 0 0640")
		s, err := r.Settle(f, engine.Use{Readers: member("hub")})
		require.NoError(t, err)
		b.is(f, fmt.Sprintf("0 %d 0640", s.GID))
	}
	dir := filepath.Dir(b.file("var/db/baetyl/v/f", 0o600))
	_, err = r.Settle(dir, engine.Use{Writers: member("hub")})
	require.NoError(t, err)
}

// A volume in another one keeps its owner.
func TestNestedVolumes(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	f := b.file("var/db/v/inner/f", 0o600)
	_, err := r.Settle(filepath.Dir(f), engine.Use{Writers: member("inner")})
	require.NoError(t, err)
	_, err = r.Settle(b.path("var/db/v"), engine.Use{Writers: member("outer")})
	require.NoError(t, err)
	gid, err := r.Volume(filepath.Dir(f))
	require.NoError(t, err)
	b.is(f, fmt.Sprintf("%d %d 0600", service(t, r, "inner").UID, gid))
}

// A new folder at the same place is given away again, and so is everything when the list is lost.
func TestGivenAgain(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	use := engine.Use{Writers: member("hub")}
	f := b.file("var/db/v/f", 0o600)
	dir := filepath.Dir(f)
	_, err := r.Settle(dir, use)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))
	b.file("var/db/v/f", 0o600)
	s, err := r.Settle(dir, use)
	require.NoError(t, err)
	want := fmt.Sprintf("%d %d 0600", service(t, r, "hub").UID, s.GID)
	b.is(f, want)
	require.NoError(t, os.Remove(b.path(user.File)))
	require.NoError(t, os.Chown(f, 0, 0))
	_, err = b.registry().Settle(dir, use)
	require.NoError(t, err)
	b.is(f, want)

	// Another range: other numbers, and what is there is given to them.
	r, err = b.open("one", engine.Users{First: 90000, Last: 90999})
	require.NoError(t, err)
	s, err = r.Settle(dir, use)
	require.NoError(t, err)
	b.is(f, fmt.Sprintf("%d %d 0600", service(t, r, "hub").UID, s.GID))
	require.GreaterOrEqual(t, s.GID, 90000)
}

func TestManyFiles(t *testing.T) {
	b := newBench(t)
	r := b.registry()
	for i := range 10_000 {
		if i%100 == 0 {
			require.NoError(t, os.MkdirAll(b.path(fmt.Sprintf("var/db/v/%d", i/100)), 0o755))
		}
		require.NoError(t, os.WriteFile(b.path(fmt.Sprintf("var/db/v/%d/%d", i/100, i)), nil, 0o600))
	}
	began := time.Now()
	_, err := r.Settle(b.path("var/db/v"), engine.Use{Writers: member("hub")})
	require.NoError(t, err)
	t.Logf("10,000 files: %s", time.Since(began))
	require.Contains(t, b.log.String(), "files=10101")
	b.is(b.path("var/db/v/99/9999"), fmt.Sprintf("%d %d 0600", service(t, r, "hub").UID, groupOf(t, r, b)))
	deep := b.path("var/db/v/99/9999")
	require.NoError(t, os.Chown(deep, 0, 0))
	_, err = r.Settle(b.path("var/db/v"), engine.Use{Writers: member("hub")})
	require.NoError(t, err)
	b.is(deep, "0 0 0600") // no walk at a later start
}

func groupOf(t *testing.T, r *user.Registry, b *bench) int {
	gid, err := r.Volume(b.path("var/db/v"))
	require.NoError(t, err)
	return gid
}
