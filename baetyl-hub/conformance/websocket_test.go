package conformance_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

const web = `
connection: {origins: ['https://app.example'], connect: {timeout: 3s}}
`

func withWeb(more string) string {
	const listeners = "['tcp://127.0.0.1:0', 'ws://127.0.0.1:0/mqtt', 'ws://127.0.0.1:0/other']"
	return strings.Replace(anyone, "['tcp://127.0.0.1:0']", listeners, 1) + more
}

func (b *broker) dialAt(listener int) *peer {
	b.t.Helper()
	conn, err := net.DialTimeout("tcp", b.addrs[listener], scriptTimeout)
	require.NoError(b.t, err)
	return newPeer(b.t, conn)
}

// webStream is the client's end of a WebSocket as a stream: a message for each Write.
type webStream struct {
	*websocket.Conn
	rest io.Reader
}

func (s *webStream) Read(b []byte) (int, error) {
	for {
		if s.rest == nil {
			kind, r, err := s.NextReader()
			if err != nil {
				if closed := new(websocket.CloseError); errors.As(err, &closed) {
					err = io.EOF
				}
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, fmt.Errorf("message of kind %d", kind)
			}
			s.rest = r
		}
		if n, err := s.rest.Read(b); n > 0 || err != io.EOF {
			return n, err
		}
		s.rest = nil
	}
}

func (s *webStream) Write(b []byte) (int, error) {
	return len(b), s.WriteMessage(websocket.BinaryMessage, b)
}

func (s *webStream) SetDeadline(t time.Time) error {
	_ = s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

// ws opens a WebSocket to the hub.
func (b *broker) ws(path string, header http.Header) (*peer, *http.Response, error) {
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: scriptTimeout}
	conn, answer, err := d.Dial("ws://"+b.addrs[1]+path, header)
	if err != nil {
		return nil, answer, err
	}
	return newPeer(b.t, &webStream{Conn: conn}), answer, nil
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	b := start(t, withWeb(""))
	for _, path := range []string{"/mqtt", "/", "/any"} { // documents and clients differ in the path
		p, answer, err := b.ws(path, nil)
		require.NoError(t, err)
		require.Equal(t, "mqtt", answer.Header.Get("Sec-WebSocket-Protocol"))
		p.send(hello("x", true))
		p.expect(packet.NewConnack())
		p.sub(2, "t")
		p.send(&packet.Publish{ID: 1, Message: message("t", "m", 1)})
		p.expect(&packet.Puback{ID: 1})
		p.want("t", "m", 1)
		p.bye()
	}
	// A client need not request the subprotocol.
	conn, answer, err := websocket.DefaultDialer.Dial("ws://"+b.addrs[1]+"/mqtt", nil)
	require.NoError(t, err)
	require.Empty(t, answer.Header.Get("Sec-WebSocket-Protocol"))
	p := newPeer(t, &webStream{Conn: conn})
	p.send(hello("x", true))
	p.expect(packet.NewConnack())
}

// One packet in many WebSocket messages, many packets in one message, empty messages, pings between them.
func TestWebSocketIsAStream(t *testing.T) {
	t.Parallel()
	b := start(t, withWeb(""))
	p, _, err := b.ws("/mqtt", nil)
	require.NoError(t, err)
	ws := p.conn.(*webStream)
	for _, c := range encode(t, hello("x", true)) {
		p.raw([]byte{c})
		p.raw(nil)
	}
	require.NoError(t, ws.WriteControl(websocket.PingMessage, []byte("x"), time.Now().Add(scriptTimeout)))
	p.expect(packet.NewConnack())
	p.sub(1, "t")
	// message.length.max limits packets, not WebSocket messages.
	var all []packet.Generic
	payload := strings.Repeat("x", 1000)
	for i := range 90 {
		all = append(all, &packet.Publish{ID: packet.ID(i + 1), Message: message("u", payload, 1)})
	}
	p.raw(append(encode(t, all...), encode(t, packet.NewPingreq())[0])) // and the first byte of the next one
	for i := range 90 {
		p.expect(&packet.Puback{ID: packet.ID(i + 1)})
	}
	p.raw([]byte{0})
	p.expect(packet.NewPingresp())
	p.raw(frame(0x30, str("t"), bytes.Repeat([]byte{'x'}, 33000)))
	p.end()
}

func TestWebSocketTextMessageCloses(t *testing.T) {
	t.Parallel()
	b := start(t, withWeb(""))
	for _, connected := range []bool{true, false} {
		p, _, err := b.ws("/mqtt", nil)
		require.NoError(t, err)
		if connected {
			p.send(hello("x", true))
			p.expect(packet.NewConnack())
		}
		require.NoError(t, p.conn.(*webStream).WriteMessage(websocket.TextMessage, encode(t, hello("x", true))))
		p.end()
	}
	eventually(t, "the connections' end", func() bool { return b.stat("connections") == 0 })
}

// A web page of another host is let in only if it is configured.
func TestWebSocketOrigin(t *testing.T) {
	t.Parallel()
	b := start(t, withWeb(web))
	host := b.addrs[1]
	for origin, want := range map[string]bool{
		"":                             true, // not a web page
		"http://" + host:               true,
		"https://" + host:              true,
		"https://app.example":          true,
		"HTTPS://APP.example":          true,
		"http://app.example":           false,
		"https://app.example.evil":     false,
		"https://evil/" + host:         false,
		"https://evil":                 false,
		"null":                         false,
		"https://app.example@evil":     false,
		"https://" + host + "@evil":    false,
		"https://evil#https://" + host: false,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		_, answer, err := b.ws("/mqtt", header)
		if want {
			require.NoError(t, err, origin)
		} else {
			require.Error(t, err, origin)
			require.Equal(t, http.StatusForbidden, answer.StatusCode, origin)
		}
	}
	b = start(t, withWeb("connection: {origins: ['*']}"))
	_, _, err := b.ws("/mqtt", http.Header{"Origin": {"https://evil"}})
	require.NoError(t, err)
}

// A connection that does not become a WebSocket in time is closed, also after an HTTP answer.
func TestWebSocketTimeLimits(t *testing.T) {
	t.Parallel()
	b := start(t, withWeb(web))
	silent := b.dialAt(1)
	half := b.dialAt(1)
	half.raw([]byte("GET /mqtt HTTP/1.1\r\nHost: x\r\n"))
	plain := b.dialAt(1) // plain HTTP is answered and may not stay
	plain.raw([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	body := b.dialAt(1) // what announces a body and does not send it neither
	body.raw([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"))
	p, _, err := b.ws("/mqtt", nil) // a WebSocket without CONNECT
	require.NoError(t, err)
	for _, c := range []*peer{silent, half, body} {
		_ = c.conn.SetReadDeadline(time.Now().Add(scriptTimeout))
		_, err = io.Copy(io.Discard, c.conn)
		require.True(t, err == nil || gone(err), "%v", err)
	}
	_ = plain.conn.SetReadDeadline(time.Now().Add(scriptTimeout))
	answer, err := io.ReadAll(plain.conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "400 Bad Request")
	p.end()
}

// A client that is silent for too long is closed for that reason.
func TestWebSocketKeepAlive(t *testing.T) {
	t.Parallel()
	b := start(t, withWeb(""))
	p, _, err := b.ws("/mqtt", nil)
	require.NoError(t, err)
	c := hello("p", true)
	c.KeepAlive = 1
	p.send(c)
	p.expect(&packet.Connack{})
	p.quiet()
	p.end()
	eventually(t, "the reason", func() bool { return b.stat("connections_silent") == 1 })
}

// The end of the WebSocket without DISCONNECT is the end of the connection: the will is published.
func TestWebSocketCloseIsNoDisconnect(t *testing.T) {
	t.Parallel()
	b := start(t, withWeb(""))
	watch := b.clean("watch")
	watch.sub(0, "will/+")
	p, _, err := b.ws("/mqtt", nil)
	require.NoError(t, err)
	p.send(testament("x", true, 0))
	p.expect(packet.NewConnack())
	ws := p.conn.(*webStream)
	normal := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	require.NoError(t, ws.WriteControl(websocket.CloseMessage, normal, time.Now().Add(scriptTimeout)))
	watch.want("will/x", "of x", 0)
}
