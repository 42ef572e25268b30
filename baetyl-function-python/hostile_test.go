//go:build unix

package python_test

import (
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/functiontest"
	"github.com/baetyl/baetyl/protocol/function"
)

// secured returns options of an instance with a secret and these functions besides those of functiontest.
func secured(target functiontest.Target, config string) functiontest.Options {
	o := target.Options(config)
	o.Pipe, o.Secret = true, function.NewSecret()
	return o
}

// TestHostile calls each handler of testdata/hostile, and after each the runtime must do all that it does.
func TestHostile(t *testing.T) {
	source := functiontest.Files(t, "testdata/hostile")["hostile.py"]
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^def (\w+)\(event, context[,)]`).FindAllStringSubmatch(source, -1) {
		names = append(names, m[1])
	}
	require.Greater(t, len(names), 25)
	options := func(target functiontest.Target, names ...string) functiontest.Options {
		config := &strings.Builder{}
		for _, name := range names {
			config.WriteString("- {name: " + name + ", handler: " + name + ", codedir: hostile}\n")
		}
		config.WriteString("logger: {path: var/log/service.log}\n")
		o := secured(target, config.String())
		for name, content := range functiontest.Files(t, "testdata/hostile") {
			o.Files["hostile/"+name] = content
		}
		return o
	}
	check := func(t *testing.T, target functiontest.Target, r *functiontest.Runtime) {
		t.Helper()
		want := `{"id":1,"text":"größe","list":[1.5,true,null,{"a":"b"}]}`
		assert.JSONEq(t, want, r.MustCall(t, "echo", want))
		assert.True(t, strings.HasPrefix(r.UserError(t, "fail", `{"text":"x"}`), target.Fail))
		assert.Contains(t, r.UserError(t, "strange", `{}`), target.Strange)
		assert.Equal(t, "not JSON", r.MustCall(t, "echo", "not JSON"))
	}
	each(t, func(t *testing.T, target functiontest.Target) {
		t.Run("calls", func(t *testing.T) {
			var handlers []string
			for _, name := range names {
				handlers = append(handlers, "hostile."+name)
			}
			r := functiontest.Start(t, options(target, handlers...))
			for i, name := range names {
				t.Run(name, func(t *testing.T) {
					answer, err := r.Call(t, handlers[i], "{}")
					require.NoError(t, err)
					assert.Empty(t, answer)
					check(t, target, r)
				})
			}
			r.Signal(t, syscall.SIGTERM)
			assert.Zero(t, r.Wait(t))
			log := string(r.Read(t, "var/log/service.log"))
			assert.GreaterOrEqual(t, strings.Count(log, "failed: TypeError: x"), len(names))
			assert.Contains(t, log, "service closed")
		})
		t.Run("at import", func(t *testing.T) {
			r := functiontest.Start(t, options(target, "at_import.done"))
			check(t, target, r)
			assert.Equal(t, "done", text(r.MustCall(t, "at_import.done", "{}")))
			r.Signal(t, syscall.SIGTERM)
			assert.Zero(t, r.Wait(t))
		})
	})
}
