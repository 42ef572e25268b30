//go:build unix

package functiontest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/baetyl/baetyl/protocol/function"
)

// PipeVectors is the file protocol/function/testdata/pipe.json: bytes of the pipe protocol (docs/function-pipe.md)
// and what they mean. Every implementation is tested with it.
type PipeVectors struct {
	Limit    int // largest message, in bytes, of both sides
	Hello    []PipeHello
	Welcome  []PipeWelcome
	Requests []PipeCase
	Answers  []PipeCase
}

// PipeHello is what a caller begins with, and whether a runtime takes it for the pipe.
type PipeHello struct {
	Name string
	Send []Hex
	Pipe bool
}

// PipeWelcome is what a runtime begins with, and the calls at once that the caller gives it, or the caller's error.
type PipeWelcome struct {
	Name       string
	Receive    Hex
	Concurrent int
	Error      string
}

// PipeCase is a stream of frames after the hellos: from the caller in Send, from the runtime in Receive.
type PipeCase struct {
	Name          string
	Send, Receive []Hex       // what each write has
	Frames        []PipeFrame // what is read of it
	Error         string      // in the text of the error that reading ends with, if the stream is wrong
	Answers       []PipeFrame // of the runtime, in any order; a detail is what its own begins with
	Ends          bool        // the runtime ends the connection
}

// PipeFrame is the meaning of one frame.
type PipeFrame struct {
	Call     uint32
	Code     uint8
	Message  json.RawMessage // a FunctionMessage, of a code that is 0
	Detail   string          // of another code
	TooLarge int             // length of a body above the limit
	Invalid  bool            // the body is no FunctionMessage
}

// Hex is bytes, in hexadecimal in a file.
type Hex []byte

// UnmarshalText reads hexadecimal digits.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// LoadPipeVectors reads the vectors.
func LoadPipeVectors(t testing.TB) (v PipeVectors) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Root(), "protocol/function/testdata/pipe.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &v))
	require.NotEmpty(t, v.Requests)
	return v
}

// RunPipeVectors sends the vectors of a caller to a runtime and compares its answers. Its options are those of a
// runtime with the function echo, which answers {} to {}, and without server.message.
func RunPipeVectors(t *testing.T, o Options) {
	v := LoadPipeVectors(t)
	o.Pipe = true
	files := map[string]string{}
	for name, content := range o.Files {
		files[name] = content
	}
	files[Config] += fmt.Sprintf("\nserver: {message: {length: {max: %d}}}\n", v.Limit)
	o.Files = files
	r := Start(t, o)
	for _, h := range v.Hello {
		t.Run("hello: "+h.Name, func(t *testing.T) {
			c := connect(t, r)
			c.write(t, h.Send)
			if h.Pipe {
				c.welcome(t)
				c.probe(t)
				return
			}
			c.close(t)
			answer, _ := io.ReadAll(c) // it may as well break the connection
			require.False(t, bytes.HasPrefix(answer, []byte(function.Hello)), "%q", answer)
		})
	}
	for _, request := range v.Requests {
		t.Run(request.Name, func(t *testing.T) { testRequest(t, r, request) })
	}
	t.Run("cut at each byte", func(t *testing.T) {
		whole := append([]byte(function.Hello), bytes.Join(v.request("every field"), nil)...)
		for n := range len(whole) {
			c := connect(t, r)
			c.write(t, []Hex{whole[:n]})
			c.close(t)
			answer, _ := io.ReadAll(c)
			require.LessOrEqual(t, len(answer), len(function.Hello)+4, "an answer after %d bytes", n)
		}
	})
	c := connect(t, r)
	c.write(t, []Hex{Hex(function.Hello)})
	c.welcome(t)
	c.probe(t) // after all of this the instance is sound
}

func testRequest(t *testing.T, r *Runtime, request PipeCase) {
	c := connect(t, r)
	c.write(t, []Hex{Hex(function.Hello)})
	c.welcome(t)
	c.write(t, request.Send)
	left := map[uint32]PipeFrame{}
	for _, f := range request.Answers {
		left[f.Call] = f
	}
	for range request.Answers {
		got := c.frame(t)
		want, ok := left[got.Call]
		require.True(t, ok, "an answer to call %d that was not made, or a second one: %+v", got.Call, got)
		delete(left, got.Call)
		assert.Equal(t, want.Code, uint8(got.Code), "code of call %d: %s", got.Call, got.Body)
		if want.Message == nil {
			assert.True(t, bytes.HasPrefix(got.Body, []byte(want.Detail)), "detail of call %d: %q", got.Call, got.Body)
			continue
		}
		wanted, message := want.Decode(t), new(function.FunctionMessage)
		require.NoError(t, proto.Unmarshal(got.Body, message))
		message.ProtoReflect().SetUnknown(nil)
		assert.True(t, proto.Equal(wanted, message), "want %v, got %v", wanted, message)
	}
	if request.Ends {
		n, err := io.Copy(io.Discard, c)
		require.Zero(t, n)
		require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the connection is open")
		return
	}
	c.probe(t)
}

// Decode returns the message.
func (f PipeFrame) Decode(t testing.TB) *function.FunctionMessage {
	t.Helper()
	m := new(function.FunctionMessage)
	require.NoError(t, protojson.Unmarshal(f.Message, m))
	return m
}

func (v PipeVectors) request(name string) (chunks [][]byte) {
	for _, c := range v.Requests {
		if c.Name == name {
			for _, b := range c.Send {
				chunks = append(chunks, b)
			}
		}
	}
	return chunks
}

// pipeConn is the caller's end, byte by byte.
type pipeConn struct{ *net.TCPConn }

func connect(t *testing.T, r *Runtime) pipeConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", r.Addr, deadline)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(deadline)))
	return pipeConn{conn.(*net.TCPConn)}
}

// write sends each chunk by itself. A peer that has ended the connection already is seen when its answers are read.
func (c pipeConn) write(t *testing.T, chunks []Hex) {
	t.Helper()
	for _, b := range chunks {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// close ends what is sent.
func (c pipeConn) close(t *testing.T) {
	t.Helper()
	_ = c.CloseWrite() // fails where the peer was quicker
}

func (c pipeConn) welcome(t *testing.T) {
	t.Helper()
	b := make([]byte, len(function.Hello)+4)
	_, err := io.ReadFull(c, b)
	require.NoError(t, err)
	require.Equal(t, function.Hello, string(b[:len(function.Hello)]))
	require.NotZero(t, binary.BigEndian.Uint32(b[len(function.Hello):]))
}

func (c pipeConn) frame(t *testing.T) (f function.Frame) {
	t.Helper()
	var head [9]byte
	_, err := io.ReadFull(c, head[:])
	require.NoError(t, err)
	length := binary.BigEndian.Uint32(head[:])
	require.Less(t, length, uint32(1<<20))
	f = function.Frame{Call: binary.BigEndian.Uint32(head[4:]), Code: codes.Code(head[8]), Body: make([]byte, length)}
	_, err = io.ReadFull(c, f.Body)
	require.NoError(t, err)
	return f
}

// probe makes a call whose answer is known: the stream is still in step, and nothing else was answered.
func (c pipeConn) probe(t *testing.T) {
	t.Helper()
	const call = 0x70726f62
	_, err := c.Write([]byte("\x00\x00\x00\x00prob\x00"))
	require.NoError(t, err)
	f := c.frame(t)
	require.EqualValues(t, call, f.Call)
	require.Equal(t, "Exception calling application: function not found", string(f.Body))
}
