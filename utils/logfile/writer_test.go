//go:build unix

package logfile_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/logfile"
)

// told keeps what a File reports.
type told struct {
	mu   sync.Mutex
	list []error
}

func (o *told) report(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, err)
}

func (o *told) all() []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]error(nil), o.list...)
}

// A pipe that nobody reads is a disk that hangs: first when it is opened, then when it is written.
func TestHangingDisk(t *testing.T) {
	for _, opened := range []bool{false, true} {
		t.Run(fmt.Sprintf("opened=%v", opened), func(t *testing.T) {
			var reports told
			path := filepath.Join(t.TempDir(), "hub.log")
			require.NoError(t, syscall.Mkfifo(path, 0o600))
			var reader *os.File
			open := func() {
				fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
				require.NoError(t, err)
				reader = os.NewFile(uintptr(fd), path)
				t.Cleanup(func() { reader.Close() })
			}
			if opened {
				open()
			}
			const buffer = 256 << 10
			f := logfile.New(path, logfile.Limits{Buffer: buffer, Report: reports.report})
			const lines = 20000
			began := time.Now()
			for n := range lines {
				f.Line(began, "hub", logfile.Stdout, fmt.Sprintf("%06d %s", n, strings.Repeat("x", 50)))
			}
			require.Less(t, time.Since(began), time.Minute, "nobody waits")
			require.Greater(t, f.Dropped(), uint64(lines/2))
			require.Error(t, f.Flush(in(t, time.Millisecond)))
			// More than a second later it is called a hang, and told.
			require.Eventually(t, func() bool {
				f.Line(time.Now(), "timer", logfile.Stderr, strings.Repeat("y", 200))
				return len(reports.all()) == 1
			}, time.Minute, time.Millisecond)
			require.ErrorContains(t, reports.all()[0], "hangs since")
			require.ErrorContains(t, f.Trouble(), "hangs since")

			if !opened {
				open()
			}
			got := make(chan string, 1)
			go func() {
				data, _ := io.ReadAll(reader)
				got <- string(data)
			}()
			dropped := f.Dropped()
			require.NoError(t, f.Close(in(t, time.Minute)))
			text := <-got
			require.Equal(t, []error{reports.all()[0], nil}, reports.all())

			// What is there is in order, and the one line about what is not adds up.
			lost := regexp.MustCompile(`\[-\] log: (\d+) lines were lost .*\(hub: (\d+).*: (?:lines came|a write hung)`).
				FindAllStringSubmatch(text, -1)
			// A second one tells of what was lost before the goroutine had anything in hand.
			require.Contains(t, []int{1, 2}, len(lost), "one line about the loss")
			var sum, ofHub int
			for _, match := range lost {
				sum, ofHub = sum+number(t, match[1]), ofHub+number(t, match[2])
			}
			require.Equal(t, int(dropped), sum)
			numbers := regexp.MustCompile(`stdout: (\d{6})`).FindAllStringSubmatch(text, -1)
			for n := 1; n < len(numbers); n++ {
				require.Less(t, numbers[n-1][1], numbers[n][1])
			}
			require.Equal(t, lines, len(numbers)+ofHub)
		})
	}
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

func TestCloseDoesNotWaitForADiskThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.log")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	f := logfile.New(path, logfile.Limits{})
	f.Line(time.Now(), "hub", logfile.Stdout, "x")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, f.Close(ctx), context.DeadlineExceeded)
	f.Line(time.Now(), "hub", logfile.Stdout, "after the end")
	require.Equal(t, uint64(1), f.Dropped())
	r, err := os.Open(path) // lets the goroutine go
	require.NoError(t, err)
	r.Close()
}

// small mounts a file system of 256 KiB.
func small(t *testing.T) string {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k", "small", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %s", out)
	}
	t.Cleanup(func() { require.NoError(t, exec.Command("umount", "-l", dir).Run()) })
	return dir
}

func TestFullDisk(t *testing.T) {
	var reports told
	dir := small(t)
	ballast, path := filepath.Join(dir, "ballast"), filepath.Join(dir, "hub.log")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 180<<10), 0o600))
	f := logfile.New(path, logfile.Limits{Buffer: 512 << 10, Report: reports.report})
	t.Cleanup(func() { f.Close(in(t, time.Second)) })
	const lines = 3000 // 300 kB: more than the disk has, less than the buffer takes
	for n := range lines {
		f.Line(time.Now(), "hub", logfile.Stdout, fmt.Sprintf("%06d %s", n, strings.Repeat("x", 50)))
	}
	require.Eventually(t, func() bool { return len(reports.all()) == 1 }, time.Minute, time.Millisecond)
	require.ErrorIs(t, reports.all()[0], syscall.ENOSPC)
	require.ErrorIs(t, f.Flush(in(t, time.Millisecond)), syscall.ENOSPC)
	require.True(t, strings.HasSuffix(text(t, path), "\n"), "the file ends with a whole line")

	require.NoError(t, os.Remove(ballast))
	require.NoError(t, exec.Command("mount", "-o", "remount,size=2m", dir).Run())
	content := read(t, f, path)
	require.Equal(t, lines, strings.Count(content, "\n"))
	s := bufio.NewScanner(strings.NewReader(content))
	for n := 0; s.Scan(); n++ {
		require.Contains(t, s.Text(), fmt.Sprintf("stdout: %06d xxx", n))
	}
	require.Zero(t, f.Dropped())
	require.Len(t, reports.all(), 2, "once when it began and once when it had ended")
	require.NoError(t, reports.all()[1])
}

// A loss says the reason that the disk gave, and who lost how much.
func TestLossNamesTheReason(t *testing.T) {
	dir := small(t)
	ballast, path := filepath.Join(dir, "ballast"), filepath.Join(dir, "hub.log")
	data := make([]byte, 250<<10)
	for os.WriteFile(ballast, data, 0o600) != nil {
		data = data[:len(data)-4<<10]
	}
	f := logfile.New(path, logfile.Limits{Buffer: 8 << 10})
	t.Cleanup(func() { f.Close(in(t, time.Second)) })
	f.Line(time.Now(), "hub", logfile.Stdout, strings.Repeat("x", 7<<10))
	require.Eventually(t, func() bool { return f.Trouble() != nil }, time.Minute, time.Millisecond)
	for n := range 1000 {
		f.Line(time.Now(), "hub."+strconv.Itoa(n%30), logfile.Stdout, "text")
	}
	require.NoError(t, os.Remove(ballast))
	content := read(t, f, path)
	lost := regexp.MustCompile(`log: (\d+) lines were lost .*hub.0: \d+, .*others: \d+\): .*no space left on device\n`)
	require.Regexp(t, lost, content)
	require.Equal(t, strconv.FormatUint(f.Dropped(), 10), lost.FindStringSubmatch(content)[1])
	require.Equal(t, 1000, strings.Count(content, "text")+int(f.Dropped()))
}

func TestLineLongerThanTheBuffer(t *testing.T) {
	f, path := create(t, logfile.Limits{Buffer: 1000})
	f.Line(time.Now(), "hub", logfile.Stdout, strings.Repeat("x", 1000))
	f.Line(time.Now(), "hub", logfile.Stdout, "short")
	require.Regexp(t, `log: 1 lines were lost .*\(hub: 1\): the line is longer than the buffer\n.*stdout: short\n$`,
		read(t, f, path))
}

// broken fails a number of times in the middle of what it is given.
type broken struct {
	fails int
	text  strings.Builder
}

func (b *broken) Write(p []byte) (int, error) {
	if b.fails--; b.fails < 0 {
		return b.text.Write(p)
	}
	n, _ := b.text.Write(p[:len(p)/2])
	return n, errors.New("broken")
}

// A console that takes a half line gets the other half later.
func TestHalfWrites(t *testing.T) {
	to := &broken{fails: 2}
	w := logfile.NewWriter(to, 0, func(time.Time, logfile.Lost) []byte { return nil })
	_, _ = io.WriteString(w, "one\n\ntwo\nthree")
	_, _ = io.WriteString(w, "four\n")
	require.NoError(t, w.Close(in(t, time.Minute)))
	require.Equal(t, "one\n\ntwo\nthree\nfour\n", to.text.String())
	require.NoError(t, w.Close(in(t, time.Second)), "again")
}

// Lines of several goroutines stay whole, each goroutine's in its order, and Flush comes back after them.
func TestManyWriters(t *testing.T) {
	f, path := create(t, logfile.Limits{Size: 1 << 40})
	const writers, lines = 8, 2000
	var g sync.WaitGroup
	for w := range writers {
		g.Go(func() {
			for n := range lines {
				f.Line(time.Now(), strconv.Itoa(w), logfile.Stdout, strconv.Itoa(n))
				if n%100 == 0 {
					require.NoError(t, f.Flush(in(t, time.Minute)))
				}
			}
		})
	}
	g.Wait()
	next := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(bare(read(t, f, path))), "\n") {
		who, what, ok := strings.Cut(line, " stdout: ")
		require.True(t, ok, line)
		require.Equal(t, strconv.Itoa(next[who]), what)
		next[who]++
	}
	require.Len(t, next, writers)
	require.Zero(t, f.Dropped())
}
