package function_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	protocol "github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

const secret = "0123456789abcdef"

// runtime is the other end of a client's pipe, in the hands of the test.
func runtime(t *testing.T, network string, timeout time.Duration, concurrent, queue int) (
	*function.Client, *protocol.Pipe,
) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/s"
	}
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	accepted := make(chan *protocol.Pipe, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		p, _, _ := protocol.Accept(conn, secret, concurrent, queue)
		accepted <- p
	}()
	address = l.Addr().String()
	if network == "unix" {
		address = "unix:" + address
	}
	c, err := function.NewClient(function.ClientConfig{Address: address, Timeout: timeout, Pipe: true, Secret: secret})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.Connect(t.Context()))
	p := <-accepted
	require.NotNil(t, p)
	return c, p
}

type ended struct {
	call   string
	answer function.Answer
}

// begin begins calls; what comes of them arrives in the channel.
func begin(c *function.Client, n int) chan ended {
	out := make(chan ended, n)
	for i := range n {
		name := fmt.Sprint(i)
		c.Begin(&function.Message{FunctionName: name}, func(a function.Answer) { out <- ended{name, a} })
	}
	return out
}

func take(t *testing.T, p *protocol.Pipe, name string) protocol.Frame {
	t.Helper()
	f, err := p.Read()
	require.NoError(t, err)
	m := new(function.Message)
	require.NoError(t, proto.Unmarshal(f.Body, m))
	require.Equal(t, name, m.FunctionName, "calls come in the order of Begin")
	return f
}

// Those that the runtime had begun may have ended it; those that waited in it did not.
func TestWhatHadBegun(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		c, p := runtime(t, network, time.Minute, 2, 3)
		require.True(t, c.Protected())
		require.Equal(t, 2, c.Concurrent())
		require.Equal(t, 3, c.Queue())
		out := begin(c, 5)
		for i := range 5 {
			f := take(t, p, fmt.Sprint(i))
			if i == 0 {
				require.NoError(t, p.SendMessage(f.Call, &function.Message{Payload: []byte("x")}))
			}
		}
		first := <-out
		require.Equal(t, "0", first.call)
		require.Equal(t, []byte("x"), first.answer.Message.GetPayload())
		p.Close()
		for i := 1; i < 5; i++ {
			e := <-out
			require.Equal(t, fmt.Sprint(i), e.call, "in their order")
			require.Equal(t, codes.Unavailable, status.Code(e.answer.Err))
			require.Equal(t, i > 2, errors.Is(e.answer.Err, function.ErrNotBegun), "call %d: %v", i, e.answer.Err)
		}
		c.Begin(&function.Message{}, func(a function.Answer) { out <- ended{"late", a} })
		require.ErrorIs(t, (<-out).answer.Err, function.ErrNotBegun)
		require.True(t, c.Lost(t.Context()))
	}
}

// A call that is not answered in time ends the connection; those behind it had not begun.
func TestHungRuntime(t *testing.T) {
	c, _ := runtime(t, "unix", 50*time.Millisecond, 1, 64)
	out := begin(c, 3)
	require.Equal(t, codes.DeadlineExceeded, status.Code((<-out).answer.Err))
	require.ErrorIs(t, (<-out).answer.Err, function.ErrNotBegun)
	require.ErrorIs(t, (<-out).answer.Err, function.ErrNotBegun)
}

// The timeout of a call does not count while it waits in the runtime.
func TestTimeoutFromTheBegin(t *testing.T) {
	const timeout = time.Second
	c, p := runtime(t, "tcp", timeout, 1, 64)
	began := time.Now()
	out := begin(c, 4)
	for i := range 4 {
		f := take(t, p, fmt.Sprint(i))
		time.Sleep(2 * timeout / 5) // the work of a call
		require.NoError(t, p.SendMessage(f.Call, &function.Message{}))
	}
	for range 4 {
		a := (<-out).answer
		require.NoError(t, a.Err)
		require.Less(t, a.Took, timeout)
	}
	require.Greater(t, time.Since(began), timeout)
}

// A message above the limit fails alone.
func TestTooLargeAmongOthers(t *testing.T) {
	c, p := runtime(t, "tcp", time.Minute, 1, 64)
	large, small := make(chan function.Answer, 1), make(chan function.Answer, 1)
	c.Begin(&function.Message{Payload: make([]byte, 5<<20)}, func(a function.Answer) { large <- a })
	c.Begin(&function.Message{FunctionName: "small"}, func(a function.Answer) { small <- a })
	require.Equal(t, codes.ResourceExhausted, status.Code((<-large).Err))
	f := take(t, p, "small")
	require.NoError(t, p.SendCode(f.Call, codes.Unknown, "no"))
	require.Equal(t, codes.Unknown, status.Code((<-small).Err))
}
