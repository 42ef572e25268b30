package http

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"time"
)

// upgradeGrace is how long a server that ends lets its side of an upgraded connection send its last words.
const upgradeGrace = 2 * time.Second

// Upgraded is a connection that is no longer HTTP.
type Upgraded struct {
	net.Conn
	in *bufio.Reader
}

// Read implements io.Reader: at first comes what the client has sent behind its request.
func (u Upgraded) Read(p []byte) (int, error) { return u.in.Read(p) }

// ServeUpgrade answers r with a connection of that protocol, on which run speaks. The context of run has no time
// limit: it ends with the server, whose writes fail soon after that. That the client goes, run sees by reading. An
// error says that r asks for something else, and nothing was answered.
func ServeUpgrade(w nethttp.ResponseWriter, r *nethttp.Request, protocol string,
	run func(ctx context.Context, conn Upgraded)) error {
	if !hasToken(r.Header.Values("Connection"), "upgrade") || !hasToken(r.Header.Values("Upgrade"), protocol) {
		w.Header().Set("Upgrade", protocol)
		return Errorf(nethttp.StatusUpgradeRequired, "upgrade_required",
			"send the headers Connection: Upgrade and Upgrade: %s", protocol)
	}
	ctx := context.Background()
	release := func() {}
	if e, ok := r.Context().Value(endlessKey{}).(endless); ok {
		ctx = e.server
		e.conns.Add(1) // net/http forgets the connection, and Serve still waits for it
		release = e.conns.Done
	}
	defer release()
	conn, buf, err := nethttp.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("upgrade the connection: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{}) // fails as the writes will
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
	if err != nil {
		return nil // the client has gone
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Now().Add(upgradeGrace)) })()
	run(ctx, Upgraded{conn, buf.Reader})
	return nil
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for one := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(one), token) {
				return true
			}
		}
	}
	return false
}

// Upgrade asks for path by method, and returns the connection, which speaks that protocol from then on. It waits for
// the answer as long as for others; the connection has no time limit, and is the caller's to close.
func (c *Client) Upgrade(ctx context.Context, method, path, protocol string) (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	head := time.AfterFunc(c.cfg.Timeout, cancel)
	endless := c.http
	endless.Timeout = 0
	header := nethttp.Header{"Connection": {"Upgrade"}, "Upgrade": {protocol}}
	res, err := c.begin(ctx, &endless, method, path, header, nil)
	if !head.Stop() && err != nil {
		err = errors.Join(context.DeadlineExceeded, err)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	conn, ok := res.Body.(io.ReadWriteCloser)
	if res.StatusCode != nethttp.StatusSwitchingProtocols || !ok {
		cancel()
		_ = res.Body.Close()
		return nil, fmt.Errorf("the answer of %s is no connection of protocol %s", path, protocol)
	}
	return upgraded{conn, cancel}, nil
}

type upgraded struct {
	io.ReadWriteCloser
	cancel context.CancelFunc
}

func (u upgraded) Close() error {
	u.cancel()
	return u.ReadWriteCloser.Close()
}
