//go:build unix

package docker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/logfile"
)

// said is a line as the daemon has it.
type said struct {
	stream int
	at     time.Time
	text   string
}

// frame is a line as the daemon sends it.
func (s said) frame() []byte {
	text := s.at.Format(time.RFC3339Nano) + " " + s.text + "\n"
	head := []byte{byte(stdcopy.Stdout) + byte(s.stream), 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return append(head, text...)
}

// Masters end after any number of lines, some in the middle of one, with other instances in the same file and many
// lines in one millisecond: in the end each line is there once.
func TestPlaceOverKills(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		var all []said
		at := began
		for n := range 300 {
			at = at.Add(time.Duration(random.IntN(600_000)))
			all = append(all, said{random.IntN(1 + int(seed%2)), at, fmt.Sprintf("%d %d.", n%3, n)})
		}
		path := filepath.Join(t.TempDir(), "svc.log")
		for done := false; !done; {
			p, err := findPlace(path, "a", began)
			require.NoError(t, err)
			f := logfile.New(path, logfile.Limits{})
			out, left := logfile.NewLines(f, "a"), 1+random.IntN(80)
			err = p.read(daemonOf(t, all, seed%2 == 0), func(stream int, at time.Time, text string) {
				if left > 0 {
					out.Line(at, streamNames[stream], text)
					f.Line(at, "b", logfile.Stdout, "between [a] stdout: x")
					left--
				}
			})
			require.NoError(t, err)
			require.NoError(t, f.Close(context.Background()))
			if done = left > 0; !done && random.IntN(2) == 0 {
				cut(t, path)
			}
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		count := map[string]int{}
		for line := range bytes.Lines(data) {
			if e, ok := logfile.Parse(line); ok && e.Instance == "a" {
				count[e.Stream+string(e.Text)]++
			}
		}
		for _, s := range all {
			require.Equal(t, 1, count[streamNames[s.stream]+s.text], "seed %d: line %v", seed, s)
		}
	}
}

// daemonOf answers with lines as a daemon does: from the first one of that time on, or, before version 23, only those.
func daemonOf(t *testing.T, all []said, each bool) func(since string, follow bool) (io.ReadCloser, error) {
	return func(since string, _ bool) (io.ReadCloser, error) {
		from := time.Time{}
		if since != "" {
			var err error
			from, err = time.Parse(time.RFC3339Nano, since)
			require.NoError(t, err)
		}
		var sent bytes.Buffer
		for _, s := range all {
			if s.at.Before(from) {
				continue
			}
			if sent.Write(s.frame()); !each {
				from = time.Time{}
			}
		}
		return io.NopCloser(&sent), nil
	}
}

// Times of whole seconds, as podman gives them: lines that are alike follow each other, and each is there, with one
// request.
func TestPlaceOfWholeSeconds(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var all []said
	for n := range 30 {
		all = append(all, said{0, began.Add(time.Duration(n/10) * time.Second), []string{"same", "same", "other"}[n%3]})
	}
	ask, asked := daemonOf(t, all, true), 0
	var got []said
	p := &place{}
	err := p.read(func(since string, follow bool) (io.ReadCloser, error) {
		asked++
		return ask(since, follow)
	}, func(stream int, at time.Time, text string) { got = append(got, said{stream, at, text}) })
	require.NoError(t, err)
	require.Equal(t, all, got)
	require.Equal(t, 1, asked)
	last := began.Add(2 * time.Second)
	require.Len(t, p.linesSince(last.Add(500*time.Millisecond)), 10, "the container may be younger than its lines")
	require.Empty(t, p.linesSince(last.Add(time.Second)))
}

// The clock is set back while masters come and go: each line is there once all the same, and in order.
func TestPlaceOverAClockThatIsSetBack(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 2))
		var all []said
		jump, back := 50+random.IntN(100), time.Duration(1+random.IntN(40))*10*time.Millisecond
		at := began
		for n := range 200 {
			if at = at.Add(time.Duration(random.IntN(6_000_000))); n == jump {
				at = at.Add(-back)
			}
			all = append(all, said{random.IntN(2), at, fmt.Sprintf("%d.", n)})
		}
		path := filepath.Join(t.TempDir(), "svc.log")
		var got [2][]string
		for ends := 10; ends < 300; ends += 10 + random.IntN(60) { // lines that there are when a master ends
			now := all[:min(ends, len(all))]
			p, err := findPlace(path, "a", began)
			require.NoError(t, err)
			if len(now) > jump { // as setBack finds it
				p.back = back + time.Millisecond
			}
			f := logfile.New(path, logfile.Limits{})
			out := logfile.NewLines(f, "a")
			require.NoError(t, p.read(daemonOf(t, now, seed%2 == 0), func(stream int, at time.Time, text string) {
				out.Line(at, streamNames[stream], text)
				got[stream] = append(got[stream], text)
			}))
			require.NoError(t, f.Close(context.Background()))
		}
		var want [2][]string
		for _, s := range all {
			want[s.stream] = append(want[s.stream], s.text)
		}
		require.Equal(t, want, got, "seed %d: back by %s at %d", seed, back, jump)
	}
}

func TestSetBack(t *testing.T) {
	now := time.Now()
	started, err := measure.Started(os.Getpid())
	require.NoError(t, err)
	require.WithinDuration(t, now, started, time.Hour)
	require.Zero(t, setBack(os.Getpid(), started.Add(time.Second), now, now))
	require.Zero(t, setBack(0, started.Add(time.Hour), now, now), "of another machine")
	require.Greater(t, setBack(os.Getpid(), started.Add(time.Hour), now.Add(-time.Hour), now), time.Hour)
	require.Greater(t, setBack(0, time.Time{}, now.Add(time.Hour), now), time.Hour)
}

// cut takes the end of the last line of instance a away, as a kill during the write does.
func cut(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	n := bytes.LastIndexByte(data[:len(data)-1], '\n') // the line of instance b goes too
	require.NoError(t, os.WriteFile(path, data[:n-1], 0o600))
}

// A stream that has no line in files which do not reach back to the start of the container is read from there on.
func TestPlaceAfterRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.log")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := logfile.New(path, logfile.Limits{})
	f.Line(at, "b", logfile.Stdout, "x")
	f.Line(at.Add(time.Second), "a", logfile.Stdout, "y")
	require.NoError(t, f.Close(context.Background()))
	p, err := findPlace(path, "a", at.Add(-time.Hour))
	require.NoError(t, err)
	require.True(t, at.Equal(p.streams[1].at))
	require.True(t, at.Add(time.Second).Equal(p.streams[0].at))
	p, err = findPlace(path, "a", at)
	require.NoError(t, err)
	require.True(t, p.streams[1].at.IsZero())
	require.Empty(t, p.since())

	require.NoError(t, os.Rename(path, filepath.Join(filepath.Dir(path), "svc-2026-01-02T03-04-06.000.log")))
	p, err = findPlace(path, "a", at.Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, []string{"y"}, p.streams[0].lines, "the file before is read too")
}

// A daemon that cannot give the output is not asked for ever.
func TestUnreadableOutput(t *testing.T) {
	require.True(t, unreadable(errors.New("configured logging driver does not support reading")))
	require.False(t, unreadable(io.ErrUnexpectedEOF))
	require.False(t, unreadable(nil))
}

// A long line comes in several frames, and may lack its end.
func TestFrames(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	part := func(text string) []byte {
		f := said{0, at, text}.frame()
		binary.BigEndian.PutUint32(f[4:], binary.BigEndian.Uint32(f[4:])-1)
		return f[:len(f)-1] // without newline
	}
	in := bytes.Join([][]byte{
		part("ab"), said{1, at, "err"}.frame(), part("cd"), said{0, at, "ef"}.frame(), part("gh"),
	}, nil)
	var got []string
	require.NoError(t, frames(bytes.NewReader(in), func(stream int, at time.Time, text string) {
		got = append(got, fmt.Sprint(stream, text))
	}))
	require.Equal(t, []string{"1err", "0abcdef", "0gh"}, got)
	require.Error(t, frames(bytes.NewReader(in[:len(in)-1]), func(int, time.Time, string) {}))
}

// Whatever a daemon sends is lines or an error.
func FuzzFrames(f *testing.F) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	f.Add(said{0, at, "text"}.frame())
	f.Add(append(said{1, at, "text"}.frame(), 1, 0, 0, 0, 0, 0, 0, 1, 'x'))
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &place{}
		p.since()
		_ = frames(bytes.NewReader(data), func(stream int, at time.Time, text string) { p.take(stream, at, text) })
	})
}

// Whatever is in a file, the place is found or an error returned.
func FuzzPlace(f *testing.F) {
	f.Add([]byte("2026-01-02T03:04:05.000Z [a] stdout: x\n2026-01-02T03:04:05.000Z [a] stderr: y"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "svc.log")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		p, err := findPlace(path, "a", time.Time{})
		require.NoError(t, err)
		p.since()
	})
}
