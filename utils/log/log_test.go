package log_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/log"
)

func TestConsoleAndFileGetTheSameLines(t *testing.T) {
	var console bytes.Buffer
	path := filepath.Join(t.TempDir(), "deep", "x.log")
	l := log.NewTo(&console, log.Config{Path: path, Format: "json"}, log.KeyService, "hub")
	defer l.Close()
	l.WithField("n", 1).WithError(errors.New("boom")).Warnf("hello %d", 2)
	l.Debugf("unseen")
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, console.String(), string(file))
	for _, want := range []string{`"service":"hub"`, `"n":1`, `"error":"boom"`, `"msg":"hello 2"`, `"level":"warning"`} {
		require.Contains(t, console.String(), want)
	}
	require.NotContains(t, console.String(), "unseen")
	l.SetLevel("debug")
	l.Debugf("seen")
	require.Contains(t, console.String(), "seen")
}

func TestUnwritableFileLeavesTheConsole(t *testing.T) {
	var console bytes.Buffer
	l := log.NewTo(&console, log.Config{Path: "/proc/nope/x.log"})
	l.Infoln("still here")
	require.Contains(t, console.String(), "still here")
}
