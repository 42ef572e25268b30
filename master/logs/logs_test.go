package logs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/master/logs"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/logfile"
)

var begin = time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC)

// open opens the file of a service as an engine does, with another size.
func open(t *testing.T, dir, service string, size int64) *logfile.File {
	f := logfile.New(filepath.Join(dir, output.File(service)), logfile.Limits{Size: size, NoLink: true})
	t.Cleanup(func() { require.NoError(t, f.Close(context.Background())) })
	return f
}

func flush(t *testing.T, f *logfile.File) { require.NoError(t, f.Flush(t.Context())) }

// read returns the texts of what q asks for.
func read(t *testing.T, dir string, q logs.Query) (out []string) {
	t.Helper()
	require.NoError(t, logs.New(dir).Read(t.Context(), q, func(l masterapi.LogLine) error {
		out = append(out, l.Text)
		return nil
	}))
	return out
}

func numbers(from, to int) (out []string) {
	for n := from; n < to; n++ {
		out = append(out, fmt.Sprintf("%06d", n))
	}
	return out
}

// All lines, the last ones and those of a time are found in whatever file they are.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, "hub", 10_000)
	const n = 2000
	for i, text := range numbers(0, n) {
		f.Line(begin.Add(time.Duration(i)*time.Second), "hub", logfile.Stdout, text)
		if i%50 == 0 {
			flush(t, f)
		}
	}
	flush(t, f)
	old, err := logfile.Backups(filepath.Join(dir, output.File("hub")))
	require.NoError(t, err)
	require.Greater(t, len(old), 5)
	hub := []string{"hub"}
	require.Equal(t, numbers(0, n), read(t, dir, logs.Query{Services: hub, Tail: -1}))
	for _, tail := range []int{0, 1, 10, 300, 999, n, n + 1} {
		require.Equal(t, numbers(max(0, n-tail), n), read(t, dir, logs.Query{Services: hub, Tail: tail}), tail)
	}
	at := func(i int) time.Time { return begin.Add(time.Duration(i) * time.Second) }
	for _, c := range []struct{ since, until, tail, from, to int }{
		{1500, 1600, -1, 1500, 1601}, {0, 99, -1, 0, 100}, {1990, 3000, -1, 1990, n}, {3000, 4000, -1, 0, 0},
		{100, 1000, 10, 991, 1001}, {995, 1000, 100, 995, 1001}, {1999, 1999, 1, 1999, n},
	} {
		got := read(t, dir, logs.Query{Services: hub, Since: at(c.since), Until: at(c.until), Tail: c.tail})
		require.Equal(t, numbers(c.from, c.to), got, "%+v", c)
	}
}

// A file is rotated when its time says so; what is older than since in the files before is not read. A clock that goes
// back for a moment hides nothing.
func TestClockThatJumps(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, "hub", 0)
	f.Line(begin, "hub", logfile.Stdout, "before the power cut")
	f.Line(time.Unix(5, 0), "hub", logfile.Stdout, "no clock yet")
	f.Line(begin.Add(time.Minute), "hub", logfile.Stdout, "clock")
	flush(t, f)
	require.Equal(t, []string{"before the power cut", "clock"},
		read(t, dir, logs.Query{Services: []string{"hub"}, Since: begin, Tail: -1}))
	require.Equal(t, []string{"no clock yet", "clock"}, read(t, dir, logs.Query{Services: []string{"hub"}, Tail: 2}))
}

func TestServicesAreMerged(t *testing.T) {
	dir := t.TempDir()
	for n, service := range []string{"a", "b", "c"} {
		f := open(t, dir, service, 0)
		for i := range 5 {
			f.Line(begin.Add(time.Duration(3*i+n)*time.Second), service, logfile.Stderr, fmt.Sprintf("%06d", 3*i+n))
		}
		flush(t, f)
	}
	q := logs.Query{Services: []string{"c", "a", "none", "b"}, Tail: -1}
	require.Equal(t, numbers(0, 15), read(t, dir, q))
	l := logs.New(dir)
	require.True(t, l.Has("a"))
	require.False(t, l.Has("none"))
}

// The end of a file that nobody could read whole is there at once.
func TestTailOfAHugeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, output.File("hub"))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	if err := f.Truncate(1 << 42); err != nil {
		require.NoError(t, f.Truncate(1<<38), "%s", err)
	}
	_, err = f.Seek(0, 2)
	require.NoError(t, err)
	fmt.Fprintln(f)
	for i, text := range numbers(0, 20) {
		fmt.Fprintf(f, "%s [hub] stdout: %s\n", begin.Add(time.Duration(i)*time.Second).Format(logfile.Stamp), text)
	}
	require.Equal(t, numbers(10, 20), read(t, dir, logs.Query{Services: []string{"hub"}, Tail: 10}))
}

// What is no line of ours is shown too.
func TestWhateverStandsThere(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, "hub", 0)
	f.Line(begin, "hub", logfile.Stdout, "first")
	flush(t, f)
	path := filepath.Join(dir, output.File("hub"))
	old, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer old.Close()
	binary := "\xff\xfe\x1b[2J\x07"
	_, err = old.WriteString("\n\x00\x00\x00\n" + binary + "\n" + strings.Repeat("x", 10<<20) + "\nhalf")
	require.NoError(t, err)
	got := read(t, dir, logs.Query{Services: []string{"hub"}, Tail: -1})
	require.Equal(t, []string{"first", binary}, got[:2])
	require.Equal(t, "half", got[len(got)-1])
	require.Len(t, strings.Join(got[2:len(got)-1], ""), 10<<20)
	for _, piece := range got {
		require.Less(t, len(piece), 1<<20)
	}
	require.Equal(t, []string{"half"}, read(t, dir, logs.Query{Services: []string{"hub"}, Tail: 1}))
}

// A link of a container leads nowhere.
func TestNoLinkIsRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, output.File("hub"))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.Symlink("/etc/passwd", path))
	err := logs.New(dir).Read(t.Context(), logs.Query{Services: []string{"hub"}, Tail: -1},
		func(l masterapi.LogLine) error { return errors.New(l.Text) })
	require.ErrorContains(t, err, "too many levels of symbolic links")
}

// Followers miss nothing and see nothing twice, however often the file is rotated, removed or made anew.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	const n, followers = 5000, 10
	l := logs.New(dir)
	f := open(t, dir, "hub", 20_000)
	f.Line(begin, "hub", logfile.Stdout, "000000")
	flush(t, f)
	var reading, ready sync.WaitGroup
	ready.Add(followers)
	got := make([][]string, followers)
	enough, last := errors.New("enough"), numbers(n-1, n)[0]
	for k := range followers {
		reading.Go(func() {
			err := l.Read(t.Context(), logs.Query{Services: []string{"hub"}, Tail: -1, Follow: true},
				func(line masterapi.LogLine) error {
					if got[k] = append(got[k], line.Text); len(got[k]) == 1 {
						ready.Done()
					}
					if line.Text == last {
						return enough
					}
					return nil
				})
			if !errors.Is(err, enough) {
				t.Error(err)
			}
		})
	}
	ready.Wait()
	for i, text := range numbers(0, n)[1:] {
		f.Line(begin.Add(time.Duration(i)*time.Second), "hub", logfile.Stdout, text)
		if i%10 == 0 {
			flush(t, f)
		}
	}
	flush(t, f)
	reading.Wait()
	for k := range followers {
		require.Equal(t, numbers(0, n), got[k])
	}
	require.False(t, l.Watches(), "nothing is left when nobody looks")
}

// A follower waits for a file, and for one that was removed or cut.
func TestFollowWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, output.File("hub"))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	texts := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- logs.New(dir).Read(ctx, logs.Query{Services: []string{"hub"}, Tail: -1, Follow: true},
			func(l masterapi.LogLine) error {
				texts <- l.Text
				return nil
			})
	}()
	write := func(text string, flag int) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flag, 0o600)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	write("one\n", os.O_APPEND)
	require.Equal(t, "one", <-texts)
	write("half", os.O_APPEND)
	write(" a line\n", os.O_APPEND)
	require.Equal(t, "half a line", <-texts)
	require.NoError(t, os.Remove(path))
	write("three\n", os.O_APPEND)
	require.Equal(t, "three", <-texts)
	write("4\n", os.O_TRUNC)
	require.Equal(t, "4", <-texts)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// What the master writes of itself, in either format.
func TestLogOfTheMaster(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master.log")
	text := `time="2026-11-30T01:02:03.000Z" level=info msg="master started"` + "\n  a second line of it\n" +
		`{"level":"info","msg":"x","time":"2026-11-30T02:02:03.000Z"}` + "\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	q := logs.Query{Services: []string{masterapi.ServiceMaster}, Master: path, Tail: -1}
	require.Equal(t, strings.Split(strings.TrimSpace(text), "\n"), read(t, dir, q))
	q.Since = begin.Add(time.Minute)
	require.Len(t, read(t, dir, q), 1)
}

// Whatever stands in a file: what is read from its end is what is read from its begin.
func FuzzRead(f *testing.F) {
	f.Add([]byte("2026-11-30T01:02:03.004Z [hub] stdout: x\n2026-11-30T01:02:03.004Z [hub] stderr+: y\n"), 1)
	f.Add([]byte("\n\n\x00\x00x\r\n\xff"), 2)
	f.Add(bytes.Repeat([]byte("x"), 300_000), 1)
	f.Fuzz(func(t *testing.T, data []byte, tail int) {
		dir := t.TempDir()
		path := filepath.Join(dir, output.File("hub"))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o600))
		all := read(t, dir, logs.Query{Services: []string{"hub"}, Tail: -1})
		for _, text := range all {
			require.LessOrEqual(t, len(text), 512<<10)
		}
		if tail = max(0, tail); bytes.Count(data, []byte("\n")) < 1000 && len(data) < 200_000 {
			end := read(t, dir, logs.Query{Services: []string{"hub"}, Tail: tail})
			require.LessOrEqual(t, len(end), tail)
			require.Equal(t, all[len(all)-len(end):], append(all[:0:0], end...))
		}
	})
}
