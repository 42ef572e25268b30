package logfile_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/logfile"
)

// lines returns the Lines of an instance called hub, and what is in its file.
func lines(t testing.TB) (*logfile.Lines, func() string) {
	f, path := create(t, logfile.Limits{})
	return logfile.NewLines(f, "hub"), func() string { return bare(read(t, f, path)) }
}

func TestCopyCutsAPipeIntoLines(t *testing.T) {
	l, content := lines(t)
	require.NoError(t, l.Copy(logfile.Stdout, strings.NewReader("a\r\n\nb\nc")))
	require.NoError(t, l.Copy(logfile.Stderr, strings.NewReader("d\x00\xff\x1b[0m\n")))
	require.Equal(t, "[hub] stdout: a\n[hub] stdout: \n[hub] stdout: b\n[hub] stdout: c\n"+
		"[hub] stderr: d\x00\xff\x1b[0m\n", content(), "bytes are kept")
	require.Equal(t, []string{"a", "b", "c", "d???[0m"}, l.Tail(), "fit for a terminal")
}

func TestLongLinesAreCut(t *testing.T) {
	const limit = 64 << 10
	for _, c := range []struct {
		length int
		end    string
		parts  []int
	}{
		{limit - 1, "\n", []int{limit - 1}},
		{limit, "\n", []int{limit}},
		{limit, "\r\n", []int{limit}},
		{limit + 1, "\n", []int{limit, 1}},
		{3 * limit, "", []int{limit, limit, limit}},
	} {
		t.Run(fmt.Sprint(c.length, c.parts), func(t *testing.T) {
			l, content := lines(t)
			require.NoError(t, l.Copy(logfile.Stdout, strings.NewReader(strings.Repeat("x", c.length)+c.end)))
			_, _ = io.WriteString(l.Stream(logfile.Stdout), "next\n")
			l.Line(time.Now(), logfile.Stderr, strings.Repeat("x", c.length)+c.end)
			want := ""
			for n, part := range c.parts {
				want += "[hub] stdout" + map[bool]string{true: "+"}[n > 0] + ": " + strings.Repeat("x", part) + "\n"
			}
			require.Equal(t, want+"[hub] stdout: next\n"+strings.ReplaceAll(want, "stdout", "stderr"), content())
		})
	}
}

// What a program asks is to be seen although it waits for the answer.
func TestPromptAppearsWithinASecond(t *testing.T) {
	l, content := lines(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- l.Copy(logfile.Stdout, r) }()
	began := time.Now()
	_, _ = w.WriteString("before\nname: ")
	require.Eventually(t, func() bool { return len(l.Tail()) == 2 }, time.Minute, 10*time.Millisecond)
	require.Greater(t, time.Since(began), 500*time.Millisecond)
	require.Equal(t, "[hub] stdout: before\n[hub] stdout: name: \n", content())
	_, _ = w.WriteString("hub\n\nend\n")
	require.NoError(t, w.Close())
	require.NoError(t, <-done)
	require.Equal(t, "[hub] stdout: before\n[hub] stdout: name: \n[hub] stdout+: hub\n[hub] stdout: \n[hub] stdout: end\n",
		content())
}

// Reads that end in the middle of a line are no reason to cut lines, however long that goes on. The time is that of a
// bubble, since a busy machine takes a second between two reads too.
func TestBusyOutputIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, content := lines(t)
		s := l.Stream(logfile.Stdout)
		_, _ = io.WriteString(s, "l")
		for range 1000 {
			time.Sleep(900 * time.Millisecond)
			_, _ = io.WriteString(s, "ine\nl")
		}
		_, _ = io.WriteString(s, "ine\n")
		require.Empty(t, strings.ReplaceAll(content(), "[hub] stdout: line\n", ""))
	})
}

func TestTail(t *testing.T) {
	l, _ := lines(t)
	s := l.Stream(logfile.Stdout)
	for n := range 50 {
		fmt.Fprintf(s, "%d%s\n \n", n, strings.Repeat("é", 10*n))
	}
	tail := l.Tail()
	require.Len(t, tail, 20)
	require.True(t, strings.HasPrefix(tail[0], "30é"))
	require.True(t, strings.HasPrefix(tail[19], "49é"))
	for _, line := range tail {
		require.LessOrEqual(t, len(line), 200+len("…"))
		require.True(t, strings.HasSuffix(line, "…"))
	}
	again, _ := lines(t)
	again.Restore(l.State())
	require.Equal(t, tail, again.Tail())
}

// A program that replaces itself goes on in the middle of a line, and loses nothing that stays in the pipe.
func TestStateGoesOverToAnotherProgram(t *testing.T) {
	f, path := create(t, logfile.Limits{})
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	l := logfile.NewLines(f, "hub")
	want := ""
	for n := range 50 {
		fmt.Fprintf(w, "%d\nhalf ", n)
		want += fmt.Sprintf("[hub] stdout: %s%d\n", map[bool]string{true: "half "}[n > 0], n)
		require.NoError(t, r.SetReadDeadline(time.Time{}))
		done := make(chan error, 1)
		go func() { done <- l.Copy(logfile.Stdout, r) }()
		if n%2 == 0 { // else it may be stopped before it has read anything
			require.Eventually(t, func() bool { return len(l.Tail()) == min(n+1, 20) }, time.Minute, time.Millisecond)
		}
		require.NoError(t, r.SetReadDeadline(time.Unix(1, 0)))
		require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
		data, err := json.Marshal(l.State())
		require.NoError(t, err)
		var state logfile.State
		require.NoError(t, json.Unmarshal(data, &state))
		l = logfile.NewLines(f, "hub")
		l.Restore(state)
	}
	require.NoError(t, w.Close())
	require.NoError(t, r.SetReadDeadline(time.Time{}))
	require.NoError(t, l.Copy(logfile.Stdout, r))
	require.Equal(t, want+"[hub] stdout: half \n", bare(read(t, f, path)))
}

// A half line of which a part is in the file stays one, and State holds back what its second would have written.
func TestStateOfALineThatIsPartlyWritten(t *testing.T) {
	f, path := create(t, logfile.Limits{})
	l := logfile.NewLines(f, "hub")
	_, _ = io.WriteString(l.Stream(logfile.Stderr), strings.Repeat("x", 64<<10)+"y")
	state := l.State()
	require.Len(t, state.Streams, 1)
	require.True(t, state.Streams[0].Begun)
	l = logfile.NewLines(f, "hub")
	l.Restore(state)
	_, _ = io.WriteString(l.Stream(logfile.Stderr), "z\nnext\n")
	require.Equal(t, "[hub] stderr: "+strings.Repeat("x", 64<<10)+"\n[hub] stderr+: yz\n[hub] stderr: next\n",
		bare(read(t, f, path)))
}

// However the output is cut when it is read, the lines are the same.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\nc"), []byte{1, 2, 3})
	f.Add(bytes.Repeat([]byte("x"), 70000), []byte{255, 1})
	f.Add(append(bytes.Repeat([]byte("x"), 64<<10), "\n\r\r\n"...), []byte{0, 64, 200})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, output, cuts []byte) {
		write := func(name string, cuts []byte) string {
			path := filepath.Join(dir, name)
			_ = os.Remove(path) // of the run before
			file := logfile.New(path, logfile.Limits{Buffer: 16 << 20})
			l := logfile.NewLines(file, "hub")
			s := l.Stream(logfile.Stdout)
			rest := output
			for n := 0; len(cuts) > 0 && len(rest) > 0; n++ {
				k := min(len(rest), 1+int(cuts[n%len(cuts)])*int(cuts[n%len(cuts)]))
				_, _ = s.Write(rest[:k])
				rest = rest[k:]
			}
			_, _ = s.Write(rest)
			require.NoError(t, s.Close())
			require.NoError(t, file.Close(in(t, time.Minute)))
			data, _ := os.ReadFile(path) // none: not a line
			return bare(string(data))
		}
		once, parts := write("once", nil), write("parts", cuts)
		require.Equal(t, once, parts)
		// Without what the lines got, it is the output again, but for "\r" at ends.
		var plain strings.Builder
		for n, line := range strings.SplitAfter(once, "\n") {
			if rest, ok := strings.CutPrefix(line, "[hub] stdout+: "); ok {
				line = rest
			} else if line, ok = strings.CutPrefix(line, "[hub] stdout: "); ok && n > 0 {
				plain.WriteString("\n")
			}
			plain.WriteString(strings.TrimSuffix(line, "\n"))
		}
		require.Equal(t, normal(string(output)), normal(plain.String()))
	})
}

// normal takes the ends of lines from s.
func normal(s string) string {
	var all []string
	for _, line := range strings.Split(s, "\n") {
		all = append(all, strings.TrimRight(line, "\r"))
	}
	return strings.TrimRight(strings.Join(all, "\n"), "\n")
}

const sample = "the quick brown fox jumps over the lazy dog and then some more text to make a usual line of 100 bytes\n"

func BenchmarkLines(b *testing.B) {
	f, _ := create(b, logfile.Limits{Buffer: 64 << 20})
	s := logfile.NewLines(f, "hub").Stream(logfile.Stdout)
	p := []byte(sample)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		_, _ = s.Write(p)
		if n%1000 == 0 { // as fast as the disk
			require.NoError(b, f.Flush(in(b, time.Minute)))
		}
	}
	require.NoError(b, f.Flush(in(b, time.Minute)))
	require.Zero(b, f.Dropped())
}

// BenchmarkBufio is what BenchmarkLines is compared with: the same lines by package bufio.
func BenchmarkBufio(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "hub.log"))
	require.NoError(b, err)
	defer file.Close()
	w := bufio.NewWriter(file)
	b.ReportAllocs()
	for b.Loop() {
		fmt.Fprintf(w, "%s [%s] %s: %s", time.Now().Format(logfile.Stamp), "hub", logfile.Stdout, sample)
	}
	require.NoError(b, w.Flush())
}
