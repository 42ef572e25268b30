//go:build docs

package docs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limit is how long a command may take, and what has to show up.
const limit = 5 * time.Minute

// screen is what a person sees of all terminals.
type screen struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// reader does what a page says: in a shell that keeps its folder and variables, and in more terminals.
type reader struct {
	*testing.T
	shell     *exec.Cmd
	in        io.Writer
	done      chan string // status of each block, from the shell
	seen      *screen
	terminals []*terminal
	page      string
	dir       string // for files of this reader alone
}

// terminal runs commands until the page ends.
type terminal struct {
	text  string
	cmd   *exec.Cmd
	seen  *screen
	ended chan struct{}
}

// open begins to read a page in a folder.
func open(t *testing.T, dir, page string) *reader {
	t.Helper()
	r := &reader{T: t, done: make(chan string), seen: &screen{}, page: page, dir: t.TempDir()}
	r.shell = exec.Command("bash", "--norc")
	r.shell.Dir = dir
	r.shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.shell.Stdout, r.shell.Stderr = r.seen, r.seen
	r.shell.Env = append(os.Environ(), elsewhere(t)...)
	said, status, err := os.Pipe()
	require.NoError(t, err)
	r.shell.ExtraFiles = []*os.File{status}
	in, err := r.shell.StdinPipe()
	require.NoError(t, err)
	r.in = in
	require.NoError(t, r.shell.Start())
	require.NoError(t, status.Close())
	go func() {
		defer close(r.done)
		for {
			var one string
			if _, err := fmt.Fscanln(said, &one); err != nil {
				return
			}
			r.done <- one
		}
	}()
	t.Cleanup(func() {
		for _, one := range r.terminals {
			one.stop()
		}
		_ = syscall.Kill(-r.shell.Process.Pid, syscall.SIGKILL)
		_ = r.shell.Wait()
		if t.Failed() {
			t.Logf("what the reader of %s saw:\n%s", page, tail(r.seen.String()))
		}
	})
	require.Equal(t, "0", r.run("set -a")) // a variable of the page is one of its terminals too
	return r
}

// elsewhere is a home of the reader's own. What was fetched and built before is used again.
func elsewhere(t *testing.T) []string {
	t.Helper()
	home, err := os.UserHomeDir()
	require.NoError(t, err)
	out := []string{"HOME=" + t.TempDir(), "NPM_CONFIG_USERCONFIG=" + filepath.Join(home, ".npmrc")}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		value, err := exec.Command("go", "env", name).Output()
		require.NoError(t, err)
		out = append(out, name+"="+strings.TrimSpace(string(value)))
	}
	return out
}

// tail is the end of an output.
func tail(text string) string { return text[max(0, len(text)-6000):] }

// run types commands, and returns the status of the last one. It is not 0 as soon as one of them fails.
func (r *reader) run(text string) string {
	r.Helper()
	file := filepath.Join(r.dir, "block")
	require.NoError(r, os.WriteFile(file, []byte(text), 0o600))
	// An error ends the block, not the shell: each simple command of it is judged by the trap.
	const typed = "failed=; trap 'failed=${failed:-$?}' ERR; . %s </dev/null; trap - ERR; echo ${failed:-0} >&3\n"
	fmt.Fprintf(r.in, typed, file)
	select {
	case status, ok := <-r.done:
		require.True(r, ok, "the shell has ended in: %s", text)
		return status
	case <-time.After(limit):
		r.Fatalf("not within %s: %s", limit, text)
		return ""
	}
}

// where is the folder of the shell.
func (r *reader) where() string {
	r.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", r.shell.Process.Pid))
	require.NoError(r, err)
	return link
}

// open begins commands in a terminal of their own, and waits until they are ready. A subscriber is when it says so.
func (r *reader) open(text, ready string) {
	r.Helper()
	if strings.Contains(text, "mosquitto_sub ") {
		text, ready = strings.ReplaceAll(text, "mosquitto_sub ", "stdbuf -oL mosquitto_sub -d "), "Subscribed"
	}
	one := &terminal{text: text, seen: &screen{}, ended: make(chan struct{})}
	one.cmd = exec.Command("bash", "--norc", "-c", text)
	one.cmd.Dir = r.where()
	one.cmd.Env = r.environment()
	one.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	both := io.MultiWriter(one.seen, r.seen)
	one.cmd.Stdout, one.cmd.Stderr = both, both
	require.NoError(r, one.cmd.Start())
	go func() { _ = one.cmd.Wait(); close(one.ended) }()
	r.terminals = append(r.terminals, one)
	if ready == "" {
		return
	}
	r.until(fmt.Sprintf("%q of: %s", ready, text), func() bool {
		return regexp.MustCompile(ready).MatchString(one.seen.String())
	})
}

// environment is that of the shell now.
func (r *reader) environment() []string {
	r.Helper()
	file := filepath.Join(r.dir, "environment")
	require.Equal(r, "0", r.run("env -0 >"+file))
	data, err := os.ReadFile(file)
	require.NoError(r, err)
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}

// stop ends the commands, as Ctrl-C does: by SIGTERM, since SIGINT is ignored where make runs in the background.
func (one *terminal) stop() {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		_ = syscall.Kill(-one.cmd.Process.Pid, signal)
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		select {
		case <-one.ended:
			cancel()
			return
		case <-ctx.Done():
			cancel()
		}
	}
}

// until waits for a condition.
func (r *reader) until(what string, condition func() bool) {
	r.Helper()
	for deadline := time.Now().Add(limit); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("%s: not within %s: %s", r.page, limit, what)
		}
	}
}
