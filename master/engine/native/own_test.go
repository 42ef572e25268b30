//go:build linux

package native_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/protocol/app"
)

// needsRoot skips a test that changes users and mounts.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "mount", "--bind", "/tmp", "/tmp").Run() != nil {
		t.Skip("this test needs root, and the right to mount")
	}
}

// ownHost is a host whose services have users of their own.
func ownHost(t *testing.T, change ...func(*native.Options)) *host {
	t.Helper()
	needsRoot(t)
	return newHost(t, append([]func(*native.Options){withUsers(t)}, change...)...)
}

// once runs a script as a service to its end, and returns what it wrote.
func (h *host) once(t *testing.T, s engine.Service) []string {
	t.Helper()
	box, i := h.start(t, s, nil)
	enginetest.Ended(t, i)
	require.NoError(t, i.Exit().Err, i.Output())
	out := i.Output()
	kill(i)
	require.NoError(t, box.Close())
	return out
}

// uid is the number of a service's user and group.
func (h *host) uid(t *testing.T, service string) int {
	t.Helper()
	users, err := h.opts.Users()
	require.NoError(t, err)
	id, err := users.Service(service)
	require.NoError(t, err)
	return id.UID
}

func TestEngineWithUsers(t *testing.T) {
	needsRoot(t)
	testEngine(t, withUsers(t))
}

// What a service is, seen from inside.
func TestInsideOfAService(t *testing.T) {
	h := ownHost(t)
	s := h.service(t, "svc", `
grep -E '^(Uid|Gid|Groups|NoNewPrivs|Cap(Prm|Eff|Bnd|Amb|Inh)|SigBlk|SigIgn):' /proc/self/status | tr '\t' ' '
echo umask $(umask) oom $(cat /proc/self/oom_score_adj) core $(ulimit -c)
echo fds $(ls /proc/self/fd | head -4 | tr '\n' ' ')
tty 2>&1
run=$BAETYL_SERVICE_RUN_DIR
echo home $HOME; touch ~/mine data/mine /tmp/mine "$run/mine" && stat -c '%a %U:%g' . "$run"`)
	s = with(s, "data", "var/db/baetyl/data", "data", false)
	h.write(t, "var/db/baetyl/data/kept", "", 0o644)
	out := strings.Join(h.once(t, s), "\n")
	uid := strconv.Itoa(h.uid(t, "svc"))
	four := strings.TrimSpace(strings.Repeat(uid+" ", 4))
	for _, want := range []string{
		"Uid: " + four, "Gid: " + four, "NoNewPrivs: 1",
		"CapInh: 0000000000000000", "CapPrm: 0000000000000000", "CapEff: 0000000000000000", "CapBnd: 0000000000000000",
		"CapAmb: 0000000000000000", "SigBlk: 0000000000000000", "SigIgn: 0000000000000000",
		"umask 0022 oom 0 core 0", "fds 0 1 2 3\n", // 3 is the folder that ls reads
		"not a tty", "home " + h.path("var/run/baetyl/services/svc"), "700 UNKNOWN:" + uid + "\n700 UNKNOWN:" + uid,
	} {
		require.Contains(t, out+"\n", want)
	}
	require.NoFileExists(t, "/tmp/mine")
}

// attack is what a service tries against the host and another service; each line that it gets done is a fault.
const attack = `
try() { if ("$@") >/dev/null 2>&1; then echo "DONE: $*"; fi; }
for p in /proc/[0-9]*; do
	[ "$p" = /proc/$$ ] || ! tr '\0' '\n' <$p/environ 2>/dev/null | grep -q TOKEN=of-victim || echo "DONE: read $p/environ"
done
try ls WORK/var/run/baetyl/services/victim
try ls WORK/var/run/baetyl/instances/victim
try cat PRIVATE/secret
try cat WORK/var/db/baetyl/data-victim/secret
try cat WORK/var/db/baetyl/application.yml
try cat WORK/var/db/baetyl/users.json
try cat WORK/var/run/baetyl/instances.json
try cat WORK/var/log/baetyl/services/victim.log
try cat WORK/etc/baetyl/conf.yml
try test -e WORK/var/run/baetyl/admin.sock
try sh -c 'echo x >etc/conf/service.yml'
try sh -c 'echo x >WORK/var/db/baetyl/conf/service.yml'
try rm -f lib/baetyl/pkg/bin/run
try mount -t tmpfs none /mnt
try umount WORK/var/db/baetyl
try chmod u+s /bin/sh
try kill -0 VICTIM
try sh -c 'echo VICTIM >/sys/fs/cgroup/memory/cgroup.procs'
try sh -c 'echo $$ >/sys/fs/cgroup/memory/cgroup.procs'
try cat /etc/shadow
try nsenter -t 1 -m true
try chroot / true
try chown 0 .
echo attacked`

func TestAttacksOfAService(t *testing.T) {
	h := ownHost(t)
	victim := h.service(t, "victim", `echo top secret >data/secret
echo s >$BAETYL_SERVICE_RUN_DIR/secret; echo up; exec sleep 1000`)
	victim = with(victim, "data-victim", "var/db/baetyl/data-victim", "data", false)
	box, err := h.Open(t.Context(), victim)
	require.NoError(t, err)
	v, err := box.Start(t.Context(), engine.Spec{Name: "victim", Env: map[string]string{"TOKEN": "of-victim"}})
	require.NoError(t, err)
	enginetest.Output(t, v, "up")
	for _, f := range []string{
		"etc/baetyl/conf.yml", "var/db/baetyl/application.yml", "var/run/baetyl/instances.json",
		"var/db/baetyl/conf/service.yml",
	} {
		h.write(t, f, "secret: 1\n", 0o644)
	}
	l, err := net.Listen("unix", h.path("var/run/baetyl/admin.sock"))
	require.NoError(t, err)
	defer l.Close()

	pid := strconv.Itoa(v.Record().Process.ID)
	script := strings.NewReplacer("WORK", h.dir, "PRIVATE", h.private("victim"), "VICTIM", pid).Replace(attack)
	s := with(h.service(t, "attacker", script), "conf", "var/db/baetyl/conf", "etc/conf", true)
	require.Equal(t, []string{"attacked"}, h.once(t, s))
	require.FileExists(t, h.private("victim")+"/secret")
	kill(v)
}

// The admin socket is for persons: also a service that is root does not see it.
func TestRootServiceDoesNotSeeTheAdminSocket(t *testing.T) {
	h := ownHost(t)
	require.NoError(t, os.MkdirAll(h.path("var/run/baetyl"), 0o755))
	l, err := net.Listen("unix", h.path("var/run/baetyl/admin.sock"))
	require.NoError(t, err)
	defer l.Close()
	s := h.service(t, "svc", "id -u; ls "+h.path("var/run/baetyl")+"; grep CapEff /proc/self/status")
	s.User = "root"
	out := h.once(t, s)
	require.Equal(t, []string{"0", "instances", "services"}, out[:3])
	require.NotContains(t, out[3], "CapEff:\t0000000000000000")
}

// A service that is root writes its volumes, and the rest of the host.
func TestRootServiceWrites(t *testing.T) {
	h := ownHost(t)
	s := h.service(t, "svc", "echo x >data/new && echo x >"+h.path("elsewhere")+" && echo wrote")
	s.User = "root"
	require.Equal(t, []string{"wrote"}, h.once(t, with(s, "data", "var/db/baetyl/data", "data", false)))
}

// A service that is root cannot leave its cgroup, nor raise its limits; it can read them.
func TestRootServiceStaysInItsCgroup(t *testing.T) {
	h := ownHost(t)
	s := h.service(t, "svc", `
for f in $(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs); do
	(echo $$ >"$f") 2>/dev/null && echo "DONE: $f"
	[ -r "$f" ] || echo "DONE: cannot read $f"
done
(mkdir /sys/fs/cgroup/new /sys/fs/cgroup/*/new) 2>/dev/null && echo "DONE: mkdir"
echo tried`)
	s.User = "root"
	require.Equal(t, []string{"tried"}, h.once(t, s))
}

// A daemon in a session of its own is stopped with its service.
func TestWhatLeavesTheGroupIsStopped(t *testing.T) {
	for name, end := range map[string]string{"by the end of the leader": "exit 0", "by Stop": "exec sleep 1000"} {
		t.Run(name, func(t *testing.T) {
			h := ownHost(t)
			daemon := `trap "" TERM HUP; echo daemon; while :; do sleep 0.05; done`
			s := h.service(t, "svc", "(setsid sh -c '"+daemon+"' &); "+end)
			s.Stop.Grace = time.Second
			_, i := h.start(t, s, nil)
			if end != "exit 0" {
				enginetest.Output(t, i, "daemon")
				kill(i)
			}
			enginetest.Ended(t, i)
			require.False(t, aliveIn(h.path("var/run/baetyl/services/svc")))
			kill(i)
			require.Empty(t, h.opts.Cgroups.Left())
		})
	}
}

// aliveIn tells whether a process works in dir.
func aliveIn(dir string) bool {
	all, _ := filepath.Glob("/proc/[0-9]*/cwd") // an error is one of the pattern
	return slices.ContainsFunc(all, func(cwd string) bool {
		at, err := os.Readlink(cwd)
		return err == nil && strings.HasPrefix(at, dir)
	})
}

func TestPortsAndDevices(t *testing.T) {
	h := ownHost(t)
	device := fmt.Sprintf("/dev/baetyl-test-%d", os.Getpid()) // another name of /dev/null
	require.NoError(t, exec.Command("mknod", device, "c", "1", "3").Run())
	defer os.Remove(device)
	require.NoError(t, os.Chown(device, 0, 4242))
	require.NoError(t, os.Chmod(device, 0o660))
	s := h.service(t, "svc", "grep CapEff /proc/self/status; id -G; : >"+device)
	s.Ports = []string{"80:80"}
	s.Devices = []string{device, "/dev/kmsg", "/dev/none", device + ":/dev/x"}
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	i, err := box.Start(t.Context(), engine.Spec{Name: "svc"})
	require.NoError(t, err)
	enginetest.Ended(t, i)
	require.NoError(t, i.Exit().Err, i.Output())
	require.Equal(t, "CapEff:\t0000000000000400", i.Output()[0])
	require.Contains(t, strings.Fields(i.Output()[1]), "4242")
	text := strings.Join(i.Warnings(), "\n")
	require.Contains(t, text, "devices: /dev/kmsg: only its owner may use it")
	require.Contains(t, text, "devices: /dev/none: ")
	require.Contains(t, text, "native mode cannot show it as /dev/x")
	kill(i)
}

// An installation, and an interpreter, below a folder that only root may enter.
func TestBelowAFolderOfRoot(t *testing.T) {
	h := ownHost(t)
	closed := filepath.Join(h.dir, "closed")
	require.NoError(t, os.MkdirAll(closed+"/pyenv/versions/3/bin", 0o755))
	require.NoError(t, os.WriteFile(closed+"/secret", nil, 0o644))
	sh, err := os.ReadFile("/bin/sh")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(closed+"/pyenv/versions/3/bin/python3", sh, 0o755))
	require.NoError(t, os.Symlink("python3", closed+"/pyenv/versions/3/bin/python"))
	require.NoError(t, os.Chmod(closed, 0o700))
	script := "ls -A " + closed + "; touch data/new; " +
		"echo x 2>/dev/null >" + closed + "/pyenv/versions/3/new || echo kept"

	t.Run("interpreter", func(t *testing.T) {
		s := h.service(t, "svc", "exec lib/baetyl/pkg/venv/bin/python -c '"+script+"'")
		require.NoError(t, os.MkdirAll(h.path("var/db/baetyl/pkg-svc/venv/bin"), 0o755))
		venv := h.path("var/db/baetyl/pkg-svc/venv/bin/python")
		require.NoError(t, os.Symlink(closed+"/pyenv/versions/3/bin/python", venv))
		s = with(s, "data", "var/db/baetyl/data", "data", false)
		require.Equal(t, []string{"pyenv", "kept"}, h.once(t, s))
	})
	t.Run("installation", func(t *testing.T) {
		h.opts.Workdir = closed + "/clone"
		h.dir, h.opts.Socket = h.opts.Workdir, h.opts.Workdir+"/var/run/baetyl.sock"
		require.NoError(t, os.MkdirAll(h.path("var/run"), 0o755))
		l, err := net.Listen("unix", h.opts.Socket)
		require.NoError(t, err)
		defer l.Close()
		require.NoError(t, os.Chmod(h.opts.Socket, 0o666))
		script := script + "; [ -S var/run/baetyl.sock ] && [ -w var/run/baetyl.sock ] && echo socket"
		withUsers(t)(&h.opts)
		h.Engine = native.New(h.opts)
		s := h.service(t, "svc", "exec "+closed+"/pyenv/versions/3/bin/python3 -c '"+script+"'")
		h.write(t, "var/db/baetyl/pkg-svc/bin/run", "#!"+closed+"/pyenv/versions/3/bin/python\n"+script+"\n", 0o755)
		s = with(s, "data", "var/db/baetyl/data", "data", false)
		require.Equal(t, []string{"clone", "pyenv", "kept", "socket"}, h.once(t, s))
	})
}

// The agent is given all volumes, and may pass their permissions; nothing else of the host.
func TestAgent(t *testing.T) {
	h := ownHost(t)
	script := `
try() { if ("$@") >/dev/null 2>&1; then echo "DONE: $*"; fi; }
mkdir -p volumes/new/v1 && echo x >volumes/new/v1/f && rm -r volumes/old && echo placed
id -u; cat volumes/application.yml
try grep . /etc/shadow
try sh -c 'echo x >/etc/new'
try sh -c 'echo x >/usr/new'
try sh -c 'echo x >/new'
try sh -c 'echo x >/var/new'
try ls /root/.
try ls /home/.
try grep . volumes/users.json
try ls ` + h.path("var/run/baetyl/services/victim") + `
[ -z "$(ls /root /home 2>/dev/null | grep -v :)" ] && echo hidden
echo x >/dev/null; ls -I mqueue /dev | tr '\n' ' '`
	s := with(h.service(t, "agent", script), "all", "var/db/baetyl", "volumes", false)
	h.write(t, "var/db/baetyl/application.yml", "version: v1\n", 0o600)
	h.write(t, "var/db/baetyl/users.json", "secret\n", 0o600)
	h.write(t, "var/db/baetyl/old/of/another", "", 0o600)
	_, err := h.Open(t.Context(), s)
	require.ErrorContains(t, err, "mount volumes of volume all: it holds the volumes of all services")
	s.API = []app.Right{{Name: app.RightUpdate}}
	out := h.once(t, s)
	require.Equal(t, []string{
		"placed", strconv.Itoa(h.uid(t, "agent")), "version: v1", "DONE: ls /root/.", "DONE: ls /home/.", "hidden", "full null random shm tty urandom zero ",
	}, out)
	require.FileExists(t, h.path("var/db/baetyl/new/v1/f"))
	for _, path := range []string{"var", "var/run/baetyl"} {
		s = with(h.service(t, "svc", "exit 0"), "v", path, "v", false)
		_, err = h.Open(t.Context(), s)
		require.ErrorContains(t, err, "holds what the master keeps for itself")
	}
}

// Persons reach a socket in the private folder, by its name alone; services of other users do not.
func TestPersonsEnterThePrivateFolder(t *testing.T) {
	needsRoot(t)
	persons, err := user.LookupGroup("daemon")
	require.NoError(t, err)
	h := newHost(t, withUsersAnd(t, "daemon"))
	s := h.service(t, "svc", `cd "$BAETYL_SERVICE_RUN_DIR" && stat -c %a:%g . && echo x >x && stat -c %g x`)
	require.Equal(t, []string{"710:" + persons.Gid, strconv.Itoa(h.uid(t, "svc"))}, h.once(t, s))
}
