package engine

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strconv"

	"github.com/baetyl/baetyl/protocol/app"
)

// DialPort connects to the port of e, at the address that it names, by default at own: an IP address.
func DialPort(ctx context.Context, own string, e app.Endpoint) (net.Conn, error) {
	if e.Socket != "" {
		return nil, errors.New("the instance has no run folder with a unix socket; give a port")
	}
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(cmp.Or(e.Address, own), strconv.Itoa(e.Port)))
}
