//go:build unix

package native

import (
	"context"
	"net"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
)

// Dial connects to a port of the host, which is the instance's network, or to a socket in its private folder.
func (i *instance) Dial(ctx context.Context, e app.Endpoint) (net.Conn, error) {
	if e.Socket != "" && i.private != "" {
		return http.DialPrivate(ctx, i.private, e.Socket)
	}
	return engine.DialPort(ctx, "127.0.0.1", e)
}
