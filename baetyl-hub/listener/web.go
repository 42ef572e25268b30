package listener

import (
	"bytes"
	"context"
	"errors"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/baetyl/baetyl/utils/log"
)

// serveWeb answers HTTP requests with a WebSocket. It ignores the path of the request, as earlier versions of Baetyl
// did.
func (s *Set) serveWeb(ctx context.Context, e *entry) error {
	upgrader := websocket.Upgrader{
		HandshakeTimeout: s.o.Handshake,
		Subprotocols:     []string{"mqtt", "mqttv3.1"}, // [MQTT-6.0.0-4]; a client need not ask for one
		CheckOrigin:      s.originAllowed,
		ReadBufferSize:   1 << 10, WriteBufferSize: 1 << 10,
	}
	server := &http.Server{
		// These are for requests that do not become a WebSocket: Upgrade ends them.
		ReadTimeout:    s.o.Handshake,
		WriteTimeout:   s.o.Handshake,
		IdleTimeout:    s.o.Handshake,
		ErrorLog:       stdlog.New(httpLog{s.o.Log}, "", 0),
		MaxHeaderBytes: 16 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ws, err := upgrader.Upgrade(w, r, nil) // answers the request itself if it fails
			if err != nil {
				s.o.Log.WithError(err).WithField(log.KeyAddress, r.RemoteAddr).Infof("WebSocket handshake failed")
				return
			}
			// No read limit: a WebSocket message is read as a stream and may hold many packets.
			s.identify(ws.NetConn(), r.TLS)
			s.handler(&webConn{Conn: ws}, verified(r.TLS))
		}),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(e.Listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// httpLog is the error log of net/http, which reports failed handshakes.
type httpLog struct{ log log.Logger }

func (l httpLog) Write(line []byte) (int, error) {
	l.log.Infof("%s", bytes.TrimSpace(line))
	return len(line), nil
}

// webConn makes the binary messages of a WebSocket a byte stream: MQTT packets may share messages or span them.
// [MQTT-6.0.0-2]
type webConn struct {
	*websocket.Conn
	message  io.Reader                 // rest of the current message
	deadline atomic.Pointer[time.Time] // of writes; nil: none
}

var errNotBinary = errors.New("WebSocket message is not binary") // [MQTT-6.0.0-1]

// Read implements net.Conn.
func (c *webConn) Read(b []byte) (int, error) {
	for {
		if c.message == nil {
			kind, r, err := c.NextReader()
			if err != nil {
				if websocket.IsCloseError(
					err,
					websocket.CloseNormalClosure,
					websocket.CloseGoingAway,
					websocket.CloseNoStatusReceived,
				) {
					err = io.EOF
				}
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errNotBinary
			}
			c.message = r
		}
		n, err := c.message.Read(b)
		if errors.Is(err, io.EOF) {
			c.message = nil
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write implements net.Conn: one message for each call.
func (c *webConn) Write(b []byte) (int, error) {
	if t := c.deadline.Load(); t != nil {
		_ = c.Conn.SetWriteDeadline(*t)
	}
	if err := c.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// SetWriteDeadline implements net.Conn. It may be called while another goroutine writes; websocket.Conn does not allow
// that. So Write sets the deadline of the websocket.Conn, and the connection below gets it at once.
func (c *webConn) SetWriteDeadline(t time.Time) error {
	c.deadline.Store(&t)
	return c.NetConn().SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *webConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

var _ net.Conn = (*webConn)(nil)
