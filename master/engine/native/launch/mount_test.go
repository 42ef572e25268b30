//go:build linux

package launch

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/baetyl/baetyl/master/engine/native/launch/attack"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// try lets the program of s try the attacks, and returns the outcome of each.
func try(t *testing.T, s Spec, attacks ...string) map[string]string {
	t.Helper()
	s.Args = append(s.Args[:2:2], attacks...)
	var got map[string]string
	launched(t, s, &got)
	return got
}

func put(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	require.NoError(t, os.Chmod(path, 0o666)) // everybody: what protects it is the mount
}

func TestReadOnlyIsReadOnly(t *testing.T) {
	needRoot(t)
	dir := folder(t)
	file, below := filepath.Join(dir, "file"), filepath.Join(dir, "mounted/file")
	put(t, file, "1")
	put(t, filepath.Join(dir, "mounted/hides"), "")
	require.NoError(t, unix.Mount("tmpfs", filepath.Dir(below), "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, ""))
	defer func() { require.NoError(t, unix.Unmount(filepath.Dir(below), 0)) }()
	put(t, below, "2")

	s := spec(attack.Arg)
	s.ReadOnly = []string{dir}
	mounts := try(t, s, "read:/proc/self/mountinfo")["read:/proc/self/mountinfo"]
	require.Contains(t, mounts, filepath.Dir(below)+" ro,nosuid,noexec,relatime ", "a remount keeps what it does not name")
	const readonly, denied = "read-only file system", "operation not permitted"
	want := map[string]string{
		"read:" + file: "=1", "append:" + file: readonly, "create:" + dir + "/new": readonly,
		"read:" + below: "=2", "append:" + below: readonly,
		"remount:" + dir: denied, "unmount:" + dir: denied, "unmount:" + filepath.Dir(below): denied,
	}
	args := keys(want)
	require.Equal(t, want, try(t, s, args...))

	s = spec(attack.ArgRoot)
	s.ReadOnly = []string{dir}
	got := try(t, s, args...)
	if why := got[attack.NoNamespace]; why != "" {
		t.Log("user namespaces:", why)
	} else {
		want["unmount:"+dir], want["unmount:"+filepath.Dir(below)] = "invalid argument", "invalid argument" // locked
		require.Equal(t, want, got)
	}

	s = spec(attack.Arg)
	s.UID, s.GID, s.Privileged, s.ReadOnly = 0, 0, true, []string{dir}
	require.Equal(t, readonly, try(t, s, "append:"+file)["append:"+file], "also to root")
	put(t, file, "the host writes")
}

func keys(m map[string]string) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func TestHiddenIsNotSeen(t *testing.T) {
	needRoot(t)
	dir := folder(t)
	secret, others, own := filepath.Join(dir, "secret"), filepath.Join(dir, "services"), filepath.Join(dir, "services/own")
	put(t, secret, "token")
	put(t, filepath.Join(others, "other/data"), "of another service")
	put(t, filepath.Join(own, "data"), "own")
	put(t, filepath.Join(dir, "place/at"), "")
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, "link")))

	s := spec(attack.Arg)
	s.Hidden = []string{filepath.Join(dir, "link"), others, filepath.Join(dir, "missing")}
	s.Binds = []Bind{{Source: own, Target: own}, {Source: dir, Target: filepath.Join(dir, "place")}}
	want := map[string]string{
		"read:" + secret: "=", "list:" + others: "=own", "read:" + own + "/data": "=own",
		"create:" + others + "/new":     "read-only file system",
		"read:" + dir + "/place/secret": "=", "list:" + dir + "/place/services": "=", // the same at another place
	}
	require.Equal(t, want, try(t, s, keys(want)...))

	s.UID, s.GID, s.Privileged = 0, 0, true
	require.Equal(t, want, try(t, s, keys(want)...), "also to root")
	s.Hidden = append(s.Hidden, "/dev")
	require.Equal(t, want, try(t, s, keys(want)...), "without /dev")

	s = spec(attack.ArgRoot)
	s.Hidden = []string{secret, others}
	got := try(t, s, "unmount:"+secret, "read:"+secret, "unmount:"+others, "list:"+others)
	if got[attack.NoNamespace] == "" {
		require.Equal(t, map[string]string{
			"unmount:" + secret: "invalid argument", "read:" + secret: "=",
			"unmount:" + others: "invalid argument", "list:" + others: "=",
		}, got)
	}
}

func TestTmpIsPrivate(t *testing.T) {
	needRoot(t)
	mark, err := os.MkdirTemp("/tmp", "mark")
	require.NoError(t, err)
	defer os.RemoveAll(mark)
	s := spec(attack.Arg)
	s.PrivateTmp = true
	s.Binds = []Bind{{Source: program(), Target: "/tmp/program/victim", ReadOnly: true}}
	s.Program = "/tmp/program/victim"
	want := map[string]string{
		"list:/tmp": "=program", "create:/tmp/x": "=", "read:/var/tmp/x": "=attack",
		"create:/tmp/program/x": "permission denied",
	}
	require.Equal(t, want, try(t, s, "list:/tmp", "create:/tmp/x", "read:/var/tmp/x", "create:/tmp/program/x"))
	require.NoFileExists(t, "/tmp/x")
}

// An installation, or an interpreter, below a folder that only root may enter.
func TestFoldersOnlyRootMayEnter(t *testing.T) {
	needRoot(t)
	closed := filepath.Join(folder(t), "root") // as /root
	python, work := filepath.Join(closed, "pyenv/versions/3"), filepath.Join(closed, "clone/var/db/own")
	put(t, filepath.Join(closed, "pyenv/secret"), "")
	put(t, filepath.Join(python, "bin/lib"), "lib")
	put(t, filepath.Join(work, "data"), "data")
	put(t, filepath.Join(closed, ".ssh/id"), "key")
	require.NoError(t, os.Chmod(closed, 0o700))
	require.NoError(t, os.Chown(filepath.Join(work, "data"), service, service))

	s := spec(attack.Arg)
	s.ReadOnly = []string{python}
	s.Binds = []Bind{
		{Source: work, Target: work},
		{Source: "/dev/null", Target: filepath.Join(closed, "a/b/passwd"), ReadOnly: true},
	}
	want := map[string]string{
		"list:" + closed: "=a clone pyenv", "list:" + closed + "/pyenv": "=versions",
		"read:" + python + "/bin/lib": "=lib", "append:" + python + "/bin/lib": "read-only file system",
		"append:" + work + "/data": "=", "read:" + closed + "/.ssh/id": "no such file or directory",
		"create:" + closed + "/new": "read-only file system", "read:" + closed + "/a/b/passwd": "=",
	}
	require.Equal(t, want, try(t, s, keys(want)...))
	require.NoDirExists(t, filepath.Join(closed, "a"), "a folder of the host was made")

	s.Binds, s.Dir = nil, work
	_, why := output(t, command(), s)
	require.Equal(t, "0 enter the working directory: "+work+": no such file or directory", why)
}

// Below a folder of the host no place is made, wherever it is shown: it would be made as root, in what a service fills.
func TestNothingIsMadeInVolumes(t *testing.T) {
	needRoot(t)
	volume := folder(t)
	s := spec("see")
	s.PrivateTmp = true
	s.Binds = []Bind{{Source: volume, Target: "/tmp/v"}, {Source: volume, Target: "/tmp/v/new"}}
	_, text := refused(t, s)
	require.Contains(t, text, "open /tmp/v/new: no such file or directory")
	require.NoDirExists(t, filepath.Join(volume, "new"))
}

// A service that can write to a folder must not choose what root opens for the next start.
func TestLinksAreNotFollowed(t *testing.T) {
	needRoot(t)
	dir := folder(t)
	put(t, filepath.Join(dir, "volume/x"), "")
	link := filepath.Join(dir, "volume/sub")
	require.NoError(t, os.Symlink("/root", link))
	for _, c := range []struct {
		change func(*Spec)
		text   string
	}{
		{func(s *Spec) { s.ReadOnly = []string{link} }, "make mounts: bind " + link + ": " + link + " is a link"},
		{func(s *Spec) { s.Binds = []Bind{{Source: dir, Target: link + "/x"}} }, "make mounts: bind " + dir + " at " + link + "/x: replace " + link + ": " + link + " is a link"},
		{func(s *Spec) { s.Binds = []Bind{{Source: dir, Target: dir + "/new"}} }, "make mounts: bind " + dir + " at " + dir + "/new: open " + dir + "/new: no such file or directory"},
	} {
		s := spec("see")
		c.change(&s)
		_, text := refused(t, s)
		require.Equal(t, c.text, text)
	}
}

func TestHostSeesNoMounts(t *testing.T) {
	needRoot(t)
	// A host of its own, whose mounts are shared as systemd has them: other tests mount and unmount at the same time.
	runtime.LockOSThread() // for good: the thread ends with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNS))
	for _, how := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		require.NoError(t, unix.Mount("", "/", "", how|unix.MS_REC, ""))
	}
	lines := func() []string {
		data, err := os.ReadFile("/proc/thread-self/mountinfo")
		require.NoError(t, err)
		return strings.Split(string(data), "\n")
	}
	before := lines()
	dir := folder(t)
	put(t, filepath.Join(dir, "f"), "")
	s := spec("see")
	s.PrivateTmp, s.HideProc, s.ReadOnly, s.Hidden = true, true, []string{dir}, []string{filepath.Join(dir, "f")}
	s.Binds = []Bind{{Source: filepath.Dir(program()), Target: filepath.Dir(program())}}
	var got seen
	launched(t, s, &got)
	after := lines()
	require.Subset(t, before, after)
	for _, line := range before {
		if !slices.Contains(after, line) { // its folder is gone: an overlay of docker's
			require.NoDirExists(t, strings.Fields(line)[4])
		}
	}
}
