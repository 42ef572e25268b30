//go:build unix

package python_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baetyl/baetyl/internal/functiontest"
	"github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// user starts an instance with functions of testdata/user, named as in their module.
func user(t *testing.T, target functiontest.Target, config string, names ...string) functiontest.Options {
	b := &strings.Builder{}
	for _, name := range names {
		fmt.Fprintf(b, "- {name: %s, handler: %s, codedir: user}\n", name[strings.LastIndex(name, ".")+1:], name)
	}
	o := secured(target, b.String()+config)
	for name, content := range functiontest.Files(t, "testdata/user") {
		o.Files["user/"+name] = content
	}
	return o
}

// is2 tells whether target is Python 2.
func is2(target functiontest.Target) bool { return strings.HasSuffix(target.Entry, "27") }

// TestMainThread: with one call at a time a handler has the main thread, and processes that it makes end.
func TestMainThread(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		r := functiontest.Start(t, user(t, target, "", "user.main_thread", "user.pool", "user.fork", "user.fork_holds",
			"user.program_holds"))
		assert.JSONEq(t, "[]", r.MustCall(t, "fork_holds", "{}"), "a child has none of the runtime's sockets")
		for range 3 {
			assert.Equal(t, "MainThread", text(r.MustCall(t, "main_thread", "{}")))
			assert.JSONEq(t, "[1,4,9]", r.MustCall(t, "pool", "{}"))
			assert.JSONEq(t, `{"child":false}`, r.MustCall(t, "fork", `{"wait":true}`), "a child never answers")
		}
		assert.NotContains(t, r.MustCall(t, "program_holds", "{}"), "socket:")
		assert.NotContains(t, r.Output(), "Traceback")
		r.Signal(t, syscall.SIGTERM)
		r.WaitOutput(t, "service closed")
	})
}

// TestAsync: a handler may be async def; its loop lives on between the calls.
func TestAsync(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		if is2(target) {
			t.Skip("Python 2 has none")
		}
		r := functiontest.Start(t, user(t, target, "", "asynchronous.waits", "asynchronous.runs"))
		assert.JSONEq(t, `{"loops":1}`, r.MustCall(t, "waits", "{}"))
		assert.JSONEq(t, `{"loops":1}`, r.MustCall(t, "waits", `{"seconds":0.01}`))
		detail := r.UserError(t, "waits", `{"fail":true}`)
		assert.Contains(t, detail, "('[UserCodeInvoke] ', ValueError('later'")
		assert.Regexp(t, `\(asynchronous\.py:11\)$`, detail)
		r.MustCall(t, "runs", "{}")
		r.MustCall(t, "waits", "{}")

		// One that waits is ended with its call, and the next one gets its turn.
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			_, err := r.Client.Call(ctx, &function.FunctionMessage{FunctionName: "waits", Payload: []byte(`{"seconds":3600}`)})
			cancel()
			assert.Equal(t, codes.DeadlineExceeded, status.Code(err), "%v", err)
			r.MustCall(t, "waits", "{}")
		}
	})
}

// TestReasons: whatever an error does, its type, file and line are in the answer and in the log.
func TestReasons(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := user(t, target, "", "user.fails")
		r := functiontest.Start(t, o)
		cases := map[string]string{
			"mute": "Mute", "nameless": "error", "recursion": "R", "memory": "MemoryError", "generator": "GeneratorExit: left",
			"library": "", "cause": "KeyError: 'second'",
		}
		if strings.Contains(target.Entry, "3.11") || strings.Contains(target.Entry, "3.13") {
			cases["group"] = "ExceptionGroup: several (2 sub-exceptions)"
		}
		for how, want := range cases {
			detail := r.UserError(t, "fails", `{"how":"`+how+`"}`)
			assert.Contains(t, detail, "Exception calling application: ('[UserCodeInvoke] ', ", how)
			assert.Regexp(t, `\(user\.py:\d+\)$`, detail, how)
			r.WaitOutput(t, "function fails [id] failed: "+want)
		}
		_, err := r.Call(t, "fails", `{"how":"exit"}`)
		assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		assert.Zero(t, r.Wait(t))
		assert.Regexp(t, `ERROR - os\._exit\(0\) at .*/user/user\.py:\d+ ends the instance\n`, r.Output())
	})
}

// TestReasonsOfImport: an import that fails says why, in its last line, at once.
func TestReasonsOfImport(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		mute := "class Mute(BaseException):\n    def __str__(self): raise ValueError()\n    __repr__ = __str__\n"
		for name, c := range map[string]struct{ source, want string }{
			"raises":    {"x = 1\nraise ValueError('not\\ntoday')\n", "ValueError: not today (broken.py:2)"},
			"mute":      {mute + "raise Mute()\n", "Mute: <its text can't be had: ValueError> (broken.py:4)"},
			"ends":      {"import sys\nsys.exit(0)\n", "SystemExit: 0 (broken.py:2)"},
			"interrupt": {"\n\nraise KeyboardInterrupt()\n", "KeyboardInterrupt (broken.py:3)"},
			"syntax":    {"a = (\nb = )\n", "(broken.py:"},
			"below":     {"def f(): {}['a']\n\nf()\n", "KeyError: 'a' (broken.py:1)"},
			"library":   {"import json\njson.loads('{')\n", "(broken.py:2)"},
			"exit":      {"import os\nos._exit(0)\n", "code/broken.py:2 ends the instance"},
		} {
			t.Run(name, func(t *testing.T) {
				o := secured(target, "- {name: broken, handler: broken.handler, codedir: code}\n")
				o.Files["code/broken.py"] = c.source
				code, out := functiontest.Fail(t, o)
				lines := strings.Split(strings.TrimSpace(out), "\n")
				assert.Contains(t, lines[len(lines)-1], c.want)
				if name != "exit" {
					assert.Equal(t, 1, code)
					assert.Contains(t, lines[len(lines)-1], "functions[10].handler: import 'broken.handler' of function 'broken'")
				}
			})
		}
	})
}

// TestPublished: a result is JSON that says what was returned, or an error that names what is none.
func TestPublished(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		r := functiontest.Start(t, user(t, target, "", "user.publishes"))
		bad := map[string]string{
			"doubled": `are both "1" in JSON`, "doubled true": `are both "true" in JSON`,
			"doubled below": `are both "null" in JSON`,
			"NaN":           "result['a']: nan is not JSON", "Infinity": "result[1]: -inf is not JSON",
			"set":       "result['a'][0]: set is not JSON",
			"generator": "result: generator is not JSON", "cycle": "contains itself", "tuple as key": "a key is of type tuple",
			"object": "result['a']: object is not JSON", "class": "result[0]: type is not JSON", "range": "iterator is not JSON",
			"complex": "result: complex is not JSON", "bytes below": "result['a']: bytes is not JSON",
		}
		if is2(target) {
			bad["range"], bad["bytes below"] = "listiterator is not JSON", "UnicodeDecodeError"
		}
		for what, want := range bad {
			detail := r.UserError(t, "publishes", `{"what":"`+what+`"}`)
			assert.Contains(t, strings.ReplaceAll(detail, `\'`, `'`), want, what)
			assert.True(t, strings.HasPrefix(detail, "Exception calling application: ('[UserCodeReturn] ', "), detail)
		}
		for what, want := range map[string]string{
			"numbers as keys": `{"1":"a","2.5":"b","null":"c"}`, "subclasses": `["t",5,[1,2],{"z":1,"a":2}]`, "empty": "[]",
		} {
			assert.JSONEq(t, want, r.MustCall(t, "publishes", `{"what":"`+what+`"}`))
		}
		assert.Equal(t, `"\ud800"`, r.MustCall(t, "publishes", `{"what":"surrogate"}`))
	})
}

// TestUserLog: what user code logs has time, level and the id of the call, and is there once.
func TestUserLog(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		r := functiontest.Start(t, user(t, target, "logger: {path: service.log}", "user.logs", "user.logs_configured"))
		r.MustCall(t, "logs", "{}")
		r.WaitOutput(t, "said by a handler of my own")
		out := r.Output()
		const line = `(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - test\.instance\.1 - INFO - \[id\] said at level info$`
		assert.Regexp(t, line, out)
		assert.Contains(t, out, " - WARNING - [id] größe\n")
		assert.Contains(t, out, " - ERROR - [id] with a traceback\nTraceback (most recent call last):\n")
		assert.NotContains(t, out, "said at level debug")
		assert.Equal(t, 1, strings.Count(out, "said by a handler of my own"), out)
		assert.Contains(t, out, "mine: said by a handler of my own")
		assert.Contains(t, string(r.Read(t, "service.log")), "said at level info")
		r.MustCall(t, "logs_configured", "{}")
		r.WaitOutput(t, "configured: said after basicConfig")
		assert.Equal(t, 1, strings.Count(r.Output(), "said after basicConfig"))

		r = functiontest.Start(t, user(t, target, "logger: {format: json}", "user.logs"))
		r.MustCall(t, "logs", "{}")
		r.WaitOutput(t, "said by a handler of my own")
		for line := range strings.SplitSeq(strings.TrimSpace(r.Output()), "\n") {
			if strings.Contains(line, "größe") || strings.Contains(line, `gr\u00f6\u00dfe`) {
				var fields map[string]string
				require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
				delete(fields, "time")
				assert.Equal(t, map[string]string{"level": "warning", "instance": "test.instance.1", "msg": "[id] größe",
					"logger": "user.py", "invokeid": "id"}, fields)
				return
			}
		}
		t.Error("no such line: " + r.Output())
	})
}

// TestWatch: a handler is loaded again when its file has changed, and an error leaves the one before.
func TestWatch(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := secured(target, "- {name: f, handler: changes.handler, codedir: watched, watch: true}\n")
		source := "import below\ndef handler(event, context): return below.value + %d\n"
		o.Files["watched/changes.py"], o.Files["watched/below.py"] = fmt.Sprintf(source, 1), "value = 10\n"
		r := functiontest.Start(t, o)
		assert.Equal(t, "11", r.MustCall(t, "f", "{}"))
		r.Write(t, "watched/changes.py", []byte(fmt.Sprintf(source, 2)))
		assert.Equal(t, "12", r.MustCall(t, "f", "{}"))
		r.Write(t, "watched/below.py", []byte("value = 20\n"))
		assert.Equal(t, "22", r.MustCall(t, "f", "{}"), "also of what it imports")
		r.Write(t, "watched/changes.py", []byte("raise ValueError('half done')\n"))
		for range 2 {
			assert.Equal(t, "22", r.MustCall(t, "f", "{}"))
		}
		r.WaitOutput(t, "ValueError: half done (changes.py:1)")
		assert.Equal(t, 1, strings.Count(r.Output(), "can't be loaded; the one before goes on"), "once")
		r.Write(t, "watched/changes.py", []byte(fmt.Sprintf(source, 3)))
		assert.Equal(t, "23", r.MustCall(t, "f", "{}"))
		assert.Equal(t, "23", r.MustCall(t, "f", "{}"))
	})
}

// TestLocal runs functions without the edge.
func TestLocal(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		dir := t.TempDir()
		functiontest.Write(t, dir, map[string]string{
			"index.py": "import logging\ndef handler(event, context):\n" +
				"    logging.info('seen')\n    print('printed')\n" +
				"    return {'id': event['id'], 'name': context['functionName']}\ndef none(event, context): return None\n",
			"event.json": `{"id":5}` + "\n", "sub/other.py": "def handler(event, context): return b'raw'\n",
		})
		run := func(stdin string, args ...string) (int, string, string) {
			cmd := exec.Command(target.Entry, args...)
			out, err := &strings.Builder{}, &strings.Builder{}
			cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, strings.NewReader(stdin), out, err
			_ = cmd.Run()
			return cmd.ProcessState.ExitCode(), out.String(), err.String()
		}
		for _, c := range []struct {
			name, stdin string
			args        []string
			code        int
			out, err    string
		}{
			{name: "file", args: []string{"--handler", "index.handler", "--event", "event.json"}, out: `"id": 5`, err: "[local] seen"},
			{name: "stdin", stdin: `{"id":6}`, args: []string{"--handler=index.handler", "--event=-"}, out: `"id": 6`},
			{name: "codedir", args: []string{"--handler", "other.handler", "--codedir", "sub"}, out: "raw\n"},
			{name: "nothing", args: []string{"--handler", "index.none"}},
			{name: "error", args: []string{"--handler", "index.handler"}, code: 1, err: "KeyError: 'id' (index.py:5)"},
			{name: "no event", args: []string{"--handler", "index.handler", "--event", "no.json"}, code: 1,
				err: "--event no.json: No such file or directory"},
			{name: "no module", args: []string{"--handler", "nowhere.handler"}, code: 1, err: "--handler nowhere.handler"},
			{name: "no function", args: []string{"--handler", "index"}, code: 1, err: "is not <module>.<function>"},
			{name: "no codedir", args: []string{"--handler", "index.handler", "--codedir", "no"}, code: 1, err: "--codedir no"},
			{name: "event alone", args: []string{"--event", "event.json"}, code: 2, err: "--event needs --handler"},
		} {
			code, out, err := run(c.stdin, c.args...)
			assert.Equal(t, c.code, code, "%s: %s%s", c.name, out, err)
			assert.Contains(t, out, c.out, c.name)
			assert.Contains(t, err, c.err, c.name)
		}
	})
}

// TestSecret: user code and its children never see the secret.
func TestSecret(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := user(t, target, "", "user.secret")
		r := functiontest.Start(t, o)
		seen := r.MustCall(t, "secret", "{}")
		assert.Contains(t, seen, "BAETYL_SERVICE_INSTANCE_PIPE")
		assert.NotContains(t, seen, o.Secret)
		assert.NotContains(t, seen, masterapi.EnvInstanceSecret+"=x")
		assert.NotContains(t, r.Output(), o.Secret)
	})
}

// TestUnix: the pipe at a unix socket, in the place of one that an instance before has left.
func TestUnix(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		path := filepath.Join(t.TempDir(), "s")
		for range 2 {
			o := secured(target, "")
			o.Addr = "unix:" + path
			r := functiontest.Start(t, o)
			assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
			r.Signal(t, syscall.SIGKILL)
			r.Wait(t)
			_, err := os.Lstat(path)
			require.NoError(t, err, "it is left")
		}
	})
}
