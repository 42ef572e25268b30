package logfile_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/logfile"
)

func TestParse(t *testing.T) {
	at := time.Date(2026, 11, 30, 1, 2, 3, 4e6, time.UTC)
	for _, c := range []struct {
		line string
		want *logfile.Entry
	}{
		{"2026-11-30T01:02:03.004Z [hub] stdout: a: [b] c\n", &logfile.Entry{At: at, Instance: "hub", Stream: "stdout", Text: []byte("a: [b] c")}},
		{"2026-11-30T02:02:03.004+01:00 [hub.2] stderr+: ", &logfile.Entry{At: at, Instance: "hub.2", Stream: "stderr", GoesOn: true, Text: []byte{}}},
		{"2026-11-30T01:02:03.004Z [-] log: 5 lines", &logfile.Entry{At: at, Instance: "-", Stream: "log", Text: []byte("5 lines")}},
		{"2026-11-30T01:02:03.004Z [hub] text of a version that knew no streams", nil},
		{"2026-11-30T01:02:03.004Z [hub] stdout", nil},
		{"yesterday [hub] stdout: x", nil},
		{"", nil},
	} {
		e, ok := logfile.Parse([]byte(c.line))
		require.Equal(t, c.want != nil, ok, c.line)
		if ok {
			e.At = e.At.UTC()
			require.Equal(t, *c.want, e)
		}
	}
}

// What Parse understands, Line would have written.
func FuzzParse(f *testing.F) {
	f.Add([]byte("2026-11-30T01:02:03.004Z [hub] stdout: a: [b] c\n"))
	f.Add([]byte("2026-11-30T01:02:03.004+05:30 [-] log+: "))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, ok := logfile.Parse(line)
		if !ok {
			return
		}
		label := e.Stream
		if e.GoesOn {
			label += "+"
		}
		again := e.At.Format(logfile.Stamp) + " [" + e.Instance + "] " + label + ": " + string(e.Text)
		_, rest, _ := bytes.Cut(line, []byte(" ["))
		_, rest2, _ := bytes.Cut([]byte(again), []byte(" ["))
		require.Equal(t, string(bytes.TrimSuffix(rest, []byte("\n"))), string(rest2))
		e2, ok := logfile.Parse([]byte(again))
		require.True(t, ok, again)
		require.True(t, e.At.Truncate(time.Millisecond).Equal(e2.At))
	})
}
