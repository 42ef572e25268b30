package log_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/utils/log"
)

func text(t *testing.T, path string) string {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestConsoleAndFileGetTheSameLines(t *testing.T) {
	var console mqtttest.Output
	path := filepath.Join(t.TempDir(), "deep", "x.log")
	l := log.NewTo(&console, log.Config{Path: path, Format: "json"}, log.KeyService, "hub")
	l.WithField("n", 1).WithError(errors.New("boom")).Warnf("hello %d", 2)
	l.Debugf("unseen")
	for _, want := range []string{`"service":"hub"`, `"n":1`, `"error":"boom"`, `"msg":"hello 2"`, `"level":"warning"`} {
		require.Contains(t, console.String(), want)
	}
	require.NotContains(t, console.String(), "unseen")
	l.SetLevel("debug")
	l.Debugf("seen")
	require.Contains(t, console.String(), "seen")
	require.NoError(t, l.Close())
	require.Equal(t, console.String(), text(t, path))
	l.Infof("after the end")
	require.Contains(t, console.String(), "after the end")
}

// A logger of another one has its fields too, of two with one name its own; what it gets the other one never has.
func TestFields(t *testing.T) {
	var console mqtttest.Output
	l := log.NewTo(&console, log.Config{Format: "json"}, "a", "root")
	one := l.WithField("b", 1)
	two, three := one.WithField("b", 2).WithField("a", "two"), one.WithField("c", 3)
	for _, c := range []struct {
		log  log.Logger
		want string
	}{
		{l, `{"a":"root","level":"info","msg":"x"`}, {one, `{"a":"root","b":1,"level":"info","msg":"x"`},
		{two, `{"a":"two","b":2,"level":"info","msg":"x"`}, {three, `{"a":"root","b":1,"c":3,"level":"info","msg":"x"`},
	} {
		before := len(console.String())
		c.log.Infoln("x")
		require.True(t, strings.HasPrefix(console.String()[before:], c.want), console.String())
	}
}

// The console says once that the file cannot be written, and that it can be again; then the file has what waited.
func TestUnwritableFileLeavesTheConsole(t *testing.T) {
	var console mqtttest.Output
	path := filepath.Join(t.TempDir(), "x.log")
	require.NoError(t, os.Mkdir(path, 0o755))
	l := log.NewTo(&console, log.Config{Path: path}, log.KeyService, "hub")
	for n := range 10 {
		l.Infof("line %d", n)
		require.Contains(t, console.String(), fmt.Sprintf("line %d", n))
	}
	require.Eventually(t, func() bool { return strings.Contains(console.String(), "log file cannot be written") },
		time.Minute, time.Millisecond)
	require.NoError(t, os.Remove(path))
	require.Eventually(t, func() bool { return strings.Contains(console.String(), "log file is written again") },
		time.Minute, time.Millisecond)
	require.NoError(t, l.Close())
	require.Equal(t, 10, strings.Count(text(t, path), "line "))
	require.Equal(t, 1, strings.Count(console.String(), "log file cannot be written"))
	require.Regexp(t, `level=error msg="log file cannot be written.*is a directory" service=hub`, console.String())
}

// SIGHUP changes the log of those who hold it already.
func TestReconfigure(t *testing.T) {
	var console mqtttest.Output
	dir := t.TempDir()
	one, two := filepath.Join(dir, "1.log"), filepath.Join(dir, "2.log")
	l := log.NewTo(&console, log.Config{Path: one})
	held := l.WithField("part", "x")
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := range 200 {
				held.Infof("writer %d %d", w, n)
			}
		})
	}
	for range 20 {
		l.Reconfigure(log.Config{Path: two, Level: "debug", Format: "json", Size: log.Max{Max: 1}})
		l.Reconfigure(log.Config{Path: one})
	}
	writers.Wait()
	held.Debugf("unseen")
	l.Reconfigure(log.Config{Path: two, Level: "debug", Format: "json"})
	held.Debugf("seen")
	l.Reconfigure(log.Config{Path: two, Level: "warn", Format: "json"})
	held.Infof("unseen")
	require.NoError(t, l.Close())
	all := text(t, one) + text(t, two)
	require.Equal(t, 800, strings.Count(all, "writer "))
	require.NotContains(t, all, "unseen")
	lines := strings.Split(strings.TrimSpace(text(t, two)), "\n")
	require.True(t, json.Valid([]byte(lines[len(lines)-1])), lines)
	require.Contains(t, lines[len(lines)-1], "seen")
}

// EnvPart names what TestPart does in a process of its own.
const EnvPart = "BAETYL_LOG_TEST"

// parts are programs, by name. They end with status 1 by their own log.
var parts = map[string]func(){
	// a module that says more than a console takes that nobody reads
	"chatty": func() {
		l := log.New(log.Config{Path: os.Getenv("LOG_FILE")}, log.KeyService, "hub")
		for n := range 20000 {
			l.Infof("line %05d %s", n, strings.Repeat("x", 100))
		}
		_ = os.WriteFile(os.Getenv("LOG_FILE")+".done", nil, 0o600)
		l.Close()
	},
	"fatal": func() {
		log.New(log.Config{Path: os.Getenv("LOG_FILE")}).Fatalf("last words")
	},
	"panic": func() {
		l := log.New(log.Config{Path: os.Getenv("LOG_FILE")})
		for n := range 100 {
			l.Infof("line %d", n)
		}
		panic("end")
	},
}

func TestPart(t *testing.T) {
	if part := parts[os.Getenv(EnvPart)]; part != nil {
		part()
		return
	}
	t.Skip("run by the other tests")
}

// program is a process that runs a part with stderr.
func program(t *testing.T, part, file string, stderr io.Writer) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestPart$")
	cmd.Env = append(os.Environ(), EnvPart+"="+part, "LOG_FILE="+file)
	cmd.Stderr = stderr
	return cmd
}

// A console that nobody reads is full after 64 KiB. Nobody waits for it, the file has all, and the program ends.
func TestConsoleThatNobodyReads(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	file := filepath.Join(t.TempDir(), "x.log")
	cmd := program(t, "chatty", file, w)
	began := time.Now()
	require.NoError(t, cmd.Run())
	require.Less(t, time.Since(began), time.Minute)
	require.FileExists(t, file+".done")
	require.Equal(t, 20000, strings.Count(text(t, file), "line "))
}

// When somebody reads again, what is there is in order, and one line tells how many lines are not.
func TestConsoleThatIsReadAgain(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "x.log")
	cmd := program(t, "chatty", file, w)
	require.NoError(t, cmd.Start())
	require.NoError(t, w.Close())
	require.Eventually(t, func() bool { _, err := os.Stat(file + ".done"); return err == nil }, time.Minute,
		time.Millisecond)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	lost, last := 0, ""
	for _, line := range lines {
		var n int
		if _, text, ok := strings.Cut(line, `level=warning msg="`); ok {
			_, err := fmt.Sscanf(text, "%d lines were lost", &n)
			require.NoError(t, err, line)
			lost += n
			continue
		}
		_, text, ok := strings.Cut(line, `msg="line `)
		require.True(t, ok, line)
		require.Less(t, last, text[:5])
		last = text[:5]
		lost++
	}
	require.Equal(t, 20000, lost)
	require.Equal(t, "19999", last)
}

// A console whose other end was closed ends no program.
func TestConsoleThatIsGone(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	file := filepath.Join(t.TempDir(), "x.log")
	cmd := program(t, "chatty", file, w)
	require.NoError(t, cmd.Run())
	require.NoError(t, w.Close())
	require.Equal(t, 20000, strings.Count(text(t, file), "line "))
}

// What is logged last is there, however the program ends. A machine that is too busy to write a line within the time
// that a call waits for it loses the last lines of a panic, not of Fatalf: then the program runs again.
func TestLastWords(t *testing.T) {
	count := func(part string) (inFile, onConsole int) {
		file := filepath.Join(t.TempDir(), "x.log")
		var stderr bytes.Buffer
		require.Error(t, program(t, part, file, &stderr).Run())
		return strings.Count(text(t, file), "level="), strings.Count(stderr.String(), "level=")
	}
	inFile, onConsole := count("fatal")
	require.Equal(t, 1, inFile)
	require.Equal(t, 1, onConsole)
	for range 5 {
		if inFile, onConsole = count("panic"); inFile == 100 && onConsole == 100 {
			break
		}
	}
	require.Equal(t, 100, inFile)
	require.Equal(t, 100, onConsole)
}
