//go:build linux

package hostile_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// answerTimeout is how long the attacker waits for an answer, or for the hub to take a byte.
const answerTimeout = 5 * time.Second

// line is a connection that has logged in.
type line struct {
	conn   net.Conn
	stream *packet.Stream
	mu     sync.Mutex // of writes
}

// dial connects and logs in.
func (h *hub) dial(user, id string, clean bool, will *packet.Message) (*line, error) {
	conn, err := net.DialTimeout("tcp", h.address, answerTimeout)
	if err != nil {
		return nil, err
	}
	l := &line{conn: conn, stream: packet.NewStream(conn, conn)}
	c := packet.NewConnect()
	c.ClientID, c.Username, c.Password, c.CleanSession, c.Will, c.KeepAlive = id, user, user, clean, will, 0
	if err := l.send(c); err != nil {
		l.close()
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(4 * answerTimeout))
	x, err := l.read()
	if ack, ok := x.(*packet.Connack); err == nil && (!ok || ack.ReturnCode != packet.ConnectionAccepted) {
		err = fmt.Errorf("CONNECT is refused: %v", x)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Time{})
	return l, nil
}

func (l *line) read() (packet.Generic, error) { return l.stream.Read() }

func (l *line) send(p packet.Generic) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.conn.SetWriteDeadline(time.Now().Add(4 * answerTimeout))
	return l.stream.Write(p, false)
}

func (l *line) close() { _ = l.conn.Close() }

// closeWith closes the line when ctx ends.
func (l *line) closeWith(ctx context.Context) *line {
	context.AfterFunc(ctx, l.close)
	return l
}

// drain reads, and answers nothing, until the line ends.
func (l *line) drain() {
	for {
		if _, err := l.read(); err != nil {
			return
		}
	}
}
