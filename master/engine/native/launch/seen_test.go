//go:build linux

package launch

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/master/engine/native/launch/attack"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The test binary is also the shim, and the program that the shim becomes: it does what its second argument names.
func init() {
	if len(os.Args) > 1 && os.Args[1] == Arg {
		Main()
	}
	if len(os.Args) > 1 && os.Args[0] == "victim" {
		acts[os.Args[1]](os.Args[2:])
		os.Exit(0)
	}
}

var cleanups []func()

func TestMain(m *testing.M) {
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // or each shim and program waits for a second at its end
	code := m.Run()
	for _, f := range cleanups {
		f()
	}
	os.Exit(code)
}

// acts are what the program can do, by the first argument.
var acts = map[string]func(args []string){
	"see":          func([]string) { say(see()) },
	"wait":         func([]string) { time.Sleep(time.Hour) }, // until it is killed
	"sockets":      saySockets,
	attack.Arg:     func(args []string) { os.Exit(attack.Main(args)) },
	attack.ArgRoot: func(args []string) { os.Exit(attack.MainAsRoot(args)) },
}

func say(v any) {
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		os.Exit(3)
	}
}

// seen is what a program sees of itself.
type seen struct {
	PID, Parent, Session, Group int
	Status                      map[string]string // of /proc/self/status
	Descriptors                 []int
	Umask                       int
	Dir                         string
	OOMScoreAdj                 string
	Core, NoFile                uint64 // soft limits
	Death                       int32  // signal at the end of the parent
	SecureBits                  int
	Terminal                    bool
	Args                        []string
}

func see() seen {
	s := seen{
		PID: os.Getpid(), Parent: os.Getppid(), Group: unix.Getpgrp(), Status: status("self"), Args: os.Args,
		Umask: unix.Umask(0),
	}
	s.Session, _ = unix.Getsid(0)
	s.Dir, _ = os.Getwd()
	for fd := range 1024 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 { // the others were opened by the runtime
			s.Descriptors = append(s.Descriptors, fd)
		}
	}
	score, _ := os.ReadFile("/proc/self/oom_score_adj")
	s.OOMScoreAdj = strings.TrimSpace(string(score))
	limits, _ := os.ReadFile("/proc/self/limits")
	s.Core, s.NoFile = limit(string(limits), "Max core file size"), limit(string(limits), "Max open files")
	_ = unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&s.Death)), 0, 0, 0) // init runs on the first thread
	s.SecureBits, _ = unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC, 0)
	s.Terminal = err == nil
	_ = unix.Close(fd)
	return s
}

// limit is the soft limit of a line of /proc/self/limits; the hard one of open files, which the runtime has made the
// soft one, is the same.
func limit(text, name string) uint64 {
	_, after, _ := strings.Cut(text, name)
	f := strings.Fields(after)
	n, _ := strconv.ParseUint(f[0], 10, 64)
	return n
}

// status is /proc/<pid>/status by name.
func status(pid string) map[string]string {
	text, _ := os.ReadFile("/proc/" + pid + "/status")
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		out[name] = strings.Join(strings.Fields(value), " ")
	}
	return out
}

// service is a user that no program of this machine has.
const service = 74321

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		requires.Missing(t, "root", "only root can change the user and the mounts of a process")
	}
}

// spec is what a service without any right gets.
func spec(act string, args ...string) Spec {
	return Spec{
		Keeper: os.Getpid(), Program: program(), Args: append([]string{"victim", act}, args...),
		Env: os.Environ(),
		UID: service, GID: service, Umask: 0o022,
	}
}

// program is a copy of this test that every user can run, made once.
var program = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "launch")
	if err != nil {
		panic(err)
	}
	cleanups = append(cleanups, func() { _ = os.RemoveAll(dir) })
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	path := filepath.Join(dir, "victim")
	if err := os.WriteFile(path, own, 0o755); err != nil {
		panic(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		panic(err)
	}
	return path
})

// folder is one that every user can enter, which that of t.TempDir is not.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(program()), "folder")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// command is a shim of this test.
func command() *exec.Cmd {
	return &exec.Cmd{Path: "/proc/self/exe", Args: []string{"baetyl", Arg}, Dir: "/"}
}

// launched runs what s says and decodes into v what its program says.
func launched(t *testing.T, s Spec, v any) {
	t.Helper()
	out, why := output(t, command(), s)
	require.Empty(t, why)
	decode(t, out, v)
}

func decode(t *testing.T, out string, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(out), v), out)
}

// output runs a shim to its end.
func output(t *testing.T, cmd *exec.Cmd, s Spec) (out, why string) {
	t.Helper()
	return outputWith(t, cmd, s, nil)
}

// outputWith is output with files for descriptor 5 and up.
func outputWith(t *testing.T, cmd *exec.Cmd, s Spec, files []*os.File) (out, why string) {
	t.Helper()
	var text strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &text, &text, files
	reason, err := start(cmd, s)
	require.NoError(t, err)
	if len(reason) == 0 && s.Program != "" {
		_ = cmd.Wait() // what it has said counts
	}
	return text.String(), string(reason)
}

// refused runs a shim that must not become the program, and returns the text of the reason.
func refused(t *testing.T, s Spec) (errno syscall.Errno, text string) {
	t.Helper()
	out, why := output(t, command(), s)
	require.NotEmpty(t, why, "it ran: %s", out)
	number, text, ok := strings.Cut(why, " ")
	n, err := strconv.Atoi(number)
	require.True(t, ok && err == nil, why)
	return syscall.Errno(n), text
}
