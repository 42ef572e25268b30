package http

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"time"
)

// DialPrivate connects to the unix socket with that name in a folder where somebody else decides what is called so. No
// link is followed: whoever may make one there could lead this process, which may more, to another socket.
func DialPrivate(ctx context.Context, dir, name string) (net.Conn, error) {
	conn, err := dialPrivate(ctx, &net.Dialer{Timeout: 10 * time.Second}, dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w %s", ErrAbsent, name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("nobody listens at the socket %s", name)
	}
	return conn, err
}

// ErrAbsent is wrapped by the error of DialPrivate when there is nothing of that name.
var ErrAbsent = errors.New("there is no socket")

var errNoSocket = errors.New("it is no socket")
