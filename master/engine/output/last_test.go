package output_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/logfile"
)

var at = time.Date(2026, 11, 30, 1, 2, 3, 4e6, time.UTC)

// write writes lines to the file of a service, as a master did.
func write(t *testing.T, dir string, instance string, times ...time.Time) {
	f := output.Open(dir, "hub", log.Config{}, log.Discard())
	l := logfile.NewLines(f, instance)
	for _, at := range times {
		l.Line(at, logfile.Stdout, "x")
	}
	require.NoError(t, output.Close(f))
}

func last(t *testing.T, dir string, instance string) output.Mark {
	t.Helper()
	m, err := output.Last(dir, "hub", instance)
	require.NoError(t, err)
	m.At = m.At.UTC()
	return m
}

func TestLast(t *testing.T) {
	dir := t.TempDir()
	require.Equal(t, output.Mark{}, last(t, dir, "hub"), "no file")
	write(t, dir, "hub", at, at.Add(time.Millisecond), at.Add(time.Millisecond+time.Microsecond))
	write(t, dir, "hub.2", at.Add(time.Second))
	require.Equal(t, output.Mark{At: at.Add(time.Millisecond), Lines: 2}, last(t, dir, "hub"))
	require.Equal(t, output.Mark{At: at.Add(time.Second), Lines: 1}, last(t, dir, "hub.2"))
	require.Equal(t, output.Mark{At: at}, last(t, dir, "hub.3"), "nothing newer than the oldest line")

	// A line in several parts is one.
	f := output.Open(dir, "hub", log.Config{}, log.Discard())
	logfile.NewLines(f, "hub").Line(at.Add(time.Minute), logfile.Stderr, strings.Repeat("x", 100000))
	require.NoError(t, output.Close(f))
	require.Equal(t, output.Mark{At: at.Add(time.Minute), Lines: 1}, last(t, dir, "hub"))

	// Rotated just now.
	path := filepath.Join(dir, output.File("hub"))
	old := strings.TrimSuffix(path, ".log") + time.Now().UTC().Format("-2006-01-02T15-04-05.000") + ".log"
	require.NoError(t, os.Rename(path, old))
	require.Equal(t, output.Mark{At: at.Add(time.Minute), Lines: 1}, last(t, dir, "hub"))
	write(t, dir, "hub.2", at.Add(time.Hour))
	require.Equal(t, output.Mark{At: at.Add(time.Minute), Lines: 1}, last(t, dir, "hub"))
	require.Equal(t, output.Mark{At: at.Add(time.Hour)}, last(t, dir, "hub.3"))
	require.Equal(t, output.Mark{At: at.Add(time.Hour), Lines: 1}, last(t, dir, "hub.2"))
}

// However large a file is, a bounded part of it is read, and what others wrote into it does no harm.
func TestLastOfALargeFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "hub", at)
	f, err := os.OpenFile(filepath.Join(dir, output.File("hub")), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	line := at.Add(time.Second).Format(logfile.Stamp) + " [hub.2] stdout: x\n"
	_, err = f.WriteString("no line of ours\n" + strings.Repeat(line, (2<<20)/len(line)))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, output.Mark{At: at.Add(time.Second)}, last(t, dir, "hub"))
}

// A disk that is in trouble is told once to the log of the master.
func TestTroubleIsTold(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, output.File("hub")), 0o755), "a folder is no file")
	var told mqtttest.Output
	f := output.Open(dir, "hub", log.Config{}, log.NewTo(&told, log.Config{}))
	f.Line(at, "hub", logfile.Stdout, "x")
	require.Eventually(t, func() bool { return f.Trouble() != nil }, time.Minute, time.Millisecond)
	output.Settle(f)
	require.NoError(t, os.Remove(filepath.Join(dir, output.File("hub"))))
	require.Eventually(t, func() bool { return strings.Contains(told.String(), "is written again") }, time.Minute,
		time.Millisecond)
	require.NoError(t, output.Close(f))
	require.Equal(t, 1, strings.Count(told.String(), "output of the service cannot be written"))
	require.Equal(t, output.Mark{At: at, Lines: 1}, last(t, dir, "hub"))
}
