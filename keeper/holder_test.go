//go:build unix

package keeper_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/keeper/keepertest"
)

// shell is a process that runs a script.
func shell(t testing.TB, handle, script string) keeper.Spec {
	t.Helper()
	dir := t.TempDir()
	return keeper.Spec{
		Handle: handle, Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")},
		Dir: dir, Output: keeper.Output{File: filepath.Join(dir, "log"), Instance: handle, Size: 1, Age: 1, Backups: 1},
	}
}

// ended waits for the end of a process.
func ended(t testing.TB, c *keeper.Client, handle string) keeper.End {
	t.Helper()
	select {
	case <-c.Ended(handle):
	case <-time.After(time.Minute):
		t.Fatalf("process %s has not ended", handle)
	}
	end, ok := c.End(handle)
	if !ok {
		t.Fatalf("the end of process %s is not known", handle)
	}
	return end
}

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func hello(t testing.TB, c *keeper.Client) keeper.State {
	t.Helper()
	s, err := c.Hello(t.Context(), keeper.Hello{Protocol: keeper.Protocol, Part: keeper.Part, Grace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t testing.TB, c *keeper.Client, s keeper.Spec) keeper.Process {
	t.Helper()
	p, err := c.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProcess(t *testing.T) {
	c := keepertest.Start(t)
	if s := hello(t, c); len(s.Processes)+len(s.Kept) != 0 {
		t.Fatalf("a new keeper holds %v", s)
	}
	spec := shell(t, "a", `echo out; echo err >&2; printf half; exit 7`)
	p := start(t, c, spec)
	if p.PID <= 0 || p.Handle != "a" || p.End != nil || time.Since(p.Started) > time.Minute {
		t.Errorf("%+v", p)
	}
	if end := ended(t, c, "a"); end.Code != 7 || end.Signal != 0 {
		t.Errorf("%+v", end)
	}
	lines, err := c.Tail("a")
	slices.Sort(lines) // two pipes have no order
	if err != nil || !slices.Equal(lines, []string{"err", "half", "out"}) {
		t.Errorf("tail %q, %v", lines, err)
	}
	if err := c.Release("a"); err != nil {
		t.Error(err)
	}
	if _, err := c.Tail("a"); err == nil {
		t.Error("a released process is known")
	}
	eventually(t, "the output is in the file", func() bool {
		text, _ := os.ReadFile(spec.Output.File)
		return strings.Contains(string(text), " [a] stdout: out\n") && strings.Contains(string(text), " [a] stderr: err\n") &&
			strings.Contains(string(text), " [a] stdout: half\n")
	})
	<-c.Ended("a") // not known: closed
	start(t, c, spec)
}

func TestStartThatFails(t *testing.T) {
	c := keepertest.Start(t)
	spec := shell(t, "a", "")
	spec.Path = "/nowhere"
	if _, err := c.Start(t.Context(), spec); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("error %v", err)
	}
	spec = shell(t, "b", "exit 2") // as by a limit that is too low
	spec.Launch = []byte("what to do")
	if _, err := c.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "before it became its program") {
		t.Errorf("error %v", err)
	}
	spec = shell(t, "a", `cat <&3; echo 'ok 13 no right to do that' >&4; exit 1`)
	spec.Launch = []byte("what to do")
	if _, err := c.Start(t.Context(), spec); !errors.Is(err, syscall.EACCES) ||
		!strings.Contains(err.Error(), "no right") {
		t.Errorf("error %v", err)
	}
	eventually(t, "the handle is free again", func() bool {
		_, err := c.Start(t.Context(), shell(t, "a", "exec sleep 100"))
		return err == nil
	})
	if _, err := c.Start(t.Context(), shell(t, "a", "true")); err == nil {
		t.Error("a handle is used twice")
	}
	for _, wrong := range []keeper.Spec{{},
		{Handle: "b", Path: "sh", Args: []string{"sh"}, Dir: "/"}, {Handle: "b", Path: "/bin/sh", Dir: "/"},
	} {
		if _, err := c.Start(t.Context(), wrong); err == nil {
			t.Errorf("%+v was started", wrong)
		}
	}
}

func TestLaunch(t *testing.T) {
	c := keepertest.Start(t)
	spec := shell(t, "a", `cat <&3; printf "ok " >&4; exec 4>&-; exec sleep 100`)
	spec.Launch = []byte(strings.Repeat("what to do\n", 20))
	start(t, c, spec)
	lines, err := c.Tail("a")
	if err != nil || len(lines) > 20 {
		t.Errorf("tail %q, %v", lines, err)
	}
	eventually(t, "the program reads descriptor 3", func() bool {
		lines, _ := c.Tail("a")
		return len(lines) == 20 && lines[0] == "what to do"
	})
}

func TestSignal(t *testing.T) {
	c := keepertest.Start(t)
	hello(t, c)
	// The child ignores SIGTERM: it ends with SIGKILL to the group, its leader has ended long before.
	start(t, c, shell(t, "a", `(trap '' TERM; echo ready; while :; do sleep 0.05; done) & wait`))
	eventually(t, "it is ready", func() bool { l, _ := c.Tail("a"); return len(l) == 1 })
	if err := c.Signal("a", syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if end := ended(t, c, "a"); end.Signal != int(syscall.SIGTERM) || end.Code != -1 {
		t.Errorf("%+v", end)
	}
	if err := c.Signal("a", syscall.SIGTERM); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("signal to a process that has ended: %v", err)
	}
	if err := c.Signal("b", syscall.SIGTERM); err == nil {
		t.Error("signal to an unknown process")
	}
	start(t, c, shell(t, "c", "exec sleep 100"))
	if err := c.Release("c"); err == nil {
		t.Error("a running process was released")
	}
}

// A process that has left the group holds the pipe: the end is told nevertheless.
func TestStrangerHoldsOutput(t *testing.T) {
	c := keepertest.Start(t)
	start(t, c, shell(t, "a", `setsid sleep 5 & echo done`))
	if end := ended(t, c, "a"); end.Code != 0 {
		t.Errorf("%+v", end)
	}
	if lines, _ := c.Tail("a"); !slices.Equal(lines, []string{"done"}) {
		t.Errorf("tail %q", lines)
	}
}

func TestNextMaster(t *testing.T) {
	c, next := keepertest.Open(t)
	hello(t, c)
	runs := start(t, c, shell(t, "runs", "exec sleep 100"))
	start(t, c, shell(t, "ends", "echo last words; exit 3"))
	ended(t, c, "ends")
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"socket", "other", "socket"} {
		if err := c.Keep(name, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Keep("other", nil); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()

	c2 := next()
	select {
	case <-c.Lost():
	case <-time.After(time.Minute):
		t.Error("the master before is still served")
	}
	if err := c.Alive(keeper.Health{}); !errors.Is(err, keeper.ErrLost) {
		t.Errorf("a call without keeper: %v", err)
	}
	s := hello(t, c2)
	slices.SortFunc(s.Processes, func(a, b keeper.Process) int { return strings.Compare(a.Handle, b.Handle) })
	if len(s.Processes) != 2 || s.Processes[0].End == nil || s.Processes[0].End.Code != 3 ||
		s.Processes[1].PID != runs.PID || s.Processes[1].End != nil {
		t.Fatalf("%+v", s.Processes)
	}
	ended(t, c2, "ends")
	if lines, _ := c2.Tail("ends"); !slices.Equal(lines, []string{"last words"}) {
		t.Errorf("tail %q", lines)
	}
	if len(s.Kept) != 1 || s.Kept["socket"] == nil {
		t.Fatalf("kept: %v", s.Kept)
	}
	again, err := net.FileListener(s.Kept["socket"])
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	go func() {
		if conn, err := net.Dial("unix", l.Addr().String()); err == nil {
			_, _ = fmt.Fprintln(conn, "hello")
			_ = conn.Close()
		}
	}()
	conn, err := again.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := bufio.NewReader(conn).ReadString('\n'); err != nil || text != "hello\n" {
		t.Errorf("%q, %v", text, err)
	}
	_ = conn.Close()
	_ = s.Kept["socket"].Close()
	if err := c2.Signal("runs", syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	ended(t, c2, "runs")
}

// Nothing of this process leaks into a child.
func TestCleanStart(t *testing.T) {
	c := keepertest.Start(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	start(t, c, shell(t, "a", `ls /proc/self/fd | tr '\n' ' '; cat; grep -E '^Sig(Ign|Blk)' /proc/self/status`))
	ended(t, c, "a")
	lines, _ := c.Tail("a")
	text := strings.Join(lines, "\n")
	if strings.Contains(text, fmt.Sprintf(" %d ", w.Fd())) || strings.Count(text, "0000000000000000") != 2 {
		t.Errorf("%s", text)
	}
}

func TestContextEnds(t *testing.T) {
	c := keepertest.Start(t)
	spec := shell(t, "a", "exec sleep 100") // with descriptor 4 open: it never becomes its program
	spec.Launch = []byte{}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Start(ctx, spec); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if err := c.Signal("a", syscall.SIGKILL); err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// Of a process that another one has reaped it is not said that it has ended well.
func TestReapedByAnother(t *testing.T) {
	c := keepertest.Start(t)
	hello(t, c)
	p := start(t, c, shell(t, "a", `(trap '' TERM; sleep 1) & sleep 0.1; exit 0`)) // stays a zombie until that has ended
	eventually(t, "it is reaped here", func() bool {
		var status syscall.WaitStatus
		pid, _ := syscall.Wait4(p.PID, &status, syscall.WNOHANG, nil)
		return pid == p.PID
	})
	if end := ended(t, c, "a"); end.Code != 255 {
		t.Errorf("%+v", end)
	}
}
