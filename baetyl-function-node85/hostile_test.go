//go:build unix

package node_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/functiontest"
)

// TestHostile: whatever a handler does to what JavaScript and Node have, the next call of another function is right.
func TestHostile(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		node := strings.TrimPrefix(target.Env[0], "NODE=")
		out, err := exec.Command(node, "-p", "JSON.stringify(require('./testdata/hostile/hostile.js').names)").Output()
		require.NoError(t, err)
		var names []string
		require.NoError(t, json.Unmarshal(out, &names))
		for _, name := range names {
			if needed[name] && before16(target) {
				continue
			}
			t.Run(name, func(t *testing.T) { testAfter(t, target, name, false) })
			if name != "array" && !before16(target) { // require itself fails
				t.Run(name+" while it is loaded", func(t *testing.T) { testAfter(t, target, name, true) })
			}
		}
	})
}

// needed is what one of the Nodes before 16 itself lives on: not even its own Buffer.from or signals work after these.
var needed = map[string]bool{
	"bufferMethods": true, "date": true, "functions": true, "iterator": true, "math": true, "number": true,
	"processEmit": true, "reflect": true, "string": true, "typedArray": true,
}

// testAfter calls the hostile handler of a name, then the others. With load it does its work while it is loaded.
func testAfter(t *testing.T, target functiontest.Target, name string, load bool) {
	file := "hostile"
	if load {
		file = "load"
	}
	config := "logger: {path: var/log/service.log}\nfunctions:\n"
	for _, after := range []string{
		"value", "returned", "promised", "date", "later", "bytes", "passed", "thrown", "map", "says",
	} {
		config += "- {name: " + after + ", handler: after." + after + ", codedir: code}\n"
	}
	// It comes last: Node loads a module by much that may be gone.
	config += "- {name: hostile, handler: " + file + "." + name + ", codedir: code}\n"
	files := map[string]string{functiontest.Config: config}
	for name, content := range functiontest.Files(t, "testdata/hostile") {
		files["code/"+name] = content
	}
	files["code/load.js"] = "const h = require('./hostile');\n(h.breakers." + name + " || (() => {}))({});\n" +
		"exports." + name + " = h." + name + ";\n"
	o := functiontest.Options{Entry: target.Entry, Env: target.Env, Files: files, Pipe: true, Secret: secret}
	r := functiontest.Start(t, o)
	r.MustCall(t, "value", `{}`)
	if answer, err := r.Call(t, "hostile", "not JSON"); err == nil {
		assert.Equal(t, `"broken"`, answer)
	}
	const user = "Exception calling application: ('[UserCodeInvoke]', "
	for range 2 {
		assert.JSONEq(t, `{"got":{"id":1},"topic":"t","list":[1,"ü"]}`, r.MustCall(t, "value", `{"id":1}`))
		assert.JSONEq(t, `{"got":{"id":1}}`, r.MustCall(t, "returned", `{"id":1}`))
		// JavaScript itself takes then of what an async function returns.
		if name != "objectThen" && name != "then" && name != "promise" {
			assert.JSONEq(t, `{"got":{"id":1}}`, r.MustCall(t, "promised", `{"id":1}`))
		}
		assert.JSONEq(t, `{"at":"1970-01-01T00:00:00.000Z"}`, r.MustCall(t, "date", `{}`))
		if name != "apply" { // Node itself needs it for timers
			assert.JSONEq(t, `"later"`, r.MustCall(t, "later", `{}`))
		}
		assert.Equal(t, "not JSON", r.MustCall(t, "bytes", "not JSON"))
		assert.Equal(t, "\x00\xff", r.MustCall(t, "bytes", "\x00\xff"))
		if name != "errorText" { // what an error says of itself is its own
			assert.Equal(t, user+"TypeError: x)", r.UserError(t, "passed", `{}`))
			assert.True(t, strings.HasPrefix(r.UserError(t, "thrown", `{}`), user+"TypeError: x)"))
		}
		assert.Equal(t, "Exception calling application: ('[UserCodeReturn]', TypeError: a Map at a is not JSON)",
			r.UserError(t, "map", `{}`))
		r.MustCall(t, "says", `{"text":"`+name+`"}`)
	}
	r.WaitOutput(t, "INFO - function says [id]: said "+name)
	assert.Contains(t, string(r.Read(t, "var/log/service.log")), "INFO - function says [id]: said "+name)
	if name == "apply" { // and for signals
		return
	}
	r.Signal(t, syscall.SIGTERM)
	assert.Zero(t, r.Wait(t))
	assert.Contains(t, r.Output(), "service closed")
}
