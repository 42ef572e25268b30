//go:build unix

package function_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/baetyl/baetyl/internal/functiontest"
	"github.com/baetyl/baetyl/protocol/function"
)

// script is a connection from which the chunks are read, one in each read, and then the end.
type script struct {
	net.Conn
	chunks [][]byte
}

func (s *script) Read(b []byte) (int, error) {
	for len(s.chunks) > 0 && len(s.chunks[0]) == 0 {
		s.chunks = s.chunks[1:]
	}
	if len(s.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.chunks[0])
	s.chunks[0] = s.chunks[0][n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error) { return len(b), nil }

func peer(chunks ...[]byte) net.Conn { return &script{chunks: chunks} }

func chunks(first string, more []functiontest.Hex) [][]byte {
	out := [][]byte{[]byte(first)}
	for _, c := range more {
		out = append(out, c)
	}
	return out
}

// runtimeEnd and callerEnd return the end of a pipe that reads the chunks.
func runtimeEnd(t *testing.T, limit int, c ...[]byte) *function.Pipe {
	p, _, err := function.Accept(peer(c...), "", 1, 0)
	require.NoError(t, err)
	require.NotNil(t, p)
	p.Max = limit
	return p
}

func callerEnd(t *testing.T, limit int, c ...[]byte) *function.Pipe {
	p, err := function.Dial(peer(c...), "")
	require.NoError(t, err)
	p.Max = limit
	return p
}

// testFrames reads frames until an error, which it returns.
func testFrames(t *testing.T, p *function.Pipe, want []functiontest.PipeFrame) (read int, err error) {
	for {
		f, err := p.Read()
		if err != nil {
			return read, err
		}
		require.Less(t, read, len(want), "one more: %+v", f)
		w := want[read]
		read++
		require.Equal(t, w.Call, f.Call)
		require.Equal(t, codes.Code(w.Code), f.Code)
		require.Equal(t, w.TooLarge, f.TooLarge)
		m := new(function.FunctionMessage)
		switch {
		case w.TooLarge > 0:
		case w.Code != 0:
			require.Equal(t, w.Detail, f.Detail())
		case w.Invalid:
			require.Error(t, proto.Unmarshal(f.Body, m))
		default:
			require.NoError(t, proto.Unmarshal(f.Body, m))
			m.ProtoReflect().SetUnknown(nil)
			require.True(t, proto.Equal(w.Decode(t), m), "want %s, got %v", w.Message, m)
		}
	}
}

func TestVectors(t *testing.T) {
	v := functiontest.LoadPipeVectors(t)
	for _, h := range v.Hello {
		p, read, err := function.Accept(peer(chunks("", h.Send)...), "", 1, 0)
		require.Equal(t, h.Pipe, p != nil, h.Name)
		require.NoError(t, err, h.Name)
		if !h.Pipe {
			require.Equal(t, []byte(h.Send[0]), read, h.Name)
		}
	}
	for _, w := range v.Welcome {
		p, err := function.Dial(peer(w.Receive), "")
		if w.Error != "" {
			require.ErrorIs(t, err, function.ErrNoPipe, w.Name)
			continue
		}
		require.NoError(t, err, w.Name)
		require.Equal(t, w.Concurrent, p.Concurrent, w.Name)
	}
	test := func(t *testing.T, p *function.Pipe, c functiontest.PipeCase) {
		read, err := testFrames(t, p, c.Frames)
		require.Equal(t, len(c.Frames), read)
		if c.Error == "" {
			require.ErrorIs(t, err, io.EOF)
			return
		}
		require.ErrorContains(t, err, c.Error)
	}
	for _, c := range v.Requests {
		t.Run("request: "+c.Name, func(t *testing.T) {
			test(t, runtimeEnd(t, v.Limit, chunks(function.Hello, c.Send)...), c)
		})
	}
	for _, c := range v.Answers {
		t.Run("answer: "+c.Name, func(t *testing.T) {
			test(t, callerEnd(t, v.Limit, chunks(function.Hello+"\x00\x00\x00\x01", c.Receive)...), c)
		})
	}
}

// A stream that is cut anywhere gives the frames that are whole, then an error.
func TestVectorsCut(t *testing.T) {
	v := functiontest.LoadPipeVectors(t)
	for _, c := range v.Requests {
		var all []byte
		for _, b := range c.Send {
			all = append(all, b...)
		}
		for n := range len(all) {
			read, err := testFrames(t, runtimeEnd(t, v.Limit, []byte(function.Hello), all[:n]), c.Frames)
			require.LessOrEqual(t, read, len(c.Frames), c.Name)
			if c.Error == "" {
				require.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), "%s, %d bytes: %v", c.Name, n, err)
				require.True(t, read < len(c.Frames) || len(c.Frames) == 0, "%s, %d bytes", c.Name, n)
			}
		}
	}
}

// What the vectors mean is written as they have it: read again it is the same.
func TestVectorsWritten(t *testing.T) {
	v := functiontest.LoadPipeVectors(t)
	for _, c := range append(v.Requests, v.Answers...) {
		var want []functiontest.PipeFrame
		caller, runtime := ends(t)
		for _, f := range c.Frames {
			if !f.Invalid && f.TooLarge == 0 {
				want = append(want, f)
			}
		}
		runtime.Max = v.Limit
		go func() {
			for _, f := range want {
				if f.Code != 0 {
					caller.SendCode(f.Call, codes.Code(f.Code), f.Detail)
				} else {
					caller.SendMessage(f.Call, f.Decode(t))
				}
			}
			caller.Close()
		}()
		read, _ := testFrames(t, runtime, want)
		require.Equal(t, len(want), read, c.Name)
	}
}
