//go:build unix

package functiontest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Target is a runtime that Suite tests.
type Target struct {
	Entry string   // program of its package
	Env   []string // what it needs, NODE=… for example
	// Code are the files of a code directory. Its module cases has the functions
	//
	//	echo     returns the event
	//	context  returns the context
	//	none     returns nothing
	//	fail     fails with the event's "text" as the message of a TypeError
	//	strange  returns what is not JSON
	//	sleep    writes the event's "text" to stdout, returns the event after its "seconds"
	//	big      returns a string of its "length"
	//	env      returns the environment
	//	pid      returns the process id
	//	log      writes the event's "text" to stdout
	Code map[string]string
	// Other is the source of another module cases, by file name; its echo returns {"from":"other"}.
	Other map[string]string
	// Fail and Strange are the documented details when fail fails with "x" and after strange; Strange is a prefix.
	Fail, Strange string
	// Broken is the source of a module broken that fails while it is loaded with "not today"; Missing one that needs a
	// library nowhere, called nowhere.
	Broken, Missing map[string]string
	// Pipe calls over the pipe instead of gRPC.
	Pipe bool
}

var names = []string{"echo", "context", "none", "fail", "strange", "sleep", "big", "env", "pid", "log"}

// functions is the configuration of all functions of the code directory code.
func functions() string {
	b := &strings.Builder{}
	b.WriteString("functions:\n")
	for _, name := range names {
		fmt.Fprintf(b, "- name: %s\n  handler: cases.%s\n  codedir: code\n", name, name)
	}
	return b.String()
}

// Options returns how to start the target with its functions and further configuration.
func (target Target) Options(config string) Options {
	files := map[string]string{Config: functions() + config}
	for name, content := range target.Code {
		files["code/"+name] = content
	}
	return Options{Entry: target.Entry, Env: target.Env, Files: files, Pipe: target.Pipe}
}

// EachWay runs test over gRPC and over the pipe.
func (target Target) EachWay(t *testing.T, test func(t *testing.T, target Target)) {
	t.Run("grpc", func(t *testing.T) { test(t, target) })
	target.Pipe = true
	t.Run("pipe", func(t *testing.T) { test(t, target) })
}

// Suite tests what every runtime must do (spec: Function RPC, runtimes; documents: Customize Runtime Module).
func Suite(t *testing.T, target Target) {
	for name, test := range map[string]func(*testing.T, Target){
		"values": testValues, "message": testMessage, "errors": testErrors, "limits": testLimits, "deadline": testDeadline,
		"stop": testStop, "isolation": testIsolation, "bad configuration": testBadConfig, "configuration": testConfig,
		"tls": testTLS, "plain": testPlain, "log": testLog, "process": testProcess,
	} {
		t.Run(name, func(t *testing.T) { test(t, target) })
	}
	target.Pipe = true
	for name, test := range map[string]func(*testing.T, Target){
		"values": testValues, "message": testMessage, "errors": testErrors, "limits": testLimits, "deadline": testDeadline,
		"stop": testStop, "isolation": testIsolation, "strangers": testStrangers,
	} {
		t.Run("pipe "+name, func(t *testing.T) { test(t, target) })
	}
	t.Run("pipe vectors", func(t *testing.T) { RunPipeVectors(t, target.Options("")) })
}

func testValues(t *testing.T, target Target) {
	r := Start(t, target.Options(""))
	for _, value := range []string{
		`{"id":1}`, `{"a":{"b":[1,2.5,-3e10,true,false,null]}}`, `[]`, `[1,"2"]`, `"text"`, `0`, `5`, `-1.5`, `true`,
		`false`, `{}`,
		`{"k":"héllo 世界 😀"}`, `{"quote":"\"\\\u0000\n"}`, " {\"padded\": 1}\n",
	} {
		assert.JSONEq(t, value, r.MustCall(t, "echo", value), "echo of %s", value)
	}
	assert.JSONEq(t, `{}`, r.MustCall(t, "echo", ""), "an empty payload is an empty event")
	assert.Empty(t, r.MustCall(t, "echo", "null"), "null is no result")
	assert.Empty(t, r.MustCall(t, "none", `{"id":1}`), "no result is an empty payload")
	for name, value := range map[string]string{
		"text": "not JSON", "broken JSON": `{"id":`, "binary": "\x00\xff\xfe\x01", "text in quotes that is not UTF-8": "\"\xff\"",
		"byte order mark": "\ufeff{}", "UTF-16": "1\x00", "nested too deep": strings.Repeat("[", 100000), "blank": " ",
	} {
		answer, err := r.Call(t, "echo", value)
		require.NoError(t, err, name)
		assert.True(t, answer == value, "%s must come back as it was", name)
	}
}

func testMessage(t *testing.T, target Target) {
	r := Start(t, target.Options(""))
	request := &function.FunctionMessage{
		ID: 1<<64 - 1, QOS: 1, Topic: "größe/t", Payload: []byte(`{"id":1}`), Timestamp: -1 << 40,
		FunctionName: "context", FunctionInvokeID: "7a1c",
	}
	answer, err := r.Client.Call(t.Context(), request)
	require.NoError(t, err)
	assert.JSONEq(t, `{"messageQOS":1,"messageTopic":"größe/t","messageTimestamp":-1099511627776,"functionName":"context",
		"functionInvokeID":"7a1c","invokeid":"7a1c"}`, string(answer.Payload))
	answer.Payload = request.Payload
	assert.True(t, proto.Equal(request, answer), "the answer is the request with another payload, got %v", answer)

	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			want := fmt.Sprintf(`{"i":%d}`, i)
			answer, err := r.Call(t, "echo", want)
			assert.NoError(t, err)
			assert.JSONEq(t, want, answer)
		})
	}
	all.Wait()
}

func testErrors(t *testing.T, target Target) {
	r := Start(t, target.Options(""))
	detail := r.UserError(t, "fail", `{"text":"x"}`)
	assert.True(t, strings.HasPrefix(detail, target.Fail), "what is documented comes first: %s", detail)
	assert.Equal(t, "Exception calling application: function not found", r.UserError(t, "nowhere", `{}`))
	assert.Equal(t, "Exception calling application: function not found", r.UserError(t, "", `{}`))
	assert.Contains(t, r.UserError(t, "strange", `{}`), target.Strange)
	for name, text := range map[string]string{
		"long": strings.Repeat("x", 1<<20), "long, not ASCII": strings.Repeat("😀ä", 1<<18), "lines": "a\nb\r\n%41",
		"half a character": `\ud83d`,
	} {
		payload := `{"text":"` + text + `"}`
		if name == "lines" {
			b, _ := json.Marshal(map[string]string{"text": text})
			payload = string(b)
		}
		assert.True(t, strings.HasPrefix(r.UserError(t, "fail", payload), "Exception calling application: ("), name)
	}
	r.WaitOutput(t, "TypeError: x") // the reason is in the log too
	assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`), "the instance takes the next call")
}

func testLimits(t *testing.T, target Target) {
	r := Start(t, target.Options("server: {message: {length: {max: 64k}}, concurrent: {max: 1}, workers: {max: 4}}"))
	_, err := r.Call(t, "echo", strings.Repeat("x", 64<<10))
	assert.Equal(t, codes.ResourceExhausted, status.Code(err), "a request over the limit: %v", err)
	_, err = r.Call(t, "big", `{"length":66000}`)
	assert.Equal(t, codes.ResourceExhausted, status.Code(err), "an answer over the limit: %v", err)
	for range 100 { // one after the other is not at once
		assert.Len(t, r.MustCall(t, "big", `{"length":65000}`), 65002)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	running := make(chan error, 1)
	go func() {
		_, err := r.Client.Call(ctx,
			&function.FunctionMessage{FunctionName: "sleep", Payload: []byte(`{"seconds":30,"text":"begun"}`)})
		running <- err
	}()
	r.WaitOutput(t, "begun")
	_, err = r.Call(t, "echo", `{}`)
	assert.Equal(t, codes.ResourceExhausted, status.Code(err), "a second call at once: %v", err)
	cancel()
	assert.Equal(t, codes.Canceled, status.Code(<-running))
}

func testDeadline(t *testing.T, target Target) {
	r := Start(t, target.Options("server: {workers: {max: 1}}"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := r.Client.Call(ctx, &function.FunctionMessage{FunctionName: "sleep", Payload: []byte(`{"seconds":1}`)})
	assert.Equal(t, codes.DeadlineExceeded, status.Code(err), "%v", err)
	assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`), "the instance takes the next call")
}

func testStop(t *testing.T, target Target) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r := Start(t, target.Options(""))
		r.MustCall(t, "echo", "{}")
		before := time.Now()
		r.Signal(t, signal)
		assert.Zero(t, r.Wait(t), "exit status after %s", signal)
		assert.Less(t, time.Since(before), 20*time.Second, "an idle instance ends at once")
		assert.Contains(t, r.Output(), "service closed")
	}

	t.Run("finishes the running call", func(t *testing.T) {
		r := Start(t, target.Options("server: {timeout: 20s}"))
		answer := make(chan error, 1)
		go func() {
			_, err := r.Call(t, "sleep", `{"seconds":1,"text":"begun"}`)
			answer <- err
		}()
		r.WaitOutput(t, "begun")
		r.Signal(t, syscall.SIGTERM)
		assert.NoError(t, <-answer)
		assert.Zero(t, r.Wait(t))
	})

	t.Run("does not wait for ever", func(t *testing.T) {
		r := Start(t, target.Options("server: {timeout: 300000000}")) // nanoseconds, the number of 0.1.6
		answer := make(chan error, 1)
		go func() {
			_, err := r.Call(t, "sleep", `{"seconds":600,"text":"begun"}`)
			answer <- err
		}()
		r.WaitOutput(t, "begun")
		before := time.Now()
		r.Signal(t, syscall.SIGTERM)
		assert.Error(t, <-answer)
		assert.Zero(t, r.Wait(t))
		assert.Less(t, time.Since(before), time.Minute)
	})
}

// testIsolation: modules of one name in different code directories share nothing, also with further modules of one
// name below.
func testIsolation(t *testing.T, target Target) {
	o := target.Options(`
- {name: other, handler: cases.echo, codedir: other}
- {name: same, handler: cases.echo, codedir: ./code/}
`)
	for name, content := range target.Other {
		o.Files["other/"+name] = content
	}
	r := Start(t, o)
	assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
	assert.JSONEq(t, `{"from":"other"}`, r.MustCall(t, "other", `{"id":1}`))
	assert.JSONEq(t, `{"id":2}`, r.MustCall(t, "same", `{"id":2}`))
	assert.Equal(t, "Exception calling application: function not found", r.UserError(t, "nowhere", `{}`))
	stop(t, r)
	assert.NotContains(t, r.Output(), "outlived")
}

func testConfig(t *testing.T, target Target) {
	for name, config := range map[string]string{
		"server": `
name: from.file
hub: {address: 'tcp://hub:1883', anything: [1]}
server:
  address: tcp://ADDRESS
  workers: {max: 3}
  concurrent: {max: 100}
  message: {length: {max: 4m}}
  timeout: 1m30s
logger:
`, "indented as in the documents": `
name: from.file
server:
  address: ADDRESS
  workers:
    max: 3
    concurrent:
      max: 100
    message:
      length:
        max: 4194304
`, "environment": `
name: "{{.INSTANCE}}"
# {{.COMMENT}}
server: {address: ADDRESS}
`,
	} {
		t.Run(name, func(t *testing.T) {
			o := target.Options(config)
			o.NoAddr = true
			o.Env = append(o.Env, "BAETYL_SERVICE_INSTANCE_NAME=", "INSTANCE=from.file")
			r := Start(t, o)
			assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
			_, err := r.Call(t, "echo", strings.Repeat("x", 4<<20+1))
			assert.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
			assert.Contains(t, r.Output(), "from.file")
		})
	}
	t.Run("old names in the environment", func(t *testing.T) {
		o := target.Options("server: {address: 127.0.0.1:1}")
		addr := FreeAddr(t)
		o.Env = append(o.Env, "BAETYL_SERVICE_INSTANCE_ADDRESS=", "OPENEDGE_SERVICE_ADDRESS="+addr,
			"BAETYL_SERVICE_INSTANCE_NAME=", "OPENEDGE_SERVICE_NAME=from.old.name")
		r := launch(t, o)
		r.WaitOutput(t, addr)
		assert.Contains(t, r.Output(), "from.old.name")
	})
}

func testBadConfig(t *testing.T, target Target) {
	one := "functions: [{name: echo, handler: cases.echo, codedir: code}]\n"
	for name, c := range map[string]struct{ config, want string }{
		"unknown key": {one + "sever: {}", "sever: unknown key; known here: "},
		"unknown key in a list": {"functions: [{name: a, handler: cases.echo, codedir: code, memory: 1}]",
			"functions[0].memory: unknown key"},
		"unknown key below":    {one + "server: {message: {size: 1}}", "server.message.size: unknown key"},
		"wrong type":           {one + "server: 5", "server: expected keys below it, found a number"},
		"not keys":             {"[]", "the file: expected keys below it, found a list"},
		"no functions":         {"", "config invalid, missing functions"},
		"functions is no list": {"functions: {a: b}", "functions: expected a list, found keys"},
		"no name": {"functions: [{handler: cases.echo, codedir: code}]",
			"functions[0].name: config invalid, missing function name, handler or codedir"},
		"no handler": {"functions: [{name: a, codedir: code}]",
			"functions[0].handler: config invalid, missing function name, handler or codedir"},
		"no codedir": {"functions: [{name: a, handler: cases.echo}]",
			"functions[0].codedir: config invalid, missing function name, handler or codedir"},
		"name is no text": {"functions: [{name: [], handler: cases.echo, codedir: code}]",
			"functions[0].name: expected text, found a list"},
		"two of a name": {strings.Replace(one, "]", ", {name: echo, handler: cases.none, codedir: code}]", 1),
			"functions[1].name: function 'echo' is there twice"},
		"a key twice": {one + one, "line 2: "},
		"codedir not there": {strings.Replace(one, "codedir: code", "codedir: nowhere", 1),
			"functions[0].codedir: no directory 'nowhere'"},
		"handler without a dot": {strings.Replace(one, "cases.echo", "cases", 1),
			"functions[0].handler: 'cases' is not <module>.<function>"},
		"handler without a name": {strings.Replace(one, "cases.echo", "cases.", 1), "functions[0].handler: 'cases.' is not <module>.<function>"},
		"module not there":       {strings.Replace(one, "cases.echo", "nowhere.echo", 1), "functions[0].handler: "},
		"function not there":     {strings.Replace(one, "cases.echo", "cases.nowhere", 1), "functions[0].handler: "},
		"function is none":       {strings.Replace(one, "cases.echo", "cases.number", 1), "functions[0].handler: "},
		"module fails":           {strings.Replace(one, "cases.echo", "broken.echo", 1), "not today"},
		"library not there":      {strings.Replace(one, "cases.echo", "missing.echo", 1), "nowhere"},
		"size": {one + "server: {message: {length: {max: 64q}}}",
			"server.message.length.max: invalid size: '64q'; write bytes or a number with k, m or g"},
		"negative size": {one + "server: {message: {length: {max: -1}}}",
			"server.message.length.max: invalid size: '-1'"},
		"duration":           {one + "server: {timeout: 30x}", "server.timeout: invalid duration: '30x'"},
		"duration is a list": {one + "server: {timeout: [1]}", "server.timeout: invalid duration"},
		"workers": {one + "server: {workers: {max: 0}}",
			"server.workers.max: expected a whole number of at least 1, found '0'"},
		"workers is true": {one + "server: {workers: {max: true}}",
			"server.workers.max: expected a whole number of at least 1"},
		"level": {one + "logger: {level: loud}",
			"logger.level: 'loud' is not one of debug, info, warn, error"},
		"address":                 {one + "server: {address: localhost}", "server.address: 'localhost' is not <host>:<port>"},
		"key without certificate": {one + "server: {key: k}", "server.cert: is missing; TLS needs server.key and server.cert"},
		"ca alone":                {one + "server: {ca: c}", "server.ca: needs server.key and server.cert"},
		"no certificate":          {one + "server: {key: code/empty, cert: code/empty}", "server.cert: "},
		"certificate not there":   {one + "server: {key: nowhere.pem, cert: nowhere.pem}", "nowhere.pem"},
		"variable not set":        {one + "name: '{{.NOWHERE}}'", "line 2: environment variable NOWHERE is not set"},
		"not YAML":                {one + "a: b: c", "line 2: "},
		"not UTF-8":               {one + "name: \"\xff\"", "not UTF-8"},
		"a tag":                   {one + "name: !!python/object:os.system x", Config + ": "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := target.Options("")
			o.Files[Config] = c.config
			o.Files["code/empty"] = "not PEM"
			for _, extra := range []map[string]string{target.Broken, target.Missing} {
				for file, content := range extra {
					o.Files["code/"+file] = content
				}
			}
			if strings.HasPrefix(name, "address") {
				o.Env = append(o.Env, "BAETYL_SERVICE_INSTANCE_ADDRESS=")
			}
			code, out := Fail(t, o)
			assert.Equal(t, 1, code, "exit status; output:\n%s", out)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			last := lines[len(lines)-1]
			assert.Contains(t, last, c.want)
			assert.Contains(t, last, Config+": ", "the last line names the file")
		})
	}
	t.Run("no file", func(t *testing.T) {
		code, out := Fail(t, Options{Entry: target.Entry, Env: target.Env})
		assert.Equal(t, 1, code)
		assert.Contains(t, out, Config+": No such file or directory; name the configuration file with -c")
	})
	t.Run("no address", func(t *testing.T) {
		o := target.Options("")
		o.Env = append(o.Env, "BAETYL_SERVICE_INSTANCE_ADDRESS=")
		code, out := Fail(t, o)
		assert.Equal(t, 1, code)
		assert.Contains(t, out, "missing server address: set server.address, or the environment variable "+
			"BAETYL_SERVICE_INSTANCE_ADDRESS")
	})
	t.Run("no name", func(t *testing.T) {
		o := target.Options("")
		o.Env = append(o.Env, "BAETYL_SERVICE_INSTANCE_NAME=")
		code, out := Fail(t, o)
		assert.Equal(t, 1, code)
		assert.Contains(t, out, "missing name: set name, or the environment variable BAETYL_SERVICE_INSTANCE_NAME")
	})
	t.Run("port in use", func(t *testing.T) {
		first := Start(t, target.Options(""))
		o := target.Options("")
		o.Env = append(o.Env, "BAETYL_SERVICE_INSTANCE_ADDRESS="+first.Addr)
		code, out := Fail(t, o)
		assert.Equal(t, 1, code)
		assert.Contains(t, out, "server.address: listen on "+first.Addr)
	})
}

// testStrangers: who does not speak the pipe's language harms nobody.
func testStrangers(t *testing.T, target Target) {
	r := Start(t, target.Options("server: {message: {length: {max: 64k}}}"))
	for name, bytes := range map[string]string{
		"gRPC": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "short": "BAETYL", "a frame that never ends": function.Hello +
			"\xff\xff\xff\xff\x00\x00\x00\x01\x00",
		"half a frame": function.Hello + "\x00\x00\x00\x09\x00",
	} {
		conn, err := net.Dial("tcp", r.Addr)
		require.NoError(t, err)
		_, err = conn.Write([]byte(bytes))
		require.NoError(t, err)
		if strings.HasPrefix(name, "half") || name == "short" {
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		}
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(deadline)))
		_, err = io.Copy(io.Discard, conn)
		require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "%s: the connection is closed", name)
		conn.Close()
	}
	conn, err := net.Dial("tcp", r.Addr)
	require.NoError(t, err)
	defer conn.Close()
	p, err := function.Dial(conn, "")
	require.NoError(t, err)
	require.NoError(t, p.SendCode(7, codes.OK, "\xff\xff not a message"))
	require.NoError(t, p.SendCode(8, codes.Canceled, "")) // of a call that there is not
	require.NoError(t, p.SendMessage(9, &function.FunctionMessage{Payload: make([]byte, 70000)}))
	got := map[uint32]codes.Code{}
	for range 2 {
		f, err := p.Read()
		require.NoError(t, err)
		got[f.Call] = f.Code
	}
	assert.Equal(t, map[uint32]codes.Code{7: codes.InvalidArgument, 9: codes.ResourceExhausted}, got)
	assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))

	o := target.Options("")
	o.Env = append(o.Env, masterapi.EnvInstancePipe+"=1", "BAETYL_SERVICE_INSTANCE_ADDRESS="+r.Addr)
	code, out := Fail(t, o)
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "server.address: listen on "+r.Addr)
}

// stop ends an instance as the master does: what it has put into the temporary directory goes.
func stop(t *testing.T, r *Runtime) {
	t.Helper()
	r.Signal(t, syscall.SIGTERM)
	assert.Zero(t, r.Wait(t))
}

func testLog(t *testing.T, target Target) {
	o := target.Options("logger: {path: var/log/baetyl/service.log, level: error, format: json, size: {max: 1}, " +
		"backup: {max: 2}}")
	r := Start(t, o)
	glob := func() []string {
		backups, err := filepath.Glob(filepath.Join(r.Dir, "var/log/baetyl/service-*.log"))
		require.NoError(t, err)
		return backups
	}
	// A backup that is older than 15 days goes at the next rotation; one of another name stays.
	old := time.Now().Add(-16 * 24 * time.Hour)
	for _, name := range []string{"var/log/baetyl/service-2019-09-23T21-49-08.000.log", "var/log/baetyl/other.log"} {
		r.Write(t, name, []byte("old\n"))
		require.NoError(t, os.Chtimes(filepath.Join(r.Dir, name), old, old))
	}
	text := strings.Repeat("x", 1000)
	for range 100 {
		r.UserError(t, "fail", `{"text":"`+text+`"}`)
	}
	log := string(r.Read(t, "var/log/baetyl/service.log"))
	require.NotEmpty(t, log)
	for line := range strings.SplitSeq(strings.TrimSpace(log), "\n") {
		var fields map[string]string
		require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
		require.Equal(t, "error", fields["level"])
		require.Equal(t, "test.instance.1", fields["instance"])
		require.NotEmpty(t, fields["msg"])
		require.NotEmpty(t, fields["time"])
	}
	assert.Contains(t, r.Output(), strings.SplitN(log, "\n", 2)[0], "stderr has the same lines")
	assert.NotContains(t, r.Output(), "service starting", "info is below error")

	r.wait(t, "two rotated files", func() bool {
		r.UserError(t, "fail", `{"text":"`+strings.Repeat(text, 200)+`"}`)
		return len(glob()) == 2 && !strings.Contains(strings.Join(glob(), " "), "2019")
	})
	for range 30 {
		r.UserError(t, "fail", `{"text":"`+strings.Repeat(text, 200)+`"}`)
	}
	assert.Len(t, glob(), 2, "no more than backup.max")
	assert.LessOrEqual(t, len(r.Read(t, "var/log/baetyl/service.log")), 1<<20)
	assert.FileExists(t, filepath.Join(r.Dir, "var/log/baetyl/other.log"))

	// Another instance of the service has rotated the file: this one goes on in the new one.
	require.NoError(t, os.Rename(filepath.Join(r.Dir, "var/log/baetyl/service.log"),
		filepath.Join(r.Dir, "var/log/baetyl/away")))
	r.UserError(t, "fail", `{"text":"after"}`)
	assert.Contains(t, string(r.Read(t, "var/log/baetyl/service.log")), "after")

	t.Run("unwritable file", func(t *testing.T) {
		o := target.Options("logger: {path: code/blocked/service.log, level: debug}")
		o.Files["code/blocked"] = "a file where a directory is needed"
		r := Start(t, o)
		assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
		r.WaitOutput(t, "write log file code/blocked/service.log")
		assert.Contains(t, r.Output(), " - test.instance.1 - INFO - service starting\n")
	})
}

func testProcess(t *testing.T, target Target) {
	// The native engine links the package into the directory of the service and starts it there.
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "lib/baetyl"), 0o755))
	require.NoError(t, os.Symlink(filepath.Dir(filepath.Dir(target.Entry)), filepath.Join(dir, "lib/baetyl/runtime")))
	o := target.Options("")
	o.Dir, o.Entry = dir, filepath.Join(dir, "lib/baetyl/runtime/bin", filepath.Base(target.Entry))
	o.Env = append(o.Env, "EXTRA=a=b=ü", "PYTHONPATH=")
	r := Start(t, o)
	assert.Equal(t, fmt.Sprint(r.PID), r.MustCall(t, "pid", "{}"), "the launcher does not stay between")

	var env map[string]string
	require.NoError(t, json.Unmarshal([]byte(r.MustCall(t, "env", "{}")), &env))
	want := map[string]string{}
	for _, line := range r.cmd.Env {
		name, value, _ := strings.Cut(line, "=")
		want[name] = value
	}
	for _, name := range []string{"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"} { // of sh and of Python's UTF-8 mode
		delete(env, name)
	}
	assert.Equal(t, want, env, "user code gets the environment of the instance")

	r.MustCall(t, "log", `{"text":"from user code"}`)
	r.WaitOutput(t, "from user code")
}
