package native_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
)

// What a command is, seen from inside, is what the service is.
func TestCommandIsAsTheService(t *testing.T) {
	h := ownHost(t)
	const view = `grep -E '^(Uid|Gid|Groups|NoNewPrivs|Cap(Prm|Eff|Bnd|Amb|Inh)|SigBlk|SigIgn):' /proc/self/status
umask; ulimit -a; pwd; cat /proc/self/oom_score_adj
for n in mnt ipc net uts pid user; do readlink /proc/self/ns/$n; done
env | grep -v -e ^_= -e ^NOTIFY_SOCKET= -e ^SHLVL= -e ^OLDPWD= | sort; ls -A . data /tmp; ls /proc/self/fd | head -4`
	s := h.service(t, "svc", "echo mine >/tmp/mine\n("+view+") >~/seen 2>&1; echo up; exec sleep 1000")
	s = with(s, "data", "var/db/baetyl/data", "data", false)
	h.write(t, "var/db/baetyl/data/kept", "", 0o644)
	box, i := h.start(t, s, map[string]string{"BAETYL_SERVICE_TOKEN": "secret"})
	enginetest.Output(t, i, "up")
	got := enginetest.Exec(t, i, view)
	want := enginetest.Exec(t, i, "cat ~/seen")
	require.Equal(t, want, got)
	require.Contains(t, got, "Uid:\t"+strconv.Itoa(h.uid(t, "svc")))
	require.Contains(t, got, "NoNewPrivs:\t1")
	require.Contains(t, got, "BAETYL_SERVICE_TOKEN=secret")
	require.Contains(t, got, "kept\n")
	require.Contains(t, got, "mine\n")
	own := enginetest.Exec(t, i, "cat /proc/self/cgroup")
	theirs, err := os.ReadFile("/proc/" + strconv.Itoa(i.Record().Process.ID) + "/cgroup")
	require.NoError(t, err)
	for line := range strings.Lines(string(theirs)) {
		if strings.Contains(line, "/baetyl.") {
			require.Contains(t, own, strings.TrimSuffix(line, "\n")+"/exec.")
		}
	}
	kill(i)
	require.NoError(t, box.Close())
}

// The next master runs commands in what it has adopted, with the same surroundings.
func TestCommandAfterAdoption(t *testing.T) {
	h := ownHost(t)
	s := h.service(t, "svc", "echo mine >/tmp/mine; echo up; exec sleep 1000")
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	spec := engine.Spec{Name: "svc", Handle: "h", Env: map[string]string{"X": "1"}}
	i, err := box.Start(t.Context(), spec)
	require.NoError(t, err)
	enginetest.Output(t, i, "up")
	left := make(chan struct{})
	var out enginetest.Buffer
	go func() {
		defer close(left)
		_, _ = i.Exec(t.Context(), engine.Exec{Args: []string{"sh", "-c", "echo runs; exec sleep 98765"}, Stdout: &out})
	}()
	out.Await(t, "runs")
	h.successor(t)
	box, err = h.Open(t.Context(), s)
	require.NoError(t, err)
	adopted, err := box.Adopt(t.Context(), spec, i.Record())
	require.NoError(t, err)
	<-left // with what an earlier master has left of its commands
	require.Equal(t, "mine\n1 svc\n", enginetest.Exec(t, adopted, "cat /tmp/mine; echo $X $(basename $PWD)"))
	kill(adopted)
	require.NoError(t, box.Close())
}

// The operator gets in where the service has come to its limits, has stopped itself, or has made the way in its own.
func TestCommandInAHostileService(t *testing.T) {
	for name, script := range map[string]string{
		"has no processes left": `i=0; while [ $i -lt 14 ]; do sleep 1000 & i=$((i+1)); done; echo up; wait`,
		"is stopped":            `echo up; kill -STOP $$; wait`,
		"moves its folder away": `mkdir -p sub; ln -s /root sub/link; cd /; rm -rf ~/* 2>/dev/null; echo up; exec sleep 1000`,
	} {
		t.Run(name, func(t *testing.T) {
			h := ownHost(t)
			s := h.service(t, "svc", script)
			s.Resources.Pids.Limit = 15
			box, i := h.start(t, s, nil)
			enginetest.Output(t, i, "up")
			var out enginetest.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for range 5 {
				status, err := i.Exec(ctx, engine.Exec{Args: []string{"id", "-u"}, Stdout: &out, Stderr: &out})
				require.NoError(t, err, out.String())
				require.Zero(t, status, out.String())
			}
			require.Equal(t, strings.Repeat(strconv.Itoa(h.uid(t, "svc"))+"\n", 5), out.String())
			_, err := i.Exec(ctx, engine.Exec{Args: []string{"ls"}, Dir: "/root"})
			require.ErrorContains(t, err, "enter the working directory: /root")
			kill(i)
			require.NoError(t, box.Close())
		})
	}
}

// A program of the service that is a link to the program that runs it (a hole of other tools) gets that one for no more
// than reading.
func TestCommandThatIsItsOwnParent(t *testing.T) {
	h := ownHost(t)
	s := h.service(t, "svc", `printf '#!/proc/self/exe\n' >ls; chmod 755 ls; ln -s /proc/self/exe me; echo up
exec sleep 1000`)
	box, i := h.start(t, s, nil)
	enginetest.Output(t, i, "up")
	exe, err := os.Executable()
	require.NoError(t, err)
	before, err := os.Stat(exe)
	require.NoError(t, err)
	for _, program := range []string{"./ls", "./me", "/proc/self/exe"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, _ = i.Exec(ctx, engine.Exec{Args: []string{program, "-h"}}) // whatever it does
		cancel()
	}
	// Nobody but root sees into the processes that lead to a command.
	require.Empty(t, enginetest.Exec(t, i, `for p in /proc/[0-9]*; do
		tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q "^baetyl native-" && readlink $p/exe $p/cwd $p/root; done; true`))
	after, err := os.Stat(exe)
	require.NoError(t, err)
	require.Equal(t, before.ModTime(), after.ModTime())
	kill(i)
	require.NoError(t, box.Close())
}

// A warden that is killed takes its command along; what that had started ends too, as far as there are cgroups.
func TestWardenIsKilled(t *testing.T) {
	h := ownHost(t)
	if h.opts.Cgroups == nil {
		t.Skip("this test needs cgroups")
	}
	box, i := h.start(t, h.service(t, "svc", "echo up; exec sleep 1000"), nil)
	enginetest.Output(t, i, "up")
	var out enginetest.Buffer
	done := make(chan error, 1)
	go func() {
		_, err := i.Exec(t.Context(), engine.Exec{
			Args: []string{"sh", "-c", "(setsid sleep 98764 &); echo pid $$ of $PPID; sleep 98764"}, Stdout: &out,
		})
		done <- err
	}()
	out.Await(t, "of ")
	warden, err := exec.Command("pgrep", "-f", "^baetyl native-warden$", "-P", strconv.Itoa(os.Getpid())).Output()
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(warden)))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.ErrorContains(t, <-done, "ended without a result")
	require.Error(t, exec.Command("pgrep", "-f", "^sleep 98764$").Run())
	leaves, err := filepath.Glob("/sys/fs/cgroup/*/baetyl.*/svc@svc/exec.*")
	require.NoError(t, err)
	require.Empty(t, leaves)
	kill(i)
	require.NoError(t, box.Close())
}

// What a person writes into a pipe that the service keeps open holds up nobody.
func TestCommandWhosePipeIsKept(t *testing.T) {
	h := ownHost(t)
	s := h.service(t, "svc", `mkfifo f; exec 9<>f; while read n <&9; do exec 8>/proc/$n/fd/1 && echo got; done`)
	box, i := h.start(t, s, nil)
	var out enginetest.Buffer
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(h.dir, "var/run/baetyl/services/svc/f"))
		return err == nil
	}, time.Minute, time.Millisecond)
	status, err := i.Exec(t.Context(), engine.Exec{
		Args:   []string{"sh", "-c", `echo $$ >f; for i in $(seq 100); do sleep 0.01; done; echo end`},
		Stdout: &out,
	})
	require.NoError(t, err)
	require.Zero(t, status)
	require.Equal(t, "end\n", out.String())
	kill(i)
	require.NoError(t, box.Close())
}
