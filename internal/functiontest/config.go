//go:build unix

package functiontest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ConfigCase is one configuration file of a runtime and what it means, from protocol/function/testdata/config.json. All
// runtimes are tested with it.
type ConfigCase struct {
	Name string
	File string // the text; REST stands for the keys of a function that each runtime has its own of
	Hex  Hex    // the file instead, as bytes
	Env  map[string]string
	ConfigResult
	SQL    *ConfigResult // for the modules in Go, where it is another one
	Python *ConfigResult // for the runtimes in Python
}

// ConfigResult is what is made of a file.
type ConfigResult struct {
	Why   string         // why a language has another result
	Want  map[string]any // some of its values; Values says which there are
	Error []string       // else: what the error says, in parts; without both there is nothing to compare
}

// Values are the values of a configuration that cases compare: name, address, concurrent (0: no limit),
// message (bytes), timeout (seconds), level, format, path, age (days), size (megabytes), backup and functions (names).
type Values map[string]any

// LoadConfigCases reads the cases for one language: "", "sql" or "python".
func LoadConfigCases(t testing.TB, language string) []ConfigCase {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Root(), "protocol/function/testdata/config.json"))
	require.NoError(t, err)
	var cases []ConfigCase
	require.NoError(t, json.Unmarshal(b, &cases))
	require.Greater(t, len(cases), 100)
	for i, c := range cases {
		if own := map[string]*ConfigResult{"sql": c.SQL, "python": c.Python}[language]; own != nil {
			cases[i].ConfigResult = *own
		}
	}
	return slices.DeleteFunc(cases, func(c ConfigCase) bool { return c.Want == nil && c.Error == nil })
}

// Bytes are those of the file, with rest for REST.
func (c ConfigCase) Bytes(rest string) []byte {
	if c.Hex != nil {
		return c.Hex
	}
	return []byte(strings.ReplaceAll(c.File, "REST", rest))
}

// Environment is that of the case, with name and address unless it says otherwise.
func (c ConfigCase) Environment() map[string]string {
	env := map[string]string{"BAETYL_SERVICE_INSTANCE_NAME": "test", "BAETYL_SERVICE_INSTANCE_ADDRESS": "127.0.0.1:1"}
	maps.Copy(env, c.Env)
	maps.DeleteFunc(env, func(_, value string) bool { return value == "" })
	return env
}

// Check compares what a runtime made of the case; failed is its error, or empty.
func (c ConfigCase) Check(t *testing.T, got Values, failed string) {
	t.Helper()
	if len(c.Error) > 0 {
		require.NotEmpty(t, failed, "it is taken, as %v", got)
		assert.True(t, strings.HasPrefix(failed, "service.yml: "), "it names the file: %s", failed)
		assert.NotContains(t, failed, "\n")
		for _, part := range c.Error {
			assert.Contains(t, failed, part)
		}
		return
	}
	require.Empty(t, failed)
	for key, want := range c.Want {
		if n, ok := want.(float64); ok {
			assert.InDelta(t, n, got[key], 1e-6, key)
			continue
		}
		assert.Equal(t, want, got[key], key)
	}
}

// RunConfigCases asks parser about each case: a program that reads lines {"file": path, "env": {…}} and answers each
// with a line of Values, or {"error": text}.
func RunConfigCases(t *testing.T, language string, parser *exec.Cmd) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "code"), 0o755))
	parser.Dir, parser.Stderr = dir, os.Stderr
	in, err := parser.StdinPipe()
	require.NoError(t, err)
	out, err := parser.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parser.Start())
	t.Cleanup(func() {
		in.Close()
		_ = parser.Wait()
	})
	answers := bufio.NewReader(out)
	ask := func(t *testing.T, c ConfigCase) {
		question, err := json.Marshal(map[string]any{"file": "service.yml", "env": c.Environment()})
		require.NoError(t, err)
		_, err = fmt.Fprintf(in, "%s\n", question)
		require.NoError(t, err)
		line, err := answers.ReadBytes('\n')
		require.NoError(t, err)
		got := Values{}
		require.NoError(t, json.Unmarshal(line, &got), "%s", line)
		failed, _ := got["error"].(string)
		c.Check(t, got, failed)
	}
	for _, c := range LoadConfigCases(t, language) {
		t.Run(c.Name, func(t *testing.T) {
			Write(t, dir, map[string]string{"service.yml": string(c.Bytes("handler: index.handler, codedir: code"))})
			ask(t, c)
		})
	}
	t.Run("a FIFO", func(t *testing.T) { // which nobody writes
		require.NoError(t, os.Remove(filepath.Join(dir, "service.yml")))
		require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "service.yml"), 0o600))
		ask(t, ConfigCase{ConfigResult: ConfigResult{Error: []string{"is a FIFO; name a regular file with -c"}}})
	})
}
