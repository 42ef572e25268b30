package function_test

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/baetyl/baetyl/protocol/function"
)

func ends(t *testing.T) (caller, runtime *function.Pipe) {
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	accepted := make(chan *function.Pipe)
	go func() {
		p, _, _ := function.Accept(b, "", 7, 0)
		accepted <- p
	}()
	caller, err := function.Dial(a, "")
	require.NoError(t, err)
	runtime = <-accepted
	require.NotNil(t, runtime)
	require.Equal(t, 7, caller.Concurrent)
	return caller, runtime
}

func TestPipe(t *testing.T) {
	caller, runtime := ends(t)
	runtime.Max = 1000
	var senders sync.WaitGroup
	for i := range uint32(100) { // frames from many goroutines stay whole
		senders.Go(func() {
			if i%2 == 0 {
				caller.SendMessage(i, &function.FunctionMessage{ID: uint64(i), Payload: bytes.Repeat([]byte{'x'}, int(i))})
			} else {
				caller.SendCode(i, codes.Canceled, strings.Repeat("d", int(i)))
			}
		})
	}
	for range 100 {
		f, err := runtime.Read()
		require.NoError(t, err)
		if f.Call%2 == 1 {
			require.Equal(t, codes.Canceled, f.Code)
			require.Equal(t, strings.Repeat("d", int(f.Call)), string(f.Body))
			continue
		}
		var m function.FunctionMessage
		require.NoError(t, proto.Unmarshal(f.Body, &m))
		require.Equal(t, uint64(f.Call), m.ID)
		require.Len(t, m.Payload, int(f.Call))
	}
	senders.Wait()

	// A message that is too large for one side harms nothing.
	err := runtime.SendMessage(1, &function.FunctionMessage{Payload: make([]byte, 1000)})
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	require.ErrorContains(t, err, "larger than max (1003 vs. 1000)")
	go func() {
		caller.SendMessage(5, &function.FunctionMessage{Payload: make([]byte, 100000)})
		caller.SendCode(6, codes.OK, "")
	}()
	f, err := runtime.Read()
	require.NoError(t, err)
	require.Equal(t, function.Frame{Call: 5, TooLarge: 100004}, f)
	f, err = runtime.Read()
	require.NoError(t, err)
	require.Equal(t, uint32(6), f.Call)
}

func TestPipeWithSomethingElse(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	a, b := net.Pipe()
	go a.Write([]byte(preface + "more"))
	p, read, err := function.Accept(b, "", 1, 0)
	require.NoError(t, err)
	require.Nil(t, p)
	require.Equal(t, preface+"more", string(read))
	a.Close()
	_, _, err = function.Accept(b, "", 1, 0)
	require.Error(t, err)

	for _, answer := range []string{"", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"} {
		a, b := net.Pipe()
		go func() {
			b.Read(make([]byte, 100))
			b.Write([]byte(answer))
			b.Close()
		}()
		_, err := function.Dial(a, "")
		require.ErrorIs(t, err, function.ErrNoPipe)
	}
	slow, silent := net.Pipe()
	defer silent.Close()
	go silent.Read(make([]byte, 100))
	require.NoError(t, slow.SetDeadline(time.Now().Add(10*time.Millisecond)))
	_, err = function.Dial(slow, "")
	require.Error(t, err)
	require.NotErrorIs(t, err, function.ErrNoPipe, "silence may be a slow start")
}

// A peer that does not read holds up its caller for the timeout, then the pipe is at its end.
func TestPipeThatIsNotRead(t *testing.T) {
	caller, _ := ends(t)
	caller.Timeout = 10 * time.Millisecond
	require.Error(t, caller.SendCode(1, codes.OK, "x"))
	require.Error(t, caller.SendCode(2, codes.OK, "x"))
	_, err := caller.Read()
	require.Error(t, err)
}

func FuzzPipe(f *testing.F) {
	f.Add([]byte(function.Hello))
	f.Add([]byte(function.Hello + "\x00\x00\x00\x02\x00\x00\x00\x01\x00\x08\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01"))
	f.Add([]byte(function.Hello + "\xff\xff\xff\xff\x00\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		go func() { a.Write(data); a.Close() }()
		go func() {
			for read := make([]byte, 100); ; {
				if _, err := a.Read(read); err != nil {
					return
				}
			}
		}()
		p, _, err := function.Accept(b, "", 1, 0)
		if err != nil || p == nil {
			return
		}
		p.Max = 1000
		for {
			f, err := p.Read()
			if err != nil {
				return
			}
			require.LessOrEqual(t, len(f.Body), 1000)
			_ = proto.Unmarshal(f.Body, &function.FunctionMessage{})
		}
	})
}
