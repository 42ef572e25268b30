package logfile_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/logfile"
)

// in returns a context that ends after d, or with the test.
func in(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// create returns a log file in a folder that does not exist yet.
func create(t testing.TB, l logfile.Limits) (*logfile.File, string) {
	path := filepath.Join(t.TempDir(), "log", "services", "hub.log")
	f := logfile.New(path, l)
	t.Cleanup(func() { require.NoError(t, f.Close(in(t, time.Minute))) })
	return f, path
}

// read returns what is in the file once all is written.
func read(t testing.TB, f *logfile.File, path string) string {
	t.Helper()
	require.NoError(t, f.Flush(in(t, time.Minute)))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// bare is the content of a log file without its times.
func bare(content string) string {
	return regexp.MustCompile(`(?m)^\S+ `).ReplaceAllString(content, "")
}

func TestLinesHaveTimeInstanceAndStream(t *testing.T) {
	f, path := create(t, logfile.Limits{})
	at := time.Date(2026, 11, 30, 1, 2, 3, 4e6, time.UTC)
	f.Line(at, "hub", logfile.Stdout, "hello")
	f.Line(at.In(time.FixedZone("", 3600)), "hub.2", logfile.Stderr, "two\nlines")
	require.Equal(t, "2026-11-30T01:02:03.004Z [hub] stdout: hello\n"+
		"2026-11-30T02:02:03.004+01:00 [hub.2] stderr: two lines\n", read(t, f, path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode())
}
