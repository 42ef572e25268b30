package native_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// calledScript listens as a function runtime does that knows nothing of users and modes. It answers with one line.
const calledScript = `exec python3 -u -c '
import os, socket
s = socket.socket(socket.AF_UNIX)
s.bind(os.environ["BAETYL_SERVICE_INSTANCE_ADDRESS"][5:])
s.listen(8)
print("up")
while True:
    c, _ = s.accept()
    c.sendall(b"hello\n")
    c.close()
'`

// callScript calls what listens at a path, as soon as its folder has it, and prints what it got.
const callScript = `exec python3 -u -c '
import os, socket, time
print("up")
path = "PATH"
while True:
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(path)
        print("got", s.makefile().readline().strip())
        break
    except OSError: # it is being made
        time.sleep(0.02)
time.sleep(1000)
'`

// spyScript tries what another service has no business with; each line that it gets done is a fault.
const spyScript = `exec python3 -u -c '
import os, socket
path, dir, all = "PATH", os.path.dirname("PATH"), os.path.dirname(os.path.dirname("PATH"))
def call():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
def squat():
    s = socket.socket(socket.AF_UNIX)
    s.bind(path + "2")
for name, do in dict(call=call, squat=squat, remove=lambda: os.remove(path), look=lambda: os.listdir(dir),
                     list=lambda: os.listdir(all), link=lambda: os.symlink("/tmp", all + "/x"),
                     replace=lambda: os.rename(dir, all + "/y"), mode=lambda: os.chmod(dir, 0o777),
                     mine=lambda: os.mkdir(all + "/z")).items():
    try:
        do()
        print("DONE:", name)
    except OSError as e:
        pass
print("tried")
'`

// called is the service f, whose package takes unix sockets, and the path of its instance's.
func (h *host) called(t *testing.T, script string) (engine.Service, engine.Spec, string) {
	s := h.service(t, "f", script)
	require.Empty(t, h.Socket(s, "f.1"), "a package says that it takes a socket")
	h.write(t, "var/db/baetyl/pkg-f/function.yml", "socket: true\n", 0o644)
	path := h.Socket(s, "f.1")
	require.NotEmpty(t, path)
	spec := engine.Spec{Name: "f.1", Caller: engine.Member{Service: "manager"}, Env: map[string]string{
		masterapi.EnvInstanceAddress: "unix:" + path,
	}}
	return s, spec, path
}

func (h *host) manager(t *testing.T, script string) engine.Service {
	m := h.service(t, "manager", script)
	m.API = []app.Right{{Name: app.RightStart}}
	return m
}

// wrote waits until an instance has written a line.
func wrote(t *testing.T, i engine.Instance, line string) {
	t.Helper()
	require.Eventually(t, func() bool { return slices.Contains(i.Output(), line) }, time.Minute, 10*time.Millisecond,
		"%s, output %q", line, i.Output())
}

// asNobody runs a script as a user of the host that has nothing to do with services.
func asNobody(script string) string {
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = "/"
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// An instance is called by the service that has started it, which sees the socket although it was started before it,
// and by nobody else: no user of the host, and no other service.
func TestCallsOverASocket(t *testing.T) {
	h := ownHost(t)
	s, spec, path := h.called(t, calledScript)
	manager := h.manager(t, strings.ReplaceAll(callScript, "PATH", path))
	mbox, m := h.start(t, manager, nil)
	wrote(t, m, "up")
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777), "what an earlier one has left is removed")
	require.NoError(t, os.WriteFile(path, nil, 0o666))
	i, err := box.Start(t.Context(), spec)
	require.NoError(t, err)
	wrote(t, i, "up")
	wrote(t, m, "got hello")

	spy := strings.ReplaceAll(spyScript, "PATH", path)
	require.Equal(t, []string{"tried"}, h.once(t, h.service(t, "spy", spy)))
	require.Equal(t, "tried\n", asNobody(spy))
	other := h.manager(t, spy) // another function manager sees the folders of all
	other.Name = "manager2"
	require.Equal(t, []string{"tried"}, h.once(t, other))

	info, err := os.Lstat(filepath.Dir(path))
	require.NoError(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	require.Equal(t, fmt.Sprint(h.uid(t, "f"), h.uid(t, "manager")), fmt.Sprint(stat.Uid, stat.Gid))
	require.Equal(t, os.FileMode(0o710), info.Mode().Perm())
	kill(i)
	require.NoDirExists(t, filepath.Dir(path))
	kill(m)
	require.NoError(t, box.Close())
	require.NoError(t, mbox.Close())
	require.NoError(t, h.Close())
	require.NoDirExists(t, filepath.Dir(filepath.Dir(path)))
}

// The socket of an instance that is adopted stays, and goes with it.
func TestSocketOfAnAdoptedInstance(t *testing.T) {
	h := ownHost(t)
	s, spec, path := h.called(t, calledScript)
	spec.Handle = "h1"
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	i, err := box.Start(t.Context(), spec)
	require.NoError(t, err)
	wrote(t, i, "up")
	stale := filepath.Join(filepath.Dir(filepath.Dir(path)), "stale")
	require.NoError(t, os.Mkdir(stale, 0o700))
	h.successor(t)
	keep := []engine.Record{i.Record()}
	require.NoError(t, h.Reap(t.Context(), keep, keep))
	require.NoDirExists(t, stale)
	require.FileExists(t, path)
	box, err = h.Open(t.Context(), s)
	require.NoError(t, err)
	i, err = box.Adopt(t.Context(), spec, keep[0])
	require.NoError(t, err)
	require.FileExists(t, path)
	kill(i)
	require.NoDirExists(t, filepath.Dir(path))
}

// A master that is an ordinary user gives services no users: what is left is that no other user gets in.
func TestCallsOverASocketWithoutUsers(t *testing.T) {
	h := newHost(t)
	s, spec, path := h.called(t, calledScript)
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	i, err := box.Start(t.Context(), spec)
	require.NoError(t, err)
	wrote(t, i, "up")
	info, err := os.Lstat(filepath.Dir(path))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	if os.Geteuid() == 0 {
		require.Equal(t, "tried\n", asNobody(strings.ReplaceAll(spyScript, "PATH", path)))
	}
	kill(i)
}

// Where the path would be too long, instances get ports.
func TestSocketWithALongPath(t *testing.T) {
	h := newHost(t)
	long := filepath.Join(h.dir, strings.Repeat("x", 60))
	require.NoError(t, os.MkdirAll(long, 0o755))
	h.dir, h.opts.Workdir = long, long
	h.Engine = native.New(h.opts)
	s := h.service(t, "f", "exit 0")
	h.write(t, "var/db/baetyl/pkg-f/function.yml", "socket: true\n", 0o644)
	require.Empty(t, h.Socket(s, "f.1"))
	h.write(t, "var/db/baetyl/pkg-f/function.yml", "sockets: true\n", 0o644)
	_, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	require.ErrorContains(t, h.Check(s), `lib/baetyl/pkg/function.yml: sockets: unknown key; did you mean "socket"?`)
}
