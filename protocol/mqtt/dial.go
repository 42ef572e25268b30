package mqtt

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/256dpi/gomqtt/transport"
	"github.com/gorilla/websocket"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/cert"
)

// carrier is the stream under a transport.Conn. Closing it interrupts a Send or Receive that hangs, which closing the
// transport.Conn does not.
type carrier interface {
	Close() error
}

// activity records when bytes last came in, so that a large packet on a slow line keeps the connection up before it is
// complete.
type activity struct {
	net.Conn
	last *atomic.Int64 // nanoseconds since the start of the Client's clock
	bulk *atomic.Int64 // the same for reads of bulkRead and more
	now  func() time.Duration
}

// bulkRead is the number of bytes that a read must bring to be more than the answer to a ping, with TLS around it.
const bulkRead = 128

func (a activity) Read(b []byte) (int, error) {
	n, err := a.Conn.Read(b)
	if n > 0 {
		now := int64(a.now())
		a.last.Store(now)
		if n >= bulkRead {
			a.bulk.Store(now)
		}
	}
	return n, err
}

// dial opens the stream to cfg.Address, TLS and websocket handshakes included. The end of ctx interrupts it.
func dial(ctx context.Context, cfg ClientInfo, watch func(net.Conn) net.Conn) (transport.Conn, carrier, error) {
	e, err := endpoint(cfg.Address)
	if err != nil {
		return nil, nil, fmt.Errorf("address: %w", err)
	}
	var secrets *tls.Config
	if e.Secure() {
		// Read at each attempt: a renewed certificate needs no restart.
		if secrets, err = cert.Client(cfg.certificates()); err != nil {
			return nil, nil, err
		}
	}
	open := func(ctx context.Context, network, host string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return watch(c), nil
	}
	if e.Web() {
		return dialWeb(ctx, e, secrets, open)
	}
	c, err := open(ctx, "tcp", e.Host)
	if err != nil {
		return nil, nil, err
	}
	if e.Secure() {
		secrets.ServerName, _, _ = net.SplitHostPort(e.Host)
		t := tls.Client(c, secrets)
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, nil, fmt.Errorf("TLS handshake: %w", err)
		}
		c = t
	}
	return transport.NewNetConn(c), c, nil
}

func dialWeb(
	ctx context.Context,
	e addr.Address,
	secrets *tls.Config,
	open func(context.Context, string, string) (net.Conn, error),
) (transport.Conn, carrier, error) {
	d := websocket.Dialer{
		NetDialContext:  open,
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: secrets,
		Subprotocols:    []string{"mqtt"}, // [MQTT-6.0.0-3]
	}
	scheme := "ws://"
	if e.Secure() {
		scheme = "wss://"
	}
	c, resp, err := d.DialContext(ctx, scheme+e.Host+e.Path, nil) //nolint:bodyclose // the dialer has read and closed it
	if err != nil {
		if resp != nil {
			return nil, nil, fmt.Errorf("websocket handshake: %w: status %s", err, resp.Status)
		}
		return nil, nil, fmt.Errorf("websocket handshake: %w", err)
	}
	return transport.NewWebSocketConn(c), c, nil
}
