package function_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	protocol "github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/conf"
)

func echo(_ context.Context, m *function.Message) (*function.Message, error) { return m, nil }

// Who does not know the secret of an instance gets no call, and a caller that knows it takes no answer of who does not.
func TestSecret(t *testing.T) {
	secret := protocol.NewSecret()
	address, _ := serve(t, function.ServerConfig{Secret: conf.Secret(secret)}, echo)
	for name, c := range map[string]struct {
		cfg  function.ClientConfig
		want codes.Code
	}{
		"pipe":              {function.ClientConfig{Secret: conf.Secret(secret), Pipe: true}, codes.OK},
		"grpc":              {function.ClientConfig{Secret: conf.Secret(secret)}, codes.OK},
		"grpc without":      {function.ClientConfig{}, codes.Unauthenticated},
		"grpc with another": {function.ClientConfig{Secret: conf.Secret(secret[1:] + "0")}, codes.Unauthenticated},
		"pipe without":      {function.ClientConfig{Pipe: true}, codes.Unauthenticated}, // refused, and gRPC is too
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Address = address
			client := connect(t, c.cfg)
			require.NoError(t, client.Connect(t.Context()))
			_, err := client.Call(t.Context(), &function.Message{Payload: []byte("x")})
			require.Equal(t, c.want, status.Code(err), "%v", err)
			require.Equal(t, string(c.cfg.Secret) == secret, client.Protected() && c.want == codes.OK)
		})
	}
	impostor := connect(t, function.ClientConfig{Address: address, Secret: conf.Secret(protocol.NewSecret()), Pipe: true})
	require.ErrorIs(t, impostor.Connect(t.Context()), protocol.ErrNotProved)

	// Without a secret, everybody may call. The channel says so.
	address, _ = serve(t, function.ServerConfig{}, echo)
	for _, pipe := range []bool{true, false} {
		client := connect(t, function.ClientConfig{Address: address, Secret: conf.Secret(secret), Pipe: pipe})
		require.NoError(t, client.Connect(t.Context()))
		_, err := client.Call(t.Context(), &function.Message{})
		require.NoError(t, err, "an older runtime takes hello 1")
		require.False(t, client.Protected())
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := net.Listen("unix", path) // as an instance that was killed leaves it
	require.NoError(t, err)
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, left.Close())
	s := function.NewServer(function.ServerConfig{Address: "unix:" + path, Secret: "s"}, echo)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	for _, pipe := range []bool{true, false} {
		c := connect(t, function.ClientConfig{Address: "unix:" + path, Secret: "s", Pipe: pipe})
		require.NoError(t, c.Connect(t.Context()))
		_, err := c.Call(t.Context(), &function.Message{})
		require.NoError(t, err)
		require.True(t, c.Protected())
	}
	cancel()
	require.NoError(t, <-ended)

	require.NoError(t, os.WriteFile(path, nil, 0o600))
	err = function.NewServer(function.ServerConfig{Address: "unix:" + path}, nil).Listen()
	require.EqualError(t, err, "listen for function calls: "+path+" is no socket; remove it, or use another path")
}

// Connections that say nothing, or that speak gRPC without the secret, keep nobody from calling.
func TestStrangers(t *testing.T) {
	secret := protocol.NewSecret()
	address, _ := serve(t, function.ServerConfig{Secret: conf.Secret(secret)}, echo)
	first := connect(t, function.ClientConfig{Address: address, Secret: conf.Secret(secret), Pipe: true})
	require.NoError(t, first.Connect(t.Context()))
	var silent []net.Conn
	for i := range 300 {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		defer conn.Close()
		if i%2 == 0 {
			_, err = conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
			require.NoError(t, err)
		}
		silent = append(silent, conn)
	}
	second := connect(t, function.ClientConfig{Address: address, Secret: conf.Secret(secret), Pipe: true})
	require.NoError(t, second.Connect(t.Context()))
	for _, c := range []*function.Client{first, second} {
		_, err := c.Call(t.Context(), &function.Message{})
		require.NoError(t, err)
	}
	require.NoError(t, silent[0].SetReadDeadline(time.Now().Add(time.Minute)))
	for _, err := error(nil), error(nil); err == nil; {
		_, err = silent[0].Read(make([]byte, 1000))
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the one that has waited longest has ended")
	}
}

// Calls begin in their order, as many at once as the runtime says. One that is canceled while it waits is answered at
// once and never begins, and there is an end to how many wait.
func TestCallsWait(t *testing.T) {
	var mu sync.Mutex
	var began []string
	gate := make(chan struct{})
	address, _ := serve(t, function.ServerConfig{Secret: "s"},
		func(_ context.Context, m *function.Message) (*function.Message, error) {
			mu.Lock()
			began = append(began, string(m.Payload))
			mu.Unlock()
			<-gate
			return m, nil
		})
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	p, err := protocol.Dial(conn, "s")
	require.NoError(t, err)
	defer p.Close()
	require.Equal(t, []int{1, 64}, []int{p.Concurrent, p.Queue})
	var want []string
	for i := range uint32(66) { // one runs, 64 wait, one is too many
		payload := fmt.Sprint(i)
		require.NoError(t, p.SendMessage(i, &function.Message{Payload: []byte(payload)}))
		if i != 7 && i != 65 {
			want = append(want, payload)
		}
	}
	f, err := p.Read()
	require.NoError(t, err)
	require.Equal(t, []uint32{65, uint32(codes.ResourceExhausted)}, []uint32{f.Call, uint32(f.Code)})
	require.NoError(t, p.SendCode(7, codes.Canceled, ""))
	f, err = p.Read()
	require.NoError(t, err)
	require.Equal(t, []uint32{7, uint32(codes.Canceled)}, []uint32{f.Call, uint32(f.Code)})
	close(gate)
	for range want {
		f, err = p.Read()
		require.NoError(t, err)
		require.Equal(t, codes.OK, f.Code)
	}
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, want, began)
}

// What waits is limited in bytes: the runtime reads no more until there is room.
func TestCallsThatWaitAreLimitedInBytes(t *testing.T) {
	gate := make(chan struct{})
	// The buffers of a unix socket have one size everywhere; those of TCP grow as far as the host lets them.
	path := filepath.Join(t.TempDir(), "s")
	serve(t, function.ServerConfig{Secret: "s", Address: "unix:" + path},
		func(_ context.Context, m *function.Message) (*function.Message, error) {
			<-gate
			return new(function.Message), nil
		})
	t.Cleanup(func() { close(gate) }) // before the server is stopped
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	p, err := protocol.Dial(conn, "s")
	require.NoError(t, err)
	defer p.Close()
	p.Timeout = 500 * time.Millisecond
	large := &function.Message{Payload: make([]byte, 3<<20)}
	sent := 0
	for ; err == nil && sent < 40; sent++ {
		err = p.SendMessage(uint32(sent), large)
	}
	require.True(t, errors.Is(err, os.ErrDeadlineExceeded), "%v", err)
	require.Less(t, sent, 6, "of 3 MiB each: one runs, two wait, the next one is under way")
}

// Several at once is what the function manager asks for; server.concurrent.max and server.workers.max limit it.
func TestAtOnce(t *testing.T) {
	for _, c := range []struct{ announced, workers, concurrent, want int }{
		{0, 0, 0, 1}, {10, 0, 0, 10}, {10, 4, 0, 4}, {10, 4, 3, 3}, {2, 4, 3, 2},
	} {
		cfg := function.ServerConfig{Secret: "s", Announced: c.announced}
		cfg.Workers.Max, cfg.Concurrent.Max = c.workers, uint32(c.concurrent)
		var mu sync.Mutex
		now, most := 0, []int{}
		address, _ := serve(t, cfg, func(_ context.Context, m *function.Message) (*function.Message, error) {
			mu.Lock()
			now++
			most = append(most, now)
			mu.Unlock()
			defer func() { mu.Lock(); now--; mu.Unlock() }()
			return m, nil
		})
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		p, err := protocol.Dial(conn, "s")
		require.NoError(t, err)
		require.Equal(t, c.want, p.Concurrent)
		for i := range uint32(50) {
			require.NoError(t, p.SendMessage(i, &function.Message{}))
		}
		for range 50 {
			_, err := p.Read()
			require.NoError(t, err)
		}
		require.LessOrEqual(t, slices.Max(most), c.want)
		p.Close()
	}
}
