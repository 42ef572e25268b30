//go:build unix

package python_test

import (
	"context"
	"net/http"
	"net/http/httptest"
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
	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/protocol/function"
)

// target returns the runtime for the interpreter p.
func target(t testing.TB, p functiontest.Python) functiontest.Target {
	t.Helper()
	if p.Path == "" {
		requires.Missing(t, "Python "+p.Version, "pyenv install "+p.Version)
	}
	name, variable := "python36", "BAETYL_PYTHON3"
	if p.Version == "2.7" {
		name, variable = "python27", "BAETYL_PYTHON27"
	}
	exception := "TypeError('x')"
	if p.Version == "2.7" || p.Version == "3.6" {
		exception = "TypeError('x',)"
	}
	return functiontest.Target{
		Entry:   functiontest.Entry(t, functiontest.Package(t, name, p.Version, variable+"="+p.Path)),
		Code:    functiontest.Files(t, "testdata/code"),
		Other:   functiontest.Files(t, "testdata/other"),
		Fail:    "Exception calling application: ('[UserCodeInvoke] ', " + exception + ")",
		Strange: "Exception calling application: ('[UserCodeReturn] ', TypeError(",
		Broken:  map[string]string{"broken.py": "raise ValueError('not today')\n"},
		Missing: map[string]string{"missing.py": "import nowhere\n"},
	}
}

// each runs test with every interpreter of functiontest.Pythons.
func each(t *testing.T, test func(t *testing.T, target functiontest.Target)) {
	for _, p := range functiontest.Pythons(t) {
		t.Run(p.Version, func(t *testing.T) {
			t.Parallel()
			test(t, target(t, p))
		})
	}
}

// eachWay is each, over gRPC and over the pipe.
func eachWay(t *testing.T, test func(t *testing.T, target functiontest.Target)) {
	each(t, func(t *testing.T, target functiontest.Target) { target.EachWay(t, test) })
}

// python returns the interpreter inside of a package.
func python(target functiontest.Target) string {
	return filepath.Join(filepath.Dir(filepath.Dir(target.Entry)), "venv/bin/python")
}

// text takes the quotes of JSON away, if there are any: str is bytes in Python 2 and is sent as it is.
func text(payload string) string { return strings.Trim(payload, `"`) }

func TestSuite(t *testing.T) { each(t, functiontest.Suite) }

// TestDocuments runs the sources of "How to write a python script" and "Message handling with Local Function Service"
// unchanged.
func TestDocuments(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		files := map[string]string{functiontest.Config: `
functions:
- name: 'sayhi'
  handler: 'index.handler'
  codedir: 'var/db/baetyl/function-sayhi'
- name: 'sayhi3'
  handler: 'sayhi.handler'
  codedir: 'var/db/baetyl/function-sayhi'
- name: 'design'
  handler: 'design.handler'
  codedir: 'var/db/baetyl/function-sayhi'
`}
		for name, content := range functiontest.Files(t, "testdata/documents") {
			files["var/db/baetyl/function-sayhi/"+name] = content
		}
		r := functiontest.Start(t, functiontest.Options{Entry: target.Entry, Files: files})

		context := `"messageQOS":0,"messageTopic":"t","messageTimestamp":0,` +
			`"functionName":"sayhi","functionInvokeID":"id","Say":"Hello Baetyl"`
		assert.JSONEq(t, `{"id":1,`+context+`}`, r.MustCall(t, "sayhi", `{"id":1}`))
		assert.JSONEq(t, `{"bytes":"text",`+context+`}`, r.MustCall(t, "sayhi", `text`))
		want := "Exception calling application: ('[UserCodeInvoke] ', TypeError("
		assert.Contains(t, r.UserError(t, "sayhi", `{"err":"x"}`), want)

		assert.JSONEq(t, `{"msg":{"id":5},"type":"dict","say":"hello world"}`, r.MustCall(t, "sayhi3", `{"id":5}`))
		assert.JSONEq(t, `{"msg":"MQTTBox","type":"non-dict","say":"hello world"}`, r.MustCall(t, "sayhi3", `MQTTBox`))

		want = `{"functionName":"design","functionInvokeID":"id","messageQOS":0,"messageTopic":"t","sayhi":"hello, world"}`
		assert.JSONEq(t, want, r.MustCall(t, "design", ""))
	})
}

func TestPython(t *testing.T) {
	eachWay(t, func(t *testing.T, target functiontest.Target) {
		o := target.Options(`
- {name: leave, handler: cases.leave, codedir: code}
- {name: spin, handler: cases.spin, codedir: code}
- {name: background, handler: cases.background, codedir: code}
- {name: bytes, handler: cases.python_bytes, codedir: code}
- {name: bad_error, handler: cases.bad_error, codedir: code}
- {name: deep, handler: pkg.sub.mod.handler, codedir: code}
server: {workers: {max: 1}}
`)
		o.Files["code/pkg/__init__.py"], o.Files["code/pkg/sub/__init__.py"] = "", ""
		o.Files["code/pkg/sub/mod.py"] = "from ..up import value\ndef handler(event, context): return value\n"
		o.Files["code/pkg/up.py"] = "value = 'up'\n"
		r := functiontest.Start(t, o)

		assert.Equal(t, "\x00\xff", r.MustCall(t, "bytes", "{}"))
		assert.Equal(t, `up`, text(r.MustCall(t, "deep", "{}")))
		assert.Contains(t, r.UserError(t, "leave", `{"how":"exit"}`), "('[UserCodeInvoke] ', SystemExit(3")
		assert.Contains(t, r.UserError(t, "leave", `{"how":"interrupt"}`), "('[UserCodeInvoke] ', KeyboardInterrupt(")
		assert.Regexp(t, `^Exception calling application: \('\[UserCodeInvoke\] ', Bad\(\)\) \(cases\.py:\d+\)$`,
			r.UserError(t, "bad_error", "{}"))
		assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`), "the instance still works")

		// Endless Python code ends with the deadline of its call: the one worker is free again.
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // it has to begin before
			_, err := r.Client.Call(ctx, &function.FunctionMessage{FunctionName: "spin"})
			cancel()
			assert.Equal(t, codes.DeadlineExceeded, status.Code(err), "%v", err)
			assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
		}
		r.WaitOutput(t, "ended: its caller did not wait")

		// A thread that user code leaves behind does not keep the process.
		r.MustCall(t, "background", "{}")
		r.Signal(t, syscall.SIGTERM)
		assert.Zero(t, r.Wait(t))
	})
}

// TestInterrupt calls a function whose deadline passes about when it returns, many times: the exception that ends a
// call never reaches the next one.
func TestInterrupt(t *testing.T) {
	eachWay(t, func(t *testing.T, target functiontest.Target) {
		r := functiontest.Start(t, target.Options("server: {workers: {max: 1}}\nlogger: {level: error}"))
		for i := range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(3000+i*20)*time.Microsecond)
			_, err := r.Client.Call(ctx, &function.FunctionMessage{FunctionName: "sleep", Payload: []byte(`{"seconds":0.004}`)})
			cancel()
			if code := status.Code(err); code != codes.OK && code != codes.Canceled {
				require.Equal(t, codes.DeadlineExceeded, code, "%v", err)
			}
			require.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
		}
		assert.NotContains(t, r.Output(), "Traceback")
	})
}

// TestWorkers: code directories that share module names run in processes of their own.
func TestWorkers(t *testing.T) {
	eachWay(t, func(t *testing.T, target functiontest.Target) {
		options := func(more string) functiontest.Options {
			o := target.Options(`
- {name: beside, handler: cases.name_beside, codedir: code}
- {name: other, handler: cases.echo, codedir: other}
- {name: other_die, handler: cases.die, codedir: other}
- {name: other_stdin, handler: cases.stdin, codedir: other}
- {name: third, handler: third.handler, codedir: third}
` + more)
			for name, content := range target.Other {
				o.Files["other/"+name] = content
			}
			o.Files["third/third.py"] = "import os\ndef handler(event, context): return os.getpid()\n"
			return o
		}
		r := functiontest.Start(t, options("server: {message: {length: {max: 10m}}}"))
		assert.Equal(t, `code`, text(r.MustCall(t, "beside", "{}")))
		assert.JSONEq(t, `{"from":"other"}`, r.MustCall(t, "other", strings.Repeat("x", 5<<20)))
		assert.Equal(t, r.MustCall(t, "pid", "{}"), r.MustCall(t, "third", "{}"), "no shared name, no worker")
		assert.Empty(t, text(r.MustCall(t, "other_stdin", "{}")), "the pipe is not for user code")
		_, err := r.Call(t, "other_die", "{}")
		assert.Equal(t, codes.Unavailable, status.Code(err), "a dead worker is no error of the function: %v", err)
		assert.Equal(t, 1, r.Wait(t), "and the instance is replaced")
		assert.Contains(t, r.Output(), "ended with status 9")

		t.Run("runtime killed", func(t *testing.T) {
			o := options("")
			temp := t.TempDir()
			o.Env = append(o.Env, "TMPDIR="+temp)
			r := functiontest.Start(t, o)
			r.Signal(t, syscall.SIGKILL)
			r.Wait(t) // ends only when the worker has closed its output, too
			assert.NotContains(t, r.Output(), "outlived")
			left, err := os.ReadDir(temp)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
		t.Run("worker fails", func(t *testing.T) {
			o := options("")
			o.Files["other/cases.py"] = "raise ValueError('not today')\n"
			code, out := functiontest.Fail(t, o)
			assert.Equal(t, 1, code)
			want := "functions[11].handler: import 'cases.echo' of function 'other' from other: ValueError: not today"
			assert.Contains(t, out, want)
		})
	})
}

// TestModuleNames: a module of a function may have the name of one of Python's modules that is not loaded.
func TestModuleNames(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		r := functiontest.Start(t, functiontest.Options{Entry: target.Entry, Files: map[string]string{
			functiontest.Config: "functions: [{name: f, handler: this.handler, codedir: code}]",
			"code/this.py":      "def handler(event, context): return 'mine'\n",
		}})
		assert.Equal(t, `mine`, text(r.MustCall(t, "f", "{}")))

		code, out := functiontest.Fail(t, functiontest.Options{Entry: target.Entry, Files: map[string]string{
			functiontest.Config: "functions: [{name: f, handler: logging.handler, codedir: code}]",
			"code/logging.py":   "def handler(event, context): return 'mine'\n",
		}})
		assert.Equal(t, 1, code)
		assert.Contains(t, out, "functions[0].handler: module 'logging' of function 'f' is not the one in code")

		code, out = functiontest.Fail(t, functiontest.Options{Entry: target.Entry, Files: map[string]string{
			functiontest.Config: "functions: [{name: f, handler: leave.handler, codedir: code}]",
			"code/leave.py":     "import sys; sys.exit(0)\n",
		}})
		assert.Equal(t, 1, code)
		assert.Contains(t, out, "functions[0].handler: import 'leave.handler' of function 'f' from code: SystemExit: 0")
	})
}

// TestNotPrepared: a package without its venv does not start, and says what to do.
func TestNotPrepared(t *testing.T) {
	for _, name := range []string{"baetyl-function-python27", "baetyl-function-python36"} {
		code, out := functiontest.Fail(t, functiontest.Options{Entry: filepath.Join(functiontest.Root(), name, "bin", name)})
		assert.Equal(t, 127, code)
		assert.Contains(t, out, name+": its Python is not prepared; run once, with network: ")
		assert.Contains(t, out, "/bin/prepare\n")
	}
}

// newest returns the last interpreter of this machine.
func newest(t testing.TB) functiontest.Target {
	t.Helper()
	all := functiontest.Pythons(t)
	return target(t, all[len(all)-1])
}

func BenchmarkCall(b *testing.B) { functiontest.Benchmark(b, newest(b)) }

func FuzzPayload(f *testing.F) { functiontest.FuzzPayload(f, newest(f)) }

func FuzzValues(f *testing.F) {
	const program = `
import json, sys
sys.path.insert(0, sys.argv[1])
from baetyl_function import parse
def value(read, text):
    try:
        return read(text)
    except ValueError:
        return None
while True:
    line = sys.stdin.readline()
    if not line:
        break
    text = json.loads(line)
    print(json.dumps({'size': value(parse.size, text), 'seconds': value(parse.duration, text)}))
`
	lib := filepath.Join(functiontest.Root(), "baetyl-function-python/lib")
	functiontest.FuzzValues(f, exec.Command(python(newest(f)), "-B", "-u", "-c", program, lib))
}

// TestConfigCases reads the configuration files that all runtimes are tested with.
func TestConfigCases(t *testing.T) {
	const program = `
import json, sys
sys.path.insert(0, sys.argv[1])
from baetyl_function import config
def native(text):
    return text if isinstance(text, str) else text.encode('utf-8')
def values(q):
    try:
        c = config.load(native(q['file']), dict((native(k), native(v)) for k, v in q['env'].items()))
    except config.ConfigError as e:
        return {'error': u'%s' % e}
    return {'name': c.name, 'address': c.server.address, 'concurrent': c.server.concurrent or 0,
            'message': c.server.message_length, 'timeout': c.server.timeout,
            'level': c.logger.level, 'format': c.logger.format, 'path': c.logger.path or '',
            'age': c.logger.age_days, 'size': c.logger.size_bytes >> 20, 'backup': c.logger.backups,
            'functions': [f.name for f in c.functions]}
while True:
    line = sys.stdin.readline()
    if not line:
        break
    print(json.dumps(values(json.loads(line))))
`
	lib := filepath.Join(functiontest.Root(), "baetyl-function-python/lib")
	each(t, func(t *testing.T, target functiontest.Target) {
		functiontest.RunConfigCases(t, "python", exec.Command(python(target), "-B", "-u", "-c", program, lib))
	})
}

// TestThirdParty follows "How to import third-party libraries for Python runtime" step by step; the page is fetched
// from a server of the test.
func TestThirdParty(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Page", "yes")
	}))
	t.Cleanup(page.Close)
	each(t, func(t *testing.T, target functiontest.Target) {
		cache := filepath.Join(functiontest.Cache(t), "requests-"+filepath.Base(filepath.Dir(filepath.Dir(target.Entry))))
		if _, err := os.Stat(filepath.Join(cache, "__init__.py")); err != nil {
			download := exec.Command(python(target), "-m", "pip", "download", "-q", "--disable-pip-version-check",
				"-d", cache, "requests")
			if out, err := download.CombinedOutput(); err != nil {
				requires.Missing(t, "requests from the package index", string(out))
			}
			const steps = `cd "$1"; for wheel in *.whl; do "$2" -m zipfile -e $wheel .; done; ` +
				`rm -rf *.whl *.dist-info; touch __init__.py`
			out, err := exec.Command("sh", "-ec", steps, "sh", cache, python(target)).CombinedOutput()
			require.NoError(t, err, "%s", out)
		}
		dir := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "var/db/baetyl"), 0o755))
		code := filepath.Join(dir, "var/db/baetyl/function-sayhi")
		out, err := exec.Command("cp", "-R", cache, code).CombinedOutput()
		require.NoError(t, err, "%s", out)
		source := strings.ReplaceAll(functiontest.Files(t, "testdata/documents")["get.py"], "https://baidu.com", page.URL)
		functiontest.Write(t, code, map[string]string{"get.py": source})
		const config = `
functions:
- name: 'sayhi3'
  handler: 'get.handler'
  codedir: 'var/db/baetyl/function-sayhi'
`
		files := map[string]string{functiontest.Config: config}
		r := functiontest.Start(t, functiontest.Options{Entry: target.Entry, Dir: dir, Files: files})
		assert.Contains(t, r.MustCall(t, "sayhi3", `{"action":"A"}`), `"X-Page": "yes"`)
		assert.JSONEq(t, `{"action":"B","info":"action error"}`, r.MustCall(t, "sayhi3", `{"action":"B"}`))
		assert.JSONEq(t, `{"error":"action not found"}`, r.MustCall(t, "sayhi3", ``))
	})
}

// TestPrepare: a runtime that cannot be prepared ends with status 3, the reason and the remedy.
func TestPrepare(t *testing.T) {
	for _, c := range []struct{ name, env, want string }{
		{"python36", "BAETYL_PYTHON3=/nowhere/python", "is not a Python of 3.6 or later"},
		{"python27", "BAETYL_PYTHON27=/nowhere/python", "is not a Python 2.7"},
	} {
		cmd := exec.Command(filepath.Join(functiontest.Root(), "scripts/package-runtime.sh"), c.name, t.TempDir())
		cmd.Env = append(os.Environ(), c.env)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		assert.Equal(t, 3, cmd.ProcessState.ExitCode())
		assert.Contains(t, string(out), c.name+": "+c.env+" "+c.want)
		assert.Contains(t, string(out), c.name+": to remedy: set it to one, or unset it\n")
	}
}

// TestConfigurationOfTheDocument starts with the sample of docs/function-runtimes.md as it stands.
func TestConfigurationOfTheDocument(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(functiontest.Root(), "docs/function-runtimes.md"))
	require.NoError(t, err)
	_, sample, ok := strings.Cut(string(b), "```yaml\n")
	require.True(t, ok)
	sample, _, _ = strings.Cut(sample, "```")
	r := functiontest.Start(t, functiontest.Options{Entry: newest(t).Entry, Files: map[string]string{
		functiontest.Config:                     sample,
		"var/db/baetyl/function-sayhi/index.py": functiontest.Files(t, "testdata/documents")["index.py"],
	}})
	assert.Contains(t, r.MustCall(t, "sayhi", `{"id":1}`), "Hello Baetyl")
	assert.Contains(t, string(r.Read(t, "var/log/baetyl/service.log")), "functions sayhi at "+r.Addr)
}
