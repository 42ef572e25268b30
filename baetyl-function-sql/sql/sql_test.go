package sql

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/baetyl/baetyl/internal/conftest"
	"github.com/baetyl/baetyl/internal/functiontest"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/conf"
)

func TestMain(m *testing.M) {
	if os.Getenv("RUN_SQL") != "" {
		baetyl.Run(Main)
		return
	}
	os.Exit(m.Run())
}

const service = `
functions:
  - name: sql-filter
    handler: 'select qos() as qos, topic() as topic, * where id < 10'
  - name: divide
    handler: |
      select a / b as result
      where a is not null
  - {name: path, handler: "select json_value('{}', p)"}
logger: {level: debug}
`

func options(config string) functiontest.Options {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return functiontest.Options{
		Entry: self,
		Env:   []string{"RUN_SQL=1"},
		Files: map[string]string{functiontest.Config: config},
	}
}

// TestCalls calls the runtime as the function manager does.
func TestCalls(t *testing.T) {
	for _, pipe := range []bool{false, true} {
		t.Run(map[bool]string{false: "gRPC", true: "pipe"}[pipe], func(t *testing.T) {
			o := options(service)
			o.Pipe = pipe
			r := functiontest.Start(t, o)
			request := &function.Message{
				ID:               7,
				QOS:              1,
				Topic:            "größe/t",
				Payload:          []byte(` {"id": 1} `),
				Timestamp:        -5,
				FunctionName:     "sql-filter",
				FunctionInvokeID: "7a1c",
			}
			answer, err := r.Client.Call(t.Context(), request)
			require.NoError(t, err)
			require.Equal(t, `{"id":1,"qos":1,"topic":"größe/t"}`, string(answer.Payload))
			answer.Payload = request.Payload
			require.True(t, proto.Equal(request, answer), "the answer is the request with another payload")

			require.Empty(t, r.MustCall(t, "sql-filter", `{"id":10}`), "a message that is not selected has an empty result")
			require.Equal(t, `{"result":3.5}`, r.MustCall(t, "divide", `{"a":7,"b":2}`))
			require.Empty(t, r.MustCall(t, "divide", `{}`))
			const failed = "Exception calling application: "
			require.Equal(t, failed+"('[UserCodeInvoke]', 1:10: /: division by zero)", r.UserError(t, "divide", `{"a":1,"b":0}`))
			want := failed + "('[UserCodeInvoke]', the payload is not a JSON object: byte 1: unexpected 'n', expected a value)"
			require.Equal(t, want, r.UserError(t, "divide", "not JSON"))
			require.Equal(t, failed+"function not found", r.UserError(t, "nowhere", `{}`))

			require.Less(t, len(r.UserError(t, "path", `{"p":"`+strings.Repeat("ü", 1<<20)+`["}`)), 4200)

			var all sync.WaitGroup
			for i := range 200 {
				all.Go(func() {
					got, err := r.Call(t, "divide", fmt.Sprintf(`{"a":%d,"b":1}`, i))
					assert.NoError(t, err)
					assert.Equal(t, fmt.Sprintf(`{"result":%d}`, i), got)
				})
			}
			all.Wait()
			r.Signal(t, syscall.SIGTERM)
			require.Zero(t, r.Wait(t))
		})
	}
}

func TestPipeVectors(t *testing.T) {
	functiontest.RunPipeVectors(t, options("functions: [{name: echo, handler: select *}]\n"))
}

// TestPayloads: what a payload means, the same as in Python and Node.
func TestPayloads(t *testing.T) {
	o := options("functions: [{name: echo, handler: select *}]\n")
	o.Pipe = true
	functiontest.RunPayloads(t, "sql", o)
}

// The runtime announces how many calls at once it takes.
func TestCallsAtOnce(t *testing.T) {
	r := functiontest.Start(t, options(service))
	c, err := function.NewClient(function.ClientConfig{Address: r.Addr, Pipe: true})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Connect(t.Context()))
	require.Equal(t, 64, c.Concurrent())
}

func TestLimit(t *testing.T) {
	r := functiontest.Start(t, options(service+"server: {message: {length: {max: 64k}}}\n"))
	_, err := r.Call(t, "sql-filter", `{"id":"`+strings.Repeat("x", 64<<10)+`"}`)
	require.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
	require.NotEmpty(t, r.MustCall(t, "sql-filter", `{"id":1}`))

	// Values that do not fit in 32 bits, with gRPC and with the pipe.
	o := options(service + "server: {message: {length: {max: 4g}}, concurrent: {max: 4294967295}}\n")
	require.NotEmpty(t, functiontest.Start(t, o).MustCall(t, "sql-filter", `{"id":1}`))
	o.Pipe = true
	require.NotEmpty(t, functiontest.Start(t, o).MustCall(t, "sql-filter", `{"id":1}`))
}

// A wrong statement ends the start with an error that names file, key, line and column.
func TestWrongConfiguration(t *testing.T) {
	for functions, want := range map[string]string{
		"[]":                    "functions: must not be empty",
		"[{handler: select *}]": "functions[0].name: must not be empty",
		"[{name: f, handler: select *}, {name: g}]":     "functions[1].handler: must not be empty",
		"[{name: f, handler: select *, codedir: x}]":    "functions[0].codedir: unknown key",
		"[{name: f, handler: 'select nope(a)'}]":        "functions[0].handler: 1:8: unknown function nope",
		"[{name: f, handler: \"select\\n  *,\\n  #\"}]": "functions[0].handler: 3:3: unexpected character '#'",
		"[&a {name: f, handler: select *}, *a]":         `functions[1].name: "f" is the name of functions[0] too`,
		"[{name: f, handler: 'select * where id <'}]": "functions[0].handler: 1:20: " +
			"unexpected end of statement, expected an expression",
	} {
		status, output := functiontest.Fail(t, options("functions: "+functions))
		assert.Equal(t, 1, status, functions)
		assert.Contains(t, output, "etc/baetyl/service.yml: "+want, functions)
	}
}

// TestConfigCases reads the configuration files that all runtimes are tested with.
func TestConfigCases(t *testing.T) {
	for _, c := range functiontest.LoadConfigCases(t, "sql") {
		t.Run(c.Name, func(t *testing.T) {
			env := conf.Env(func(name string) (string, bool) { v, ok := c.Environment()[name]; return v, ok })
			data := c.Bytes("handler: select *")
			var system baetyl.ServiceConfig
			var cfg config
			err := conf.Parse("service.yml", data, &system, conf.AllowOthers(), env)
			if err == nil {
				err = conf.Parse("service.yml", data, &cfg, conf.AllowKeys("hub", "logger"), env)
			}
			if err != nil {
				c.Check(t, nil, err.Error())
				return
			}
			names := []any{}
			for _, f := range cfg.Functions {
				names = append(names, f.Name)
			}
			s, l := cfg.Server, system.Logger
			c.Check(t, functiontest.Values{
				"concurrent": s.Concurrent.Max,
				"message":    int64(s.Message.Length.Max),
				"timeout":    s.Timeout.Seconds(),
				"level":      l.Level,
				"format":     l.Format,
				"path":       l.Path,
				"age":        l.Age.Max,
				"size":       l.Size.Max,
				"backup":     l.Backup.Max,
				"functions":  names,
			}, "")
		})
	}
}

// TestTry runs the command test.
func TestTry(t *testing.T) {
	const self = "baetyl-function-sql: "
	file := filepath.Join(t.TempDir(), "s.yml")
	require.NoError(t, os.WriteFile(file, []byte(service), 0o600))
	for _, c := range []struct {
		args           string
		status         int
		stdout, stderr string
	}{
		{`-c FILE test --event {"id":1}`, 0, `{"id":1,"qos":0,"topic":"t"}` + "\n", ""},
		{`test --event {"id":1} --topic a/b --qos 1 -c FILE`, 0, `{"id":1,"qos":1,"topic":"a/b"}` + "\n", ""},
		{`-c FILE test --event {"id":10}`, 0, "", "no match\n"},
		{`-c FILE test --event -`, 0, `{"id":5,"qos":0,"topic":"t"}` + "\n", ""},
		{`-c FILE test --function divide --event {"a":1,"b":8}`, 0, `{"result":0.125}` + "\n", ""},
		{`-c FILE test --function divide --event {"a":1,"b":0}`, 1, "",
			self + "('[UserCodeInvoke]', 1:10: /: division by zero)\n"},
		{`-c FILE test --function x --event {}`, 1, "",
			self + "FILE: there is no function \"x\", only sql-filter, divide, path\n"},
		{`-c no.yml test --event {}`, 1, "", self + "no.yml: open: no such file or directory\n"},
		{`-c FILE`, 2, "", self + "the command is missing: test\nusage: "},
		{`-c FILE serve`, 2, "", self + "the command is missing: test\nusage: "},
		{`--help`, 0, usage, ""},
		{`test`, 2, "", self + "--event is missing\nusage: "},
		{`test --event {} more`, 2, "", self + "unexpected argument \"more\"\nusage: "},
		{`test --event {} --qos 3`, 2, "", self + "--qos 3 is not 0, 1 or 2\nusage: "},
		{`--nope`, 2, "", self + "flag provided but not defined: -nope\nusage: "},
	} {
		var stdout, stderr bytes.Buffer
		args := strings.Fields(strings.ReplaceAll(c.args, "FILE", file))
		status := Command(args, strings.NewReader(`{"id":5}`), &stdout, &stderr)
		assert.Equal(t, c.status, status, c.args)
		assert.Equal(t, c.stdout, stdout.String(), c.args)
		got := strings.ReplaceAll(stderr.String(), file, "FILE")
		if c.status == 2 {
			assert.True(t, strings.HasPrefix(got, c.stderr), "%s: %s", c.args, got)
		} else {
			assert.Equal(t, c.stderr, got, c.args)
		}
	}
}

func TestWrongFiles(t *testing.T) {
	conftest.Run(t, "testdata/wrong.txt", func(text []byte) error {
		return conf.Parse("service.yml", text, &config{}, conf.AllowKeys("hub", "logger"))
	})
}
