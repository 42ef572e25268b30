package function_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/function"
)

const secret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// both runs the two sides of a hello at the ends of one connection. Each closes its end after an error.
func both(t *testing.T, dial, accept string) (caller, runtime *function.Pipe, callerErr, runtimeErr error) {
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		if runtime, _, runtimeErr = function.Accept(b, accept, 3, 64); runtime == nil {
			b.Close()
		}
	}()
	if caller, callerErr = function.Dial(a, dial); callerErr != nil {
		a.Close()
	}
	<-accepted
	return caller, runtime, callerErr, runtimeErr
}

func TestHello(t *testing.T) {
	caller, runtime, _, _ := both(t, secret, secret)
	for _, p := range []*function.Pipe{caller, runtime} {
		require.Equal(t, []int{2, 3, 64}, []int{p.Version, p.Concurrent, p.Queue})
	}
	caller, runtime, _, _ = both(t, "", "")
	for _, p := range []*function.Pipe{caller, runtime} {
		require.Equal(t, []int{1, 3, 0}, []int{p.Version, p.Concurrent, p.Queue})
	}

	_, _, callerErr, runtimeErr := both(t, strings.ToUpper(secret), secret)
	require.ErrorIs(t, callerErr, function.ErrNotProved)
	require.Error(t, runtimeErr)
	_, _, callerErr, runtimeErr = both(t, "", secret)
	require.ErrorIs(t, callerErr, function.ErrNoPipe)
	require.ErrorIs(t, runtimeErr, function.ErrNotProved)
	_, runtime, callerErr, runtimeErr = both(t, secret, "")
	require.ErrorIs(t, callerErr, function.ErrNoPipe)
	require.NoError(t, runtimeErr)
	require.Nil(t, runtime, "it is for gRPC, which refuses it")

	require.Len(t, function.NewSecret(), 64)
	require.NotEqual(t, function.NewSecret(), function.NewSecret())
}

// The bytes of hello 2, made here from their description.
func TestHelloBytes(t *testing.T) {
	mac := func(side string, nonces ...[]byte) []byte {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte(side))
		for _, n := range nonces {
			h.Write(n)
		}
		return h.Sum(nil)
	}
	a, b := net.Pipe()
	defer a.Close()
	accepted := make(chan error, 1)
	go func() { _, _, err := function.Accept(b, secret, 1, 0); accepted <- err }()
	nonce := []byte("0123456789abcdef")
	_, err := a.Write(append([]byte(function.Hello2), nonce...))
	require.NoError(t, err)
	answer := make([]byte, 24+4+4+16+32)
	_, err = io.ReadFull(a, answer)
	require.NoError(t, err)
	require.Equal(t, function.Hello2+"\x00\x00\x00\x01\x00\x00\x00\x00", string(answer[:32]))
	require.Equal(t, hex.EncodeToString(mac("runtime", nonce, answer[32:48])), hex.EncodeToString(answer[48:]))
	_, err = a.Write(mac("runtime", nonce, answer[32:48])) // its own proof sent back is none
	require.NoError(t, err)
	require.ErrorIs(t, <-accepted, function.ErrNotProved)
}

// A caller that repeats what it has heard of an earlier connection gets nothing, and neither does such a runtime.
func TestHelloReplayed(t *testing.T) {
	record := func() (said, heard []byte) {
		a, b := net.Pipe()
		done := make(chan struct{})
		go func() { defer close(done); function.Accept(b, secret, 1, 1) }()
		c := &recorder{Conn: a}
		_, err := function.Dial(c, secret)
		require.NoError(t, err)
		<-done
		return c.said, c.heard
	}
	said, heard := record()
	_, _, err := function.Accept(peer(said), secret, 1, 1)
	require.ErrorIs(t, err, function.ErrNotProved)
	_, err = function.Dial(peer(heard), secret)
	require.ErrorIs(t, err, function.ErrNotProved)
}

type recorder struct {
	net.Conn
	said, heard []byte
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.heard = append(r.heard, b[:n]...)
	return n, err
}

func (r *recorder) Write(b []byte) (int, error) {
	r.said = append(r.said, b...)
	return r.Conn.Write(b)
}

func FuzzHello(f *testing.F) {
	f.Add([]byte(function.Hello), "")
	f.Add([]byte(function.Hello2+strings.Repeat("n", 16)+strings.Repeat("p", 32)), secret)
	f.Add([]byte(function.Hello2+strings.Repeat("\xff", 8+16+32)), secret)
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		if p, _, _ := function.Accept(peer(data), key, 1, 1); key != "" {
			require.Nil(t, p, "nobody guesses a proof")
		}
		p, err := function.Dial(peer(data), key)
		require.Equal(t, err == nil, p != nil)
		if key != "" {
			require.Error(t, err)
		}
	})
}
