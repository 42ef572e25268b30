package function

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
)

// Hello and Hello2 are what both sides of a pipe send first. Each is as long as the preface of HTTP/2, so that a server
// can tell a pipe from gRPC after that many bytes, and a gRPC server refuses it at once. Hello, of version 1, is for an
// instance without a secret: the function manager or the runtime is older than that, or a person has started it.
const (
	Hello  = "BAETYL-FUNCTION-PIPE/1\r\n"
	Hello2 = "BAETYL-FUNCTION-PIPE/2\r\n"
)

// Errors of a hello.
var (
	// ErrNoPipe is what Dial returns when the other side speaks something else: an older version, or gRPC.
	ErrNoPipe = errors.New("the other side has no pipe")
	// ErrNotProved is what Dial and Accept return when the other side does not know the secret of the instance. It may be
	// an impostor, so a caller must not try a hello without a secret after it.
	ErrNotProved = errors.New("the other side does not know the secret of the instance")
)

const (
	helloSize = len(Hello) // and len(Hello2)
	nonceSize = 16
	proofSize = sha256.Size
)

// numberMax is the highest number of calls that a runtime may announce; sums of it fit into 32 bits.
const numberMax = 1 << 20

// SecretMetadata is the key of the gRPC metadata that carries the secret of the instance, for runtimes without a pipe.
const SecretMetadata = "baetyl-instance-secret"

// NewSecret returns a new secret of an instance: 64 hexadecimal digits, 32 random bytes.
func NewSecret() string { return hex.EncodeToString(random(32)) }

// Dial turns a connection into the caller's end of a pipe. With a secret it says hello 2, in which both sides prove
// that they know it; without one, hello 1. After ErrNoPipe the other side may know hello 1, on a new connection; after
// ErrNotProved it must get nothing. Dial ends with the deadline of the connection, and does not close it.
func Dial(conn net.Conn, secret string) (*Pipe, error) {
	in := bufio.NewReaderSize(conn, 64<<10)
	if secret == "" {
		numbers, err := exchange(conn, in, []byte(Hello), Hello, 4)
		if err != nil {
			return nil, err
		}
		return newPipe(conn, in, 1, number(numbers), 0), nil
	}
	mine := random(nonceSize)
	answer, err := exchange(conn, in, append([]byte(Hello2), mine...), Hello2, 8+nonceSize+proofSize)
	if err != nil {
		return nil, err
	}
	theirs := answer[8 : 8+nonceSize]
	if !hmac.Equal(answer[8+nonceSize:], proof(secret, "runtime", mine, theirs)) {
		return nil, ErrNotProved
	}
	if _, err := conn.Write(proof(secret, "caller", mine, theirs)); err != nil {
		return nil, err
	}
	return newPipe(conn, in, 2, number(answer), number(answer[4:])), nil
}

// exchange sends what the caller says first, and returns the size bytes that follow the hello in the answer.
func exchange(conn net.Conn, in io.Reader, say []byte, hello string, size int) ([]byte, error) {
	if _, err := conn.Write(say); err != nil {
		return nil, orNoPipe(err)
	}
	answer := make([]byte, helloSize+size)
	if n, err := io.ReadFull(in, answer[:helloSize]); err != nil {
		return nil, orNoPipe(fmt.Errorf("%w after %d bytes", err, n))
	}
	if string(answer[:helloSize]) != hello {
		return nil, ErrNoPipe
	}
	if _, err := io.ReadFull(in, answer[helloSize:]); err != nil {
		return nil, orNoPipe(err)
	}
	return answer[helloSize:], nil
}

// orNoPipe keeps the end of a deadline, which may be a slow start, and takes all else for the other side's refusal.
func orNoPipe(err error) error {
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	return ErrNoPipe
}

// Accept turns a connection into the runtime's end of a pipe, or returns what was read when the caller speaks something
// else, as gRPC. concurrent is how many calls at once the runtime handles, queue how many more may wait in it. With a
// secret only hello 2 is taken, and without one only hello 1. Accept ends with the deadline of the connection, and does
// not close it.
func Accept(conn net.Conn, secret string, concurrent, queue int) (*Pipe, []byte, error) {
	in := bufio.NewReaderSize(conn, 64<<10)
	first, err := in.Peek(helloSize)
	if err != nil {
		return nil, nil, err
	}
	switch hello := string(first); {
	case secret == "" && hello == Hello:
		_, _ = in.Discard(helloSize) // never fails: it was peeked
		if _, err := conn.Write(binary.BigEndian.AppendUint32([]byte(Hello), uint32(concurrent))); err != nil {
			return nil, nil, err
		}
		return newPipe(conn, in, 1, concurrent, 0), nil, nil
	case secret != "" && hello == Hello2:
		if err := prove(conn, in, secret, concurrent, queue); err != nil {
			return nil, nil, err
		}
		return newPipe(conn, in, 2, concurrent, queue), nil, nil
	case secret != "" && hello == Hello:
		return nil, nil, ErrNotProved
	}
	read, err := in.Peek(in.Buffered())
	return nil, read, err
}

// prove is the runtime's side of hello 2.
func prove(conn net.Conn, in io.Reader, secret string, concurrent, queue int) error {
	var hello [helloSize + nonceSize]byte
	if _, err := io.ReadFull(in, hello[:]); err != nil {
		return err
	}
	theirs, mine := hello[helloSize:], random(nonceSize)
	answer := binary.BigEndian.AppendUint32([]byte(Hello2), uint32(concurrent))
	answer = append(binary.BigEndian.AppendUint32(answer, uint32(queue)), mine...)
	if _, err := conn.Write(append(answer, proof(secret, "runtime", theirs, mine)...)); err != nil {
		return err
	}
	var got [proofSize]byte
	if _, err := io.ReadFull(in, got[:]); err != nil {
		return err
	}
	if !hmac.Equal(got[:], proof(secret, "caller", theirs, mine)) {
		return ErrNotProved
	}
	return nil
}

// proof of side: only who knows the secret can make it, and only for this connection.
func proof(secret, side string, caller, runtime []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(h, side) // a hash takes everything
	_, _ = h.Write(caller)
	_, _ = h.Write(runtime)
	return h.Sum(nil)
}

func number(b []byte) int { return int(min(binary.BigEndian.Uint32(b), numberMax)) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}
