//go:build unix

package python_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// dial opens a connection of its own to an instance, as the function manager does.
func dial(t *testing.T, r *functiontest.Runtime, secret string) *function.Pipe {
	t.Helper()
	conn, err := net.Dial("tcp", r.Addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	p, err := function.Dial(conn, secret)
	require.NoError(t, err)
	return p
}

// begin sends a call of append.
func begin(t *testing.T, p *function.Pipe, n int, seconds float64) {
	t.Helper()
	require.NoError(t, p.SendMessage(uint32(n), &function.FunctionMessage{FunctionName: "append",
		Payload: fmt.Appendf(nil, `{"n":%d,"seconds":%g}`, n, seconds)}))
}

// order is the calls in the order in which they began.
func order(t *testing.T, r *functiontest.Runtime) []string {
	return strings.Fields(string(r.Read(t, "order")))
}

// begun waits until the call n runs.
func begun(t *testing.T, r *functiontest.Runtime, n int) {
	t.Helper()
	functiontest.Poll(t, "the call to begin", func() bool {
		all := order(t, r)
		return len(all) > 0 && all[len(all)-1] == fmt.Sprint(n)
	}, func() string { return strings.Join(order(t, r), " ") })
}

// TestQueue: calls begin one after the other in the order of their frames; those that wait have their limits.
func TestQueue(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := user(t, target, "", "user.append")
		r := functiontest.Start(t, o)
		p := dial(t, r, o.Secret)
		assert.Equal(t, 1, p.Concurrent)
		assert.Equal(t, 64, p.Queue)

		begin(t, p, 1, 0.5)
		for n := 2; n <= 65; n++ {
			begin(t, p, n, 0)
		}
		begin(t, p, 66, 0) // one too many
		require.NoError(t, p.SendCode(30, codes.Canceled, ""))
		f, err := p.Read()
		require.NoError(t, err)
		assert.EqualValues(t, 66, f.Call)
		assert.Equal(t, codes.ResourceExhausted, f.Code, "at once, while the first call runs")
		f, err = p.Read()
		require.NoError(t, err)
		assert.EqualValues(t, 30, f.Call)
		assert.Equal(t, codes.Canceled, f.Code)
		var want []string
		for n := 1; n <= 65; n++ {
			if n == 30 {
				continue
			}
			f, err := p.Read()
			require.NoError(t, err)
			require.EqualValues(t, n, f.Call)
			require.Equal(t, codes.OK, f.Code)
			want = append(want, fmt.Sprint(n))
		}
		assert.Equal(t, want, order(t, r))

		// Of what waits, at most 4 MiB and a message are read.
		begin(t, p, 100, 4)
		begun(t, r, 100)
		big := &function.FunctionMessage{FunctionName: "append", Payload: bytes.Repeat([]byte("x"), 4<<20-100)}
		p.Timeout = time.Second
		err = nil
		for n := 0; n < 20 && err == nil; n++ {
			err = p.SendMessage(uint32(200+n), big)
		}
		require.Error(t, err, "80 MiB are taken while a call runs")
		p.Close()

		// The connection's end ends its calls; another one goes on.
		p = dial(t, r, o.Secret)
		begin(t, p, 1, 0)
		f, err = p.Read()
		require.NoError(t, err)
		assert.Equal(t, codes.OK, f.Code)
	})
}

// TestConcurrency: BAETYL_SERVICE_INSTANCE_CONCURRENCY says how many calls run at once.
func TestConcurrency(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := user(t, target, "", "user.append")
		o.Env = append(o.Env, "BAETYL_SERVICE_INSTANCE_CONCURRENCY=3")
		r := functiontest.Start(t, o)
		p := dial(t, r, o.Secret)
		assert.Equal(t, 3, p.Concurrent)
		for n := 1; n <= 5; n++ {
			begin(t, p, n, 30)
		}
		functiontest.Poll(t, "three calls to run", func() bool { return len(order(t, r)) == 3 }, r.Output)
		assert.ElementsMatch(t, []string{"1", "2", "3"}, order(t, r))
		require.NoError(t, p.SendCode(2, codes.Canceled, ""))
		begun(t, r, 4)

		code, out := functiontest.Fail(t, functiontest.Options{Entry: o.Entry, Files: o.Files,
			Env: []string{"BAETYL_SERVICE_INSTANCE_CONCURRENCY=many"}})
		assert.Equal(t, 1, code)
		assert.Contains(t, out, "environment variable BAETYL_SERVICE_INSTANCE_CONCURRENCY: 'many' is not a whole number")
	})
}

// TestStrangersWithSecret: who does not know the secret gets nothing, and is no hindrance.
func TestStrangersWithSecret(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := secured(target, "")
		r := functiontest.Start(t, o)
		for _, secret := range []string{"", "wrong", strings.ToUpper(o.Secret), o.Secret + "0", o.Secret[:63]} {
			conn, err := net.Dial("tcp", r.Addr)
			require.NoError(t, err)
			_, err = function.Dial(conn, secret)
			assert.Error(t, err, secret)
			conn.Close()
		}
		for name, say := range map[string]string{
			"hello 1": function.Hello, "gRPC": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "hello 3": "BAETYL-FUNCTION-PIPE/3\r\n",
			"no proof": function.Hello2 + strings.Repeat("n", 16) + strings.Repeat("p", 32) + "\x00\x00\x00\x00\x00\x00\x00\x01\x00",
		} {
			conn, err := net.Dial("tcp", r.Addr)
			require.NoError(t, err)
			require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
			_, err = io.WriteString(conn, say)
			require.NoError(t, err)
			answer, err := io.ReadAll(conn)
			assert.False(t, errors.Is(err, os.ErrDeadlineExceeded), "%s: the connection is closed", name)
			assert.NotContains(t, string(answer), function.Hello, name)
			assert.LessOrEqual(t, len(answer), len(function.Hello2)+8+16+32, name)
			conn.Close()
		}
		// 200 connections that say nothing, and half of a hello: the manager's is served, and a new one too.
		for i := range 200 {
			conn, err := net.Dial("tcp", r.Addr)
			require.NoError(t, err)
			defer conn.Close()
			if i%2 == 0 {
				_, err = io.WriteString(conn, function.Hello2[:10])
				require.NoError(t, err)
			}
		}
		assert.JSONEq(t, `{"id":1}`, r.MustCall(t, "echo", `{"id":1}`))
		dial(t, r, o.Secret)
	})
}

// TestSecretOverGRPC: calls over gRPC need the secret in their metadata.
func TestSecretOverGRPC(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		o := target.Options("")
		o.Secret = function.NewSecret()
		r := functiontest.Start(t, o)
		m := &function.FunctionMessage{FunctionName: "echo", Payload: []byte(`{"id":1}`)}
		for _, secret := range []string{"", "wrong", o.Secret} {
			ctx := t.Context()
			if secret != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, function.SecretMetadata, secret)
			}
			_, err := r.Client.Call(ctx, m)
			if secret == o.Secret {
				assert.NoError(t, err)
				continue
			}
			assert.Equal(t, codes.Unauthenticated, status.Code(err), "%v", err)
		}
	})
}

// asker starts a program that answers lines with lines.
func asker(f *testing.F, program *exec.Cmd) func(t *testing.T, question string) []byte {
	in, err := program.StdinPipe()
	require.NoError(f, err)
	out, err := program.StdoutPipe()
	require.NoError(f, err)
	require.NoError(f, program.Start())
	f.Cleanup(func() {
		in.Close()
		_ = program.Wait()
	})
	answers := bufio.NewReader(out)
	return func(t *testing.T, question string) []byte {
		_, err := io.WriteString(in, question+"\n")
		require.NoError(t, err)
		line, err := answers.ReadBytes('\n')
		require.NoError(t, err)
		return line
	}
}

// FuzzMessage compares what the runtime reads of the bytes of a message with what protobuf does.
func FuzzMessage(f *testing.F) {
	const program = `
import binascii, json, sys
sys.path.insert(0, sys.argv[1])
from baetyl_function import codec
while True:
    line = sys.stdin.readline()
    if not line:
        break
    try:
        m = codec.decode(binascii.unhexlify(line.strip().encode('ascii')))
        print(json.dumps({'ID': m.ID, 'QOS': m.QOS, 'Topic': m.Topic,
                          'Payload': binascii.hexlify(m.Payload).decode('ascii'),
                          'Timestamp': m.Timestamp, 'FunctionName': m.FunctionName,
                          'FunctionInvokeID': m.FunctionInvokeID,
                          'Answer': binascii.hexlify(m.answer(b'new')).decode('ascii')}))
    except codec.Invalid as e:
        print(json.dumps({'Error': str(e)}))
`
	lib := filepath.Join(functiontest.Root(), "baetyl-function-python/lib")
	cmd := exec.Command(python(newest(f)), "-B", "-u", "-c", program, lib)
	ask := asker(f, cmd)
	v := functiontest.LoadPipeVectors(f)
	for _, c := range v.Requests {
		for _, b := range c.Send {
			if len(b) > 9 {
				f.Add([]byte(b[9:]))
			}
		}
	}
	f.Add([]byte("0\xff\xff\xff\xff\xff\xff\xff\xff\xff0"))
	f.Add([]byte("\x22\x01a\x22\x01b\x0a\x00\x13\x14"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got struct {
			ID                                    uint64
			QOS                                   uint32
			Topic, FunctionName, FunctionInvokeID string
			Timestamp                             int64
			Payload, Answer, Error                string
		}
		require.NoError(t, json.Unmarshal(ask(t, hex.EncodeToString(body)), &got))
		want := new(function.FunctionMessage)
		if err := proto.Unmarshal(body, want); err != nil {
			require.NotEmpty(t, got.Error, "%v", err)
			return
		}
		require.Empty(t, got.Error)
		payload, err := hex.DecodeString(got.Payload)
		require.NoError(t, err)
		read := &function.FunctionMessage{ID: got.ID, QOS: got.QOS, Topic: got.Topic, Timestamp: got.Timestamp,
			FunctionName: got.FunctionName, FunctionInvokeID: got.FunctionInvokeID, Payload: payload}
		want.ProtoReflect().SetUnknown(nil)
		require.True(t, proto.Equal(want, read), "want %v, got %v", want, read)
		answer := new(function.FunctionMessage)
		raw, err := hex.DecodeString(got.Answer)
		require.NoError(t, err)
		require.NoError(t, proto.Unmarshal(raw, answer))
		answer.ProtoReflect().SetUnknown(nil)
		want.Payload = []byte("new")
		require.True(t, proto.Equal(want, answer), "want %v, got %v", want, answer)
	})
}

// TestSlowReader: a caller that does not read its answers ends its own connection alone.
func TestSlowReader(t *testing.T) {
	target := newest(t)
	o := secured(target, "")
	r := functiontest.Start(t, o)
	p := dial(t, r, o.Secret)
	for n := range 60 {
		require.NoError(t, p.SendMessage(uint32(n), &function.FunctionMessage{FunctionName: "big",
			Payload: []byte(`{"length":1000000}`)}))
	}
	p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := r.Client.Call(ctx, &function.FunctionMessage{FunctionName: "echo", Payload: []byte(`{"id":1}`)})
	assert.NoError(t, err)
}
