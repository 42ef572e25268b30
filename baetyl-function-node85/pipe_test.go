//go:build unix

package node_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/baetyl/baetyl/internal/functiontest"
	"github.com/baetyl/baetyl/protocol/function"
)

var secret = function.NewSecret()

// caller is the function manager's end of a pipe, frame by frame.
type caller struct {
	*function.Pipe
	conn net.Conn
}

func dial(t testing.TB, r *functiontest.Runtime, secret string) *caller {
	t.Helper()
	conn := connect(t, r)
	p, err := function.Dial(conn, secret)
	require.NoError(t, err)
	return &caller{p, conn}
}

func connect(t testing.TB, r *functiontest.Runtime) net.Conn {
	t.Helper()
	network, address := "tcp", r.Addr
	if path, ok := strings.CutPrefix(r.Addr, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := net.Dial(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn
}

func (c *caller) send(t testing.TB, call uint32, name, payload string) {
	t.Helper()
	m := &function.FunctionMessage{FunctionName: name, FunctionInvokeID: fmt.Sprint(call), Payload: []byte(payload)}
	require.NoError(t, c.SendMessage(call, m))
}

// answer reads the next frame, which has to be that of a call; it returns the payload, or the detail.
func (c *caller) answer(t testing.TB, call uint32, code codes.Code) string {
	t.Helper()
	f, err := c.Read()
	require.NoError(t, err)
	require.Equal(t, call, f.Call, "%s: %s", f.Code, f.Body)
	require.Equal(t, code, f.Code, "%s", f.Body)
	if code != codes.OK {
		return f.Detail()
	}
	m := new(function.FunctionMessage)
	require.NoError(t, proto.Unmarshal(f.Body, m))
	return string(m.Payload)
}

// secretOptions are those of an instance that the function manager starts.
func secretOptions(target functiontest.Target, config string) functiontest.Options {
	for _, name := range []string{"spin", "order", "gate", "child"} {
		config += "\n- {name: " + name + ", handler: queue." + name + ", codedir: code}"
	}
	o := target.Options(config)
	o.Pipe, o.Secret = true, secret
	o.Files["code/queue.js"] = queueCode
	return o
}

// queueCode are functions about the order of calls.
const queueCode = `
let running = 0;
exports.spin = () => { for (;;); };
exports.order = async (event) => {
  running += 1;
  const at = running;
  await new Promise((done) => setTimeout(done, event.ms || 0));
  running -= 1;
  return { at };
};
exports.gate = (event, context, callback) => {
  const timer = setInterval(() => {
    if (!require('fs').existsSync('open')) return;
    clearInterval(timer);
    callback(null, 'through');
  }, 5);
};
exports.child = () => require('child_process').execSync('env; tr "\\0" "\\n" < /proc/$PPID/environ').toString();
`

// TestSecret: nobody calls an instance who does not know its secret, and user code does not learn it.
func TestSecret(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		r := functiontest.Start(t, secretOptions(target, ""))
		assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
		for name, wrong := range map[string]string{"none": "", "another one": function.NewSecret()} {
			_, err := function.Dial(connect(t, r), wrong)
			require.Error(t, err, name)
		}
		for name, first := range map[string]string{
			"gRPC": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "a wrong proof": function.Hello2 + strings.Repeat("x", 16+32),
			"frames at once": function.Hello + "\x00\x00\x00\x00\x00\x00\x00\x01\x00",
		} {
			conn := connect(t, r)
			_, err := io.WriteString(conn, first)
			require.NoError(t, err)
			answer, err := io.ReadAll(conn) // it ends the connection
			require.False(t, os.IsTimeout(err), name)
			assert.NotContains(t, string(answer), secret)
			assert.LessOrEqual(t, len(answer), 24+8+16+32, name)
		}
		var env map[string]string
		require.NoError(t, json.Unmarshal([]byte(r.MustCall(t, "env", "{}")), &env))
		assert.NotContains(t, env, "BAETYL_SERVICE_INSTANCE_SECRET")
		assert.NotContains(t, r.MustCall(t, "child", "{}"), secret)
		assert.NotContains(t, r.Output(), secret)
	})
}

// TestManyStrangers: connections without a hello take nothing from the function manager.
func TestManyStrangers(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		r := functiontest.Start(t, secretOptions(target, ""))
		for range 200 {
			connect(t, r)
		}
		c := dial(t, r, secret)
		c.send(t, 1, "echo", `{"id":1}`)
		assert.JSONEq(t, `{"id":1}`, c.answer(t, 1, codes.OK))
		assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
	})
}

// TestGRPCSecret: over gRPC the secret is metadata of a call.
func TestGRPCSecret(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := target.Options("")
		o.Secret = secret
		r := functiontest.Start(t, o)
		m := &function.FunctionMessage{FunctionName: "echo", Payload: []byte(`{"id":1}`)}
		for _, wrong := range []string{"", function.NewSecret()} {
			ctx := t.Context()
			if wrong != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, function.SecretMetadata, wrong)
			}
			_, err := r.Client.Call(ctx, m)
			assert.Equal(t, codes.Unauthenticated, status.Code(err), "%v", err)
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), function.SecretMetadata, secret)
		answer, err := r.Client.Call(ctx, m)
		require.NoError(t, err)
		assert.JSONEq(t, `{"id":1}`, string(answer.Payload))
	})
}

// TestUnix: the pipe is served at a unix socket, also where the one of an earlier life is left.
func TestUnix(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := secretOptions(target, "")
		dir, err := os.MkdirTemp("", "node") // a short path
		require.NoError(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		path := filepath.Join(dir, "f.sock")
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		require.NoError(t, err)
		stale.SetUnlinkOnClose(false)
		require.NoError(t, stale.Close())
		o.Addr = "unix:" + path
		r := functiontest.Start(t, o)
		assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))

		o.Addr = "unix:" + filepath.Join(dir, strings.Repeat("x", 120))
		code, out := functiontest.Fail(t, o)
		assert.Equal(t, 1, code)
		assert.Contains(t, out, "server.address: listen on "+o.Addr+": the path of a unix socket has at most 107 bytes")

		require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
		o.Addr = "unix:" + filepath.Join(dir, "file")
		code, _ = functiontest.Fail(t, o)
		assert.Equal(t, 1, code)
		assert.FileExists(t, filepath.Join(dir, "file"), "what is no socket stays")
	})
}

// TestQueue: calls wait in the instance, begin in their order, one after the other, and are bounded.
func TestQueue(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		r := functiontest.Start(t, secretOptions(target, ""))
		c := dial(t, r, secret)
		require.Equal(t, 1, c.Concurrent)
		require.Equal(t, 64, c.Queue)
		for i := range uint32(65) {
			c.send(t, i, "order", fmt.Sprintf(`{"ms":%d}`, 3-i%3))
		}
		for i := range uint32(65) {
			assert.JSONEq(t, `{"at":1}`, c.answer(t, i, codes.OK), "one at a time")
		}

		c.send(t, 100, "gate", "{}")
		for i := range uint32(64) {
			c.send(t, 101+i, "echo", fmt.Sprint(i))
		}
		c.send(t, 200, "echo", "{}")
		assert.Equal(t, "Concurrent RPC limit exceeded!", c.answer(t, 200, codes.ResourceExhausted))
		require.NoError(t, c.SendCode(110, codes.Canceled, ""))
		c.answer(t, 110, codes.Canceled)
		c.send(t, 201, "echo", "201") // there is room for one more
		c.send(t, 202, "nowhere", "{}")
		c.answer(t, 202, codes.Unknown)
		require.NoError(t, c.SendCode(100, codes.Canceled, "")) // it runs: the next one begins
		for i := range uint32(64) {
			if i != 9 {
				assert.Equal(t, fmt.Sprint(i), c.answer(t, 101+i, codes.OK))
			}
		}
		assert.Equal(t, "201", c.answer(t, 201, codes.OK))
		r.WaitOutput(t, "function gate [100]: ended: its caller did not wait")
	})
}

// TestAnswersAtOnce: an answer does not wait for the code of another handler, however the calls come.
func TestAnswersAtOnce(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		for _, first := range []string{"echo", "order", "sleep"} {
			r := functiontest.Start(t, secretOptions(target, ""))
			c := dial(t, r, secret)
			c.send(t, 1, first, `{"seconds":0.01}`)
			c.send(t, 2, "spin", "{}")
			assert.NotEmpty(t, c.answer(t, 1, codes.OK), first)
		}
	})
}

// TestConcurrency: the function manager may want more at once; so does the limit of the configuration, or less.
func TestConcurrency(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := secretOptions(target, "")
		o.Env = append(o.Env, "BAETYL_SERVICE_INSTANCE_CONCURRENCY=3")
		r := functiontest.Start(t, o)
		c := dial(t, r, secret)
		require.Equal(t, 3, c.Concurrent)
		for i := range uint32(3) {
			c.send(t, i, "order", `{"ms":50}`)
		}
		c.send(t, 3, "echo", "{}")
		answers := map[uint32]string{}
		for range 4 {
			f, err := c.Read()
			require.NoError(t, err)
			answers[f.Call] = string(f.Body)
		}
		for i := range uint32(3) {
			assert.Contains(t, answers[i], fmt.Sprintf(`{"at":%d}`, i+1))
		}
		assert.Contains(t, answers[3], "{}")

		o.Files[functiontest.Config] += "\nserver: {concurrent: {max: 2}}"
		c = dial(t, functiontest.Start(t, o), secret)
		assert.Equal(t, 2, c.Concurrent)
		assert.Equal(t, 0, c.Queue)
	})
}

// TestQueueBytes: while much waits, nothing is read; then all is answered.
func TestQueueBytes(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		r := functiontest.Start(t, secretOptions(target, ""))
		c := dial(t, r, secret)
		c.send(t, 1, "gate", "{}")
		large := `"` + strings.Repeat("x", 1<<20) + `"`
		var sent atomic.Int32
		var sender sync.WaitGroup
		sender.Go(func() {
			for i := range uint32(40) {
				m := &function.FunctionMessage{FunctionName: "echo", Payload: []byte(large)}
				if !assert.NoError(t, c.SendMessage(10+i, m)) {
					return
				}
				sent.Add(1)
			}
		})
		same, before := 0, int32(0)
		functiontest.Poll(t, "the sender to stand still", func() bool {
			if now := sent.Load(); now == 0 || now != before {
				same, before = 0, now
			}
			same++
			return same > 40
		}, r.Output)
		assert.Less(t, sent.Load(), int32(40), "all of it was taken")
		r.Write(t, "open", nil)
		assert.Equal(t, `"through"`, c.answer(t, 1, codes.OK))
		for i := range uint32(40) {
			assert.Len(t, c.answer(t, 10+i, codes.OK), len(large))
		}
		sender.Wait()
	})
}

func BenchmarkPipeline(b *testing.B) {
	target := target(b, functiontest.Node(b, ""))
	o := secretOptions(target, "")
	o.Files[functiontest.Config] += "\nlogger: {level: error}"
	for _, window := range []uint32{1, 64} {
		b.Run(fmt.Sprint(window), func(b *testing.B) {
			c := dial(b, functiontest.Start(b, o), secret)
			m := &function.FunctionMessage{FunctionName: "echo", Topic: "t", FunctionInvokeID: "id",
				Payload: []byte(`{"id":1,"text":"0123456789"}`)}
			next := uint32(0)
			for range window {
				require.NoError(b, c.SendMessage(next, m))
				next++
			}
			for b.Loop() {
				f, err := c.Read()
				require.NoError(b, err)
				require.Equal(b, codes.OK, f.Code)
				require.NoError(b, c.SendMessage(next, m))
				next++
			}
		})
	}
}
