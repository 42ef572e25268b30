package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
)

// Buffer is one that a test may read while another goroutine writes. Its zero value is empty.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *Buffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.text.String() }

// Await waits until the buffer holds text.
func (b *Buffer) Await(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(b.String(), text) }, time.Minute, 5*time.Millisecond,
		"%q is missing in %q", text, b)
}

// Exec runs a script in an instance and returns what it wrote.
func Exec(t *testing.T, i engine.Instance, script string) string {
	t.Helper()
	var out Buffer
	status, err := i.Exec(t.Context(), engine.Exec{Args: []string{"sh", "-c", script}, Stdout: &out, Stderr: &out})
	require.NoError(t, err, out.String())
	require.Zero(t, status, out.String())
	return out.String()
}

// marked is a script that tells whether a process runs that has the mark among its arguments.
func marked(mark string) string {
	const text = `for p in /proc/[0-9]*; do
	a=$({ tr '\0' ' ' <$p/cmdline; } 2>/dev/null); [ "${a#sleep MARK}" = "$a" ] || echo left: $a; done`
	return strings.ReplaceAll(text, "MARK", mark)
}

// runExec checks commands in an instance.
func runExec(t *testing.T, i engine.Instance) {
	t.Run("output, status, input", func(t *testing.T) {
		var out, errs Buffer
		e := engine.Exec{
			Args: []string{"sh", "-c", `cat; echo "$0 $1 $X $Y"; echo no >&2; pwd; exit 7`, "a b", "*"},
			Env:  map[string]string{"Y": "two words"}, Dir: "/etc",
			Stdin: strings.NewReader("in\x00put\n"), Stdout: &out, Stderr: &errs,
		}
		status, err := i.Exec(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, 7, status)
		require.Equal(t, "in\x00put\na b * 1=2 two words\n/etc\n", out.String())
		require.Equal(t, "no\n", errs.String())
		status, err = i.Exec(t.Context(), engine.Exec{Args: []string{"sh", "-c", "kill -TERM $$"}})
		require.NoError(t, err)
		require.Equal(t, 128+int(syscall.SIGTERM), status)
	})
	t.Run("what cannot be run", func(t *testing.T) {
		_, err := i.Exec(t.Context(), engine.Exec{Args: []string{"no-such-program"}})
		require.ErrorIs(t, err, engine.ErrNoProgram)
		_, err = i.Exec(t.Context(), engine.Exec{Args: []string{"/etc/passwd"}})
		require.ErrorIs(t, err, engine.ErrNotExecutable)
		_, err = i.Exec(t.Context(), engine.Exec{Args: []string{"true"}, Dir: "/no/such/folder"})
		require.Error(t, err)
	})
	t.Run("much output is whole", func(t *testing.T) {
		var n count
		e := engine.Exec{Args: []string{"sh", "-c", "head -c 20000000 /dev/zero"}, Stdout: &n}
		status, err := i.Exec(t.Context(), e)
		require.NoError(t, err)
		require.Zero(t, status)
		require.EqualValues(t, 20000000, n)
	})
	t.Run("a reader that goes ends the command", func(t *testing.T) {
		e := engine.Exec{Args: []string{"sh", "-c", "while echo y; do :; done; exit 3"}, Stdout: broken{}}
		status, err := i.Exec(t.Context(), e)
		require.NoError(t, err)
		require.NotZero(t, status)
	})
	t.Run("nothing of it is left", func(t *testing.T) {
		for name, script := range map[string]string{
			"its end":     `(setsid sleep 98761 >/dev/null 2>&1 &) ; setsid sh -c 'sleep 98762 & sleep 98763 &' & sleep 0.2`,
			"of its time": `trap '' TERM HUP INT; (setsid sleep 98761 &); sleep 98762 & echo up; while :; do sleep 98763; done`,
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			var out Buffer
			done := make(chan error, 1)
			go func() {
				_, err := i.Exec(ctx, engine.Exec{Args: []string{"sh", "-c", script}, Stdout: &out})
				done <- err
			}()
			if name == "of its time" {
				out.Await(t, "up")
				why := errors.New("enough")
				cancel(why)
				require.ErrorIs(t, <-done, why)
			} else {
				require.NoError(t, <-done)
			}
			cancel(nil)
			require.Empty(t, Exec(t, i, marked("9876")), name)
		}
	})
	t.Run("signals and a terminal", func(t *testing.T) {
		var out Buffer
		in, keys := io.Pipe()
		resize, signals := make(chan engine.Size), make(chan syscall.Signal)
		done := make(chan int, 1)
		go func() {
			status, err := i.Exec(t.Context(), engine.Exec{
				Args: []string{"sh", "-c", `until [ "$(stty size)" = "33 77" ]; do sleep 0.01; done
					trap 'stty size' WINCH; echo up; while :; do sleep 0.1; done`},
				Stdin: in, Stdout: &out, Signals: signals,
				Terminal: &engine.Terminal{Size: engine.Size{Rows: 33, Columns: 77}, Resize: resize},
			})
			if err != nil {
				t.Error(err)
			}
			done <- status
		}()
		out.Await(t, "up")
		resize <- engine.Size{Rows: 44, Columns: 88}
		out.Await(t, "44 88")
		_, err := keys.Write([]byte{3}) // ^C
		require.NoError(t, err)
		require.Equal(t, 128+int(syscall.SIGINT), <-done)
		go func() {
			status, err := i.Exec(t.Context(), engine.Exec{
				Args: []string{"sh", "-c", `trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.1; done`}, Stdout: &out,
				Signals: signals,
			})
			if err != nil {
				t.Error(err)
			}
			done <- status
		}()
		out.Await(t, "ready")
		signals <- syscall.SIGUSR1
		require.Equal(t, 9, <-done)
		out.Await(t, "got")
	})
}

type count int64

func (c *count) Write(p []byte) (int, error) { *c += count(len(p)); return len(p), nil }

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
