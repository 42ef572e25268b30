//go:build unix

package node_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baetyl/baetyl/internal/functiontest"
)

// TestImport: an instance whose code can't be loaded ends at once; its last line says why, with type, file and line.
func TestImport(t *testing.T) {
	const handler = "\nexports.handler = (event, context, callback) => callback(null, event);\n"
	each(t, func(t *testing.T, target functiontest.Target) {
		for name, c := range map[string]struct{ code, want string }{
			"throws":            {"const a = 1;\nthrow new RangeError('not today');", "load FILE: RangeError: not today (code/index.js:2)"},
			"throws null":       {"throw null;", "load FILE: null"},
			"message throws":    {"throw new (class E extends Error { get message() { throw new TypeError('mute'); } })();", "load FILE: E (its text can't be read: TypeError: mute) (code/index.js:1)"},
			"syntax":            {"const a = 1;\nconst b = ;", "load FILE: SyntaxError: Unexpected token"},
			"rejected promise":  {"\nPromise.reject(new RangeError('rejected'));" + handler, "an error while it was loaded: RangeError: rejected (code/index.js:2)"},
			"async function":    {"(async () => {\n  await null;\n  throw new RangeError('rejected');\n})();" + handler, "an error while it was loaded: RangeError: rejected (code/index.js:3)"},
			"next tick":         {"process.nextTick(() => { throw new RangeError('ticked'); });" + handler, "an error while it was loaded: RangeError: ticked (code/index.js:1)"},
			"exit":              {"\n\nprocess.exit(0);" + handler, "ended the process while it was loaded: process.exit(0) was called (code/index.js:3)"},
			"exit below":        {"require('./below');" + handler, "ended the process while it was loaded: process.exit(3) was called (code/below.js:2)"},
			"exit, taken apart": {"const { exit } = process;\nexit();" + handler, "ended the process while it was loaded: process.exit(0) was called (code/index.js:2)"},
		} {
			t.Run(name, func(t *testing.T) {
				files := map[string]string{functiontest.Config: "functions: [{name: f, handler: index.handler, codedir: code}]",
					"code/index.js": c.code, "code/below.js": "\nprocess.exit(3);"}
				o := functiontest.Options{Entry: target.Entry, Env: target.Env, Files: files, Pipe: true}
				code, out := functiontest.Fail(t, o)
				assert.NotZero(t, code)
				lines := strings.Split(strings.TrimSpace(out), "\n")
				want := strings.ReplaceAll(strings.ReplaceAll(c.want, "load FILE: ", ""), "code/", "")
				last := lines[len(lines)-1]
				assert.Contains(t, last, want, "the last line of:\n%s", out)
				assert.Contains(t, last, functiontest.Config+": functions[0].handler: 'index.handler' of function 'f'")
			})
		}
	})
}

// TestExit: a handler that ends the process is answered before, and the log names the place.
func TestExit(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := target.Options(`
- {name: leave, handler: leave.now, codedir: code}
- {name: later, handler: leave.later, codedir: code}
`)
		o.Files["code/leave.js"] = "exports.now = () => process.exit(5);\n" +
			"exports.later = () => { setTimeout(() => process.exit(0), 5); };\n"
		o.Pipe, o.Secret = true, secret
		for name, want := range map[string]string{"leave": "5", "later": "0"} {
			r := functiontest.Start(t, o)
			_, err := r.Call(t, name, "{}")
			require.Equal(t, codes.Unknown, status.Code(err), "%v", err)
			assert.Contains(t, err.Error(), "Error: process.exit("+want+") ended the instance) at leave.js:")
			assert.Equal(t, map[string]int{"leave": 5, "later": 0}[name], r.Wait(t))
			said := "the instance ends with status " + want + ": Error: process.exit(" + want + ") ended the instance\n"
			assert.Contains(t, r.Output(), said)
		}
	})
}

// TestDescriptors: a handler that closes the connection's descriptor ends the instance; the call is not left waiting.
func TestDescriptors(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := target.Options("- {name: closes, handler: closes.handler, codedir: code}")
		o.Files["code/closes.js"] = `
const fs = require('fs');
exports.handler = (event, context, callback) => {
  for (const name of fs.readdirSync('/proc/self/fd')) {
    try { if (/socket/.test(fs.readlinkSync('/proc/self/fd/' + name))) fs.closeSync(Number(name)); } catch (e) {}
  }
  callback(null, 'closed');
};
`
		o.Pipe, o.Secret = true, secret
		r := functiontest.Start(t, o)
		_, err := r.Call(t, "closes", "{}")
		require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		assert.Equal(t, 1, r.Wait(t))
		assert.Contains(t, r.Output(), "code of a function has closed the connection to the function manager: EBADF")
	})
}

// TestAfterAnswer: an error that comes after the answer is said with its call, and does not touch the next one.
func TestAfterAnswer(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := target.Options(`
- {name: leaves, handler: leaves.timer, codedir: code}
- {name: rejects, handler: leaves.promise, codedir: code}
- {name: waits, handler: leaves.waits, codedir: code}
`)
		o.Files["code/leaves.js"] = `
let after = [];
exports.timer = (event, context, callback) => {
  callback(null, 1);
  setTimeout(() => { setTimeout(() => after.forEach((f) => f()), 10); throw new RangeError('too late'); }, 20);
};
exports.promise = (event, context, callback) => {
  callback(null, 1);
  Promise.resolve().then(() => { throw new RangeError('rejected late'); });
};
exports.waits = (event, context, callback) => { after.push(() => callback(null, 'sound')); };
`
		o.Pipe, o.Secret = true, secret
		r := functiontest.Start(t, o)
		r.MustCall(t, "rejects", "{}")
		r.WaitOutput(t, "RangeError: rejected late\n    at ")
		r.MustCall(t, "leaves", "{}")
		if !before16(target) { // which can't tell whose a timer is
			assert.Equal(t, `"sound"`, r.MustCall(t, "waits", "{}"))
			assert.Contains(t, r.Output(), "function leaves [id] failed after its answer: RangeError: too late\n    at ")
		}
	})
}

// TestConsole: what a function says stands in the service's log, with time, level and the call.
func TestConsole(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := target.Options(`
- {name: says, handler: says.handler, codedir: code}
logger: {path: var/service.log, level: debug}
`)
		o.Files["code/says.js"] = `
console.log('loading %d', 1);
exports.handler = async (event) => {
  console.debug('fine', { a: 1 });
  console.info('an %s', 'info');
  console.warn('a warning');
  await new Promise((done) => setTimeout(done, 5));
  console.error(new TypeError('logged'));
  console.trace('traced');
  console.dir({ a: 1 });
  console.table && console.table([{ a: 1 }]);
  return 1;
};
`
		o.Pipe, o.Secret = true, secret
		r := functiontest.Start(t, o)
		r.MustCall(t, "says", "{}")
		log := string(r.Read(t, "var/service.log"))
		for _, line := range []string{
			" - test.instance.1 - INFO - loading 1\n",
			" - test.instance.1 - DEBUG - function says [id]: fine { a: 1 }\n",
			" - test.instance.1 - INFO - function says [id]: an info\n",
			" - test.instance.1 - WARNING - function says [id]: a warning\n",
			" - test.instance.1 - ERROR - function says [id]: TypeError: logged\n    at ",
			" - test.instance.1 - ERROR - function says [id]: Trace: traced\n    at ",
			" - test.instance.1 - INFO - function says [id]: { a: 1 }\n",
		} {
			assert.Contains(t, log, line)
			r.WaitOutput(t, line)
		}
	})
}

// before16 tells whether a Node is older than 16.
func before16(target functiontest.Target) bool {
	return early(target) || strings.Contains(target.Env[0], "12.22.12") || strings.Contains(target.Env[0], "14.21.3")
}

// early tells whether a Node has no ES modules.
func early(target functiontest.Target) bool {
	return strings.Contains(target.Env[0], "8.17.0") || strings.Contains(target.Env[0], "10.24.1")
}

// TestModules: ES modules are loaded by Nodes that have them; others say so.
func TestModules(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := target.Options(`
- {name: module, handler: mod.handler, codedir: code}
- {name: typed, handler: index.handler, codedir: typed}
- {name: deflt, handler: deflt.api.handler, codedir: code}
- {name: common, handler: common.handler, codedir: code}
`)
		o.Files["code/mod.mjs"] = "import { name } from './other.mjs';\n" +
			"export const handler = async (event) => ({ name, event });\n"
		o.Files["code/other.mjs"] = "export const name = 'other';\n"
		o.Files["code/deflt.mjs"] = "export default { api: { handler: (event) => { throw new TypeError(event); } } };\n"
		o.Files["code/common.cjs"] = "exports.handler = (event) => ['common', event];\n"
		o.Files["typed/package.json"] = `{"type": "module"}`
		o.Files["typed/index.js"] = "export function handler(event, c, callback) { callback(null, ['typed', event]); }\n"
		o.Pipe, o.Secret = true, secret
		if early(target) {
			code, out := functiontest.Fail(t, o)
			assert.Equal(t, 1, code)
			assert.Contains(t, out, "can't load; use Node 12.17 or later, or write ")
			return
		}
		r := functiontest.Start(t, o)
		assert.JSONEq(t, `{"name":"other","event":{"id":1}}`, r.MustCall(t, "module", `{"id":1}`))
		assert.JSONEq(t, `["typed",1]`, r.MustCall(t, "typed", `1`))
		assert.JSONEq(t, `["common",1]`, r.MustCall(t, "common", `1`))
		assert.Equal(t, "Exception calling application: ('[UserCodeInvoke]', TypeError: x) at deflt.mjs:1",
			r.UserError(t, "deflt", `"x"`))

		for name, c := range map[string]struct{ code, want string }{
			"throws":      {"\nthrow new RangeError('not today');", "RangeError: not today (mod.mjs:2)"},
			"no export":   {"export const other = 1;", "exports no function 'handler'"},
			"never ends":  {"await new Promise(() => {});", "ended the process while it was loaded"},
			"not there":   {"import 'nowhere';", "nowhere"},
			"exit inside": {"await null;\nprocess.exit(0);", "process.exit(0) was called (mod.mjs:2)"},
		} {
			o.Files["code/mod.mjs"] = c.code
			if strings.Contains(c.code, "await") && strings.Contains(target.Env[0], "12.22") {
				continue // it has no await there
			}
			code, out := functiontest.Fail(t, o)
			assert.Equal(t, 1, code, name)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			assert.Contains(t, lines[len(lines)-1], c.want, name)
		}
	})
}

// TestWatch: with watch a function is loaded again when one of its files has changed; what can't be loaded changes
// nothing.
func TestWatch(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		config := `
- {name: watched, handler: index.handler, codedir: watched, watch: true}
- {name: still, handler: index.handler, codedir: still}`
		old := early(target)
		if !old {
			config += "\n- {name: module, handler: mod.handler, codedir: watched, watch: true}"
		}
		o := target.Options(config)
		for _, dir := range []string{"watched", "still"} {
			o.Files[dir+"/index.js"] = "const { text } = require('./lib/text');\nexports.handler = (event) => text;\n"
			o.Files[dir+"/lib/text.js"] = "exports.text = 'one';\n"
		}
		o.Files["watched/mod.mjs"] = "export const handler = (event) => 'one';\n"
		o.Pipe, o.Secret = true, secret
		r := functiontest.Start(t, o)
		call := func(name string) string { return strings.Trim(r.MustCall(t, name, "{}"), `"`) }
		assert.Equal(t, "one", call("watched"))
		for _, dir := range []string{"watched", "still"} {
			r.Write(t, dir+"/lib/text.js", []byte("exports.text = 'the second';\n"))
		}
		assert.Equal(t, "the second", call("watched"))
		assert.Equal(t, "one", call("still"))
		r.WaitOutput(t, "loaded again, since a file has changed: function watched")

		r.Write(t, "watched/lib/text.js", []byte("exports.text = ;\n"))
		assert.Equal(t, "the second", call("watched"))
		r.WaitOutput(t, "stay as they were, since a changed file can't be loaded: functions[")
		r.WaitOutput(t, "SyntaxError: Unexpected token")
		r.Write(t, "watched/index.js", []byte("exports.handler = 5;\n"))
		assert.Equal(t, "the second", call("watched"))
		r.Write(t, "watched/index.js", []byte("exports.handler = () => 'third';\n"))
		assert.Equal(t, "third", call("watched"))
		if !old {
			assert.Equal(t, "one", call("module"))
			r.Write(t, "watched/mod.mjs", []byte("export const handler = (event) => 'another';\n"))
			assert.Equal(t, "another", call("module"))
		}
	})
}

// TestLocal: a function runs without the edge.
func TestLocal(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		dir := t.TempDir()
		functiontest.Write(t, dir, functiontest.Files(t, "testdata/code"))
		functiontest.Write(t, dir, map[string]string{"event.json": `{"id":1}`, "text.txt": "not JSON"})
		for name, c := range map[string]struct {
			args         string
			stdin        string
			code         int
			stdout, want string
		}{
			"event":        {"--handler cases.echo --event event.json", "", 0, "{\"id\":1}\n", ""},
			"stdin":        {"--handler=cases.echo --event=-", `[1,2]`, 0, "[1,2]\n", ""},
			"no event":     {"--handler cases.echo", "", 0, "{}\n", ""},
			"no JSON":      {"--handler cases.echo --event text.txt", "", 0, "not JSON", ""},
			"promise":      {"--handler cases.asyncReturn --event event.json", "", 0, "{\"got\":{\"id\":1}}\n", ""},
			"nothing":      {"--handler cases.none", "", 0, "", ""},
			"codedir":      {"--codedir lib/deep --handler mod.handler", "", 0, "\"deep\"\n", ""},
			"console":      {"--handler cases.log --event -", `{"text":"said"}`, 0, "", " - INFO - said\n"},
			"fails":        {"--handler cases.syncThrow", "", 1, "", "('[UserCodeInvoke]', TypeError: x) at cases.js:37\n"},
			"unsayable":    {"--handler cases.strange", "", 1, "", "TypeError: Converting circular structure"},
			"never":        {"--handler cases.never", "", 1, "", "the function has nothing left to do, and has not answered"},
			"timer":        {"--handler cases.timer", "", 1, "", "TypeError: in a timer"},
			"not there":    {"--handler cases.nowhere", "", 1, "", "exports no function 'nowhere'"},
			"no module":    {"--handler nowhere.handler", "", 1, "", "--handler: 'nowhere.handler' of function 'nowhere.handler': no module 'nowhere' in ."},
			"no dot":       {"--handler cases", "", 1, "", "--handler: 'cases' is not <module>.<function>, for example index.handler"},
			"no file":      {"--handler cases.echo --event nowhere.json", "", 1, "", "--event: read nowhere.json: ENOENT"},
			"no folder":    {"--handler cases.echo --codedir nowhere", "", 1, "", "--codedir: no directory 'nowhere' in "},
			"unknown":      {"--handlr cases.echo", "", 2, "", "unknown argument '--handlr'\nusage: "},
			"no value":     {"--handler", "", 2, "", "--handler needs a value\nusage: "},
			"two":          {"--handler a.b --handler a.b", "", 2, "", "--handler is there twice"},
			"event alone":  {"--event event.json", "", 2, "", "--event and --codedir need --handler"},
			"and a config": {"-c x --handler a.b", "", 2, "", "--handler and -c exclude each other"},
		} {
			t.Run(name, func(t *testing.T) {
				cmd := exec.Command(target.Entry, strings.Fields(c.args)...)
				cmd.Dir, cmd.Env = dir, append(functiontest.Environment(), target.Env...)
				cmd.Stdin = strings.NewReader(c.stdin)
				var stdout, stderr strings.Builder
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				_ = cmd.Run()
				assert.Equal(t, c.code, cmd.ProcessState.ExitCode(), stderr.String())
				assert.Equal(t, c.stdout, stdout.String())
				assert.Contains(t, stderr.String(), c.want)
			})
		}
	})
}
