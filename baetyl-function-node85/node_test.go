//go:build unix

package node_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// target returns the runtime with the program node.
func target(t testing.TB, node string) functiontest.Target {
	t.Helper()
	return functiontest.Target{
		// One package for every Node: node_modules holds no compiled code.
		Entry:   functiontest.Entry(t, functiontest.Package(t, "node85", "node")),
		Env:     []string{"NODE=" + node},
		Code:    functiontest.Files(t, "testdata/code"),
		Other:   functiontest.Files(t, "testdata/other"),
		Fail:    "Exception calling application: ('[UserCodeInvoke]', TypeError: x)",
		Strange: "Exception calling application: ('[UserCodeReturn]', TypeError: Converting circular structure",
		Broken:  map[string]string{"broken.js": "throw new Error('not today');\n"},
		Missing: map[string]string{"missing.js": "require('nowhere');\n"},
	}
}

// each runs test with the Node of this machine and with 8.17, the last of the generation that the module is named
// for; with BAETYL_TEST_ALL=1 with every generation since.
func each(t *testing.T, test func(t *testing.T, target functiontest.Target)) {
	versions := []string{"", "8.17.0"}
	if functiontest.All {
		versions = append(versions, "10.24.1", "12.22.12", "14.21.3", "16.20.2", "18.20.8", "22.12.0")
	}
	for _, version := range versions {
		t.Run("node"+version, func(t *testing.T) {
			node := functiontest.Node(t, version)
			t.Parallel()
			test(t, target(t, node))
		})
	}
}

// eachWay is each, over gRPC and over the pipe.
func eachWay(t *testing.T, test func(t *testing.T, target functiontest.Target)) {
	each(t, func(t *testing.T, target functiontest.Target) { target.EachWay(t, test) })
}

func TestSuite(t *testing.T) { each(t, functiontest.Suite) }

// TestDocuments runs the sources of "How to write a javascript" and "Message handling with Local Function Service"
// unchanged.
func TestDocuments(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		files := map[string]string{functiontest.Config: `
functions:
- name: 'node85-sayhi'
  handler: 'index.handler'
  codedir: 'var/db/baetyl/function-sayhi'
- name: 'sayhi'
  handler: 'sayhi.handler'
  codedir: 'var/db/baetyl/function-sayhi'
- name: 'identity'
  handler: 'identity.handler'
  codedir: 'var/db/baetyl/function-sayhi'
`}
		for name, content := range functiontest.Files(t, "testdata/documents") {
			files["var/db/baetyl/function-sayhi/"+name] = content
		}
		r := functiontest.Start(t, functiontest.Options{Entry: target.Entry, Env: target.Env, Files: files})
		context := `"messageQOS":0,"messageTopic":"t","messageTimestamp":0,` +
			`"functionName":"node85-sayhi","functionInvokeID":"id","Say":"Hello Baetyl"`
		assert.JSONEq(t, `{"id":1,`+context+`}`, r.MustCall(t, "node85-sayhi", `{"id":1}`))
		assert.JSONEq(t, `{"bytes":"text",`+context+`}`, r.MustCall(t, "node85-sayhi", `text`))
		want := "Exception calling application: ('[UserCodeInvoke]', TypeError: x)"
		assert.Equal(t, want, r.UserError(t, "node85-sayhi", `{"err":"x"}`))
		// The sample evaluates "err" in 5, which throws: an error of the function, not of the instance.
		assert.Contains(t, r.UserError(t, "node85-sayhi", `5`), "('[UserCodeInvoke]', TypeError: ")

		assert.JSONEq(t, `{"msg":{"id":5},"type":"dict","say":"hello world"}`, r.MustCall(t, "sayhi", `{"id":5}`))
		assert.JSONEq(t, `{"msg":"MQTTBox","type":"non-dict","say":"hello world"}`, r.MustCall(t, "sayhi", `MQTTBox`))
		assert.JSONEq(t, `{"id":5}`, r.MustCall(t, "identity", `{"id":5}`))
	})
}

func TestNode(t *testing.T) {
	eachWay(t, func(t *testing.T, target functiontest.Target) {
		config := `
- {name: deep, handler: lib.deep.mod.handler, codedir: code}
- {name: nested, handler: cases.nested.a.b, codedir: code}
- {name: slash, handler: lib/deep/mod.handler, codedir: ./code}
`
		for _, name := range []string{
			"value", "promise", "syncThrow", "throwText", "throwNothing", "throwBare", "reject",
			"asyncThrow", "asyncReturn", "asyncCallback", "thenable", "errorText", "twice", "throwAfter",
			"never", "timer", "stray", "self", "beside", "passed", "throwKeys", "throwProxy", "throwGetter", "returnsValue",
			"returnsText", "returnsShort", "returnsNull", "returnsTimer",
		} {
			config += "- {name: " + name + ", handler: cases." + name + ", codedir: code}\n"
		}
		r := functiontest.Start(t, target.Options(config))

		for _, name := range []string{"value", "promise"} {
			for value, want := range map[string]string{
				"zero": "0", "no": "false", "list": "[]", "object": "{}", "text": `"x"`,
				"empty": "", "nothing": "", "null": "", "buffer": "\x00\xff", "emptyBuffer": "", "bytes": "\x01\x02",
			} {
				answer, err := r.Call(t, name, `{"name":"`+value+`"}`)
				require.NoError(t, err, value)
				assert.Equal(t, want, answer, "%s of %s", name, value)
			}
		}

		const user = "Exception calling application: ('[UserCodeInvoke]', "
		x := user + "TypeError: x)"
		for name, want := range map[string]string{
			"syncThrow": x + " at cases.js:37", "reject": x + " at cases.js:41", "asyncThrow": x + " at cases.js:42",
			"passed": x, "throwText": user + "text)", "throwNothing": user + "undefined)",
			"throwBare": user + "object (its text can't be read: TypeError: Cannot convert object to primitive value))",
			"throwKeys": user + "{ code: 5, why: 'x' })", "throwProxy": user + "Object (its text can't be read: Error: trap))",
			"throwGetter": user + "Mute (its text can't be read: Error: mute)) at cases.js:71", "errorText": user + "no Error)",
			"timer": user + "TypeError: in a timer) at cases.js:59", "stray": user + "TypeError: stray) at cases.js:60",
		} {
			assert.Equal(t, want, r.UserError(t, name, "{}"), name)
		}
		for name, want := range map[string]string{
			"asyncReturn": `{"got":{"id":1}}`, "asyncCallback": `{"late":{"id":1}}`, "thenable": `"then"`,
			"twice": `"first"`, "throwAfter": `"first"`,
			"returnsValue": `{"got":{"id":1}}`, "returnsText": `"text"`, "returnsShort": `{"got":{"id":1}}`, "returnsNull": "",
			"returnsTimer": `{"late":{"id":1}}`,
			"deep":         `"deep"`, "slash": `"deep"`, "nested": `"nested"`,
			"self": "true", "beside": `"code"`,
		} {
			assert.Equal(t, want, r.MustCall(t, name, `{"id":1}`), name)
		}
		testUnsayable(t, r)
		r.WaitOutput(t, "function twice [id]: the callback was called again or too late; its result is dropped")
		r.WaitOutput(t, "function throwAfter [id] failed after its answer: TypeError: after")

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // it has to begin before
		defer cancel()
		_, err := r.Client.Call(ctx, &function.FunctionMessage{FunctionName: "never"})
		assert.Equal(t, codes.DeadlineExceeded, status.Code(err), "%v", err)
		r.WaitOutput(t, "function never []: ended: its caller did not wait")
		assert.Equal(t, "{}", r.MustCall(t, "echo", ""), "the instance still works")
	})
}

// testUnsayable returns what JSON.stringify makes something else of: the error names it, and where it stands.
func testUnsayable(t *testing.T, r *functiontest.Runtime) {
	for value, want := range map[string]string{
		"function": "a function", "number": "NaN", "infinite": "-Infinity at list[1]", "map": "a Map",
		"mapBelow": "a Map at a[1].b", "set": "a Set at s", "promise": "a Promise at p", "error": "a Mute at e",
		"floats": "a Float64Array at f", "bytesBelow": "a Uint8Array at b", "symbol": "a symbol at s", "method": "a function at f",
		"badDate": "an invalid Date at d", "expression": "a RegExp at r", "generator": "a generator at g",
		"odd": `a Set at ["a b"]["\"ü"]`, "arrayBuffer": "an ArrayBuffer at a",
	} {
		assert.Equal(t, "Exception calling application: ('[UserCodeReturn]', TypeError: "+want+" is not JSON)",
			r.UserError(t, "value", `{"name":"`+value+`"}`), value)
	}
	for value, want := range map[string]string{
		"date": `{"d":"1970-01-01T00:00:00.000Z"}`, "holes": "[null,{},null]", "class": `{"x":1}`, "toJSON": `{"j":"J of j"}`,
		"boxed": `[1,"x",false]`, "nested": `{"b":{"type":"Buffer","data":[97]}}`, "proto": `{"__proto__":{"a":1}}`,
		"surrogate": `{"\ud800":"a\udc00b😀"}`,
	} {
		assert.Equal(t, want, r.MustCall(t, "value", `{"name":"`+value+`"}`), value)
	}
}

func TestLoad(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		files := map[string]string{
			functiontest.Config: "functions: [{name: f, handler: leave.handler, codedir: code}]",
			"code/leave.js":     "process.exit(0);\n",
		}
		code, out := functiontest.Fail(t, functiontest.Options{Entry: target.Entry, Env: target.Env, Files: files})
		assert.Equal(t, 1, code)
		assert.Contains(t, out, "functions[0].handler: 'leave.handler' of function 'f' ended the process while it was loaded")
	})
}

// TestNotPrepared: without its libraries, or without Node, the runtime does not start, and says what to do.
func TestNotPrepared(t *testing.T) {
	name := "baetyl-function-node85"
	entry := filepath.Join(functiontest.Root(), name, "bin", name)
	functiontest.Node(t, "")
	code, out := functiontest.Fail(t, functiontest.Options{Entry: entry})
	assert.Equal(t, 127, code)
	assert.Contains(t, out, name+": its libraries are not prepared; run once, with network: ")

	code, out = functiontest.Fail(t, functiontest.Options{Entry: entry, Env: []string{"NODE=/nowhere/node"}})
	assert.Equal(t, 127, code)
	want := name + ": no Node: /nowhere/node is not there; install it (apt-get install -y nodejs), or set NODE to its path"
	assert.Contains(t, out, want)
}

func BenchmarkCall(b *testing.B) { functiontest.Benchmark(b, target(b, functiontest.Node(b, ""))) }

func FuzzPayload(f *testing.F) { functiontest.FuzzPayload(f, target(f, functiontest.Node(f, ""))) }

func FuzzValues(f *testing.F) {
	const program = `
const config = require(process.argv[1]);
const value = (parse, text) => { try { return parse(text); } catch (e) { return null; } };
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const text = JSON.parse(line);
  const ms = value(config.duration, text);
  console.log(JSON.stringify({ size: value(config.size, text), seconds: ms === null ? null : ms / 1000 }));
});
`
	lib := filepath.Join(filepath.Dir(filepath.Dir(target(f, "").Entry)), "lib/config.js")
	functiontest.FuzzValues(f, exec.Command(functiontest.Node(f, ""), "-e", program, lib))
}

// TestConfigCases reads the configuration files that all runtimes are tested with.
func TestConfigCases(t *testing.T) {
	const program = `
const config = require(process.argv[1]);
const values = ({ file, env }) => {
  try {
    const c = config.load(file, env);
    const { server: s, logger: l } = c;
    return { name: c.name, address: s.address, concurrent: s.concurrent || 0, message: s.messageLength,
      timeout: s.timeout / 1000, level: l.level, format: l.format, path: l.path || '',
      age: l.ageDays, size: l.sizeBytes / 1048576, backup: l.backups, functions: c.functions.map((f) => f.name) };
  } catch (e) {
    if (!(e instanceof config.ConfigError)) throw e;
    return { error: e.message };
  }
};
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  console.log(JSON.stringify(values(JSON.parse(line))));
});
`
	each(t, func(t *testing.T, target functiontest.Target) {
		lib := filepath.Join(filepath.Dir(filepath.Dir(target.Entry)), "lib/config.js")
		node := strings.TrimPrefix(target.Env[0], "NODE=")
		functiontest.RunConfigCases(t, "node", exec.Command(node, "-e", program, lib))
	})
}

// TestLodash follows "How to import third-party libraries for Node runtime".
func TestLodash(t *testing.T) {
	npm := requires.Command(t, "npm", "apt-get install npm")
	cache := filepath.Join(functiontest.Cache(t), "lodash")
	if _, err := os.Stat(filepath.Join(cache, "node_modules/lodash/package.json")); err != nil {
		require.NoError(t, os.MkdirAll(cache, 0o755))
		install := exec.Command(npm, "install", "--save", "lodash")
		install.Dir = cache
		if out, err := install.CombinedOutput(); err != nil {
			requires.Missing(t, "lodash from npm", string(out))
		}
	}
	each(t, func(t *testing.T, target functiontest.Target) {
		dir := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "var/db/baetyl/function-sayhi"), 0o755))
		modules := filepath.Join(dir, "var/db/baetyl/function-sayhi/node_modules")
		require.NoError(t, os.Symlink(filepath.Join(cache, "node_modules"), modules))
		files := map[string]string{
			"var/db/baetyl/function-sayhi/index.js": functiontest.Files(t, "testdata/documents")["lodash.js"],
			functiontest.Config: `
functions:
- name: 'sayhi'
  handler: 'index.handler'
  codedir: 'var/db/baetyl/function-sayhi'
`}
		o := functiontest.Options{Entry: target.Entry, Env: target.Env, Dir: dir, Files: files}
		r := functiontest.Start(t, o)
		assert.JSONEq(t, `{
  "unique_array": ["Jane", 1, 2],
  "sorted_users": [
    { "user": "Jane", "age": 32, "active": true },
    { "user": "barney", "age": 36, "active": true },
    { "user": "fred", "age": 40, "active": false }
  ],
  "filtered_users": [
    { "user": "fred", "age": 40, "active": false }
  ]
}`, r.MustCall(t, "sayhi", `{
  "array": ["Jane", 1, "Jane", 1, 2],
  "users": [
    { "user": "barney", "age": 36, "active": true },
    { "user": "fred", "age": 40, "active": false },
    { "user": "Jane", "age": 32, "active": true }
  ]
}`))
	})
}

// TestPrepare: a runtime that cannot be prepared ends with status 3, the reason and the remedy.
func TestPrepare(t *testing.T) {
	cmd := exec.Command(filepath.Join(functiontest.Root(), "scripts/package-runtime.sh"), "node85", t.TempDir())
	cmd.Env = append(os.Environ(), "NODE=/bin/false")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Equal(t, 3, cmd.ProcessState.ExitCode())
	assert.Contains(t, string(out), "node85: /bin/false is not a Node of 8.13 or later\n"+
		"node85: to remedy: install a later one and set NODE to its path\n")
}
