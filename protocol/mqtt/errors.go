package mqtt

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/256dpi/gomqtt/packet"
)

// Errors of this package; errors.Is decides.
var (
	ErrClosed   = errors.New("MQTT client is closed")                             // Close was called
	ErrNoPong   = errors.New("peer does not answer pings")                        // the connection is half open
	ErrSubAck   = errors.New("peer does not answer SUBSCRIBE")                    // within the timeout
	ErrRefused  = errors.New("subscription refused by the peer")                  // and validatesubs is set
	ErrPoison   = errors.New("peer closes the connection whenever it is sent")    // see WithPoisonLimit
	ErrLost     = errors.New("connection lost while a QoS 0 message was written") // it may or may not have arrived
	ErrProtocol = errors.New("peer violates MQTT")
)

// ConnackError is the peer's refusal of a connection.
type ConnackError struct{ Code packet.ConnackCode }

// Error gives the code as text.
func (e *ConnackError) Error() string { return e.Code.String() }

// readable replaces errors of the net package by what they mean for a connection.
func readable(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errPeerClosed
	case errors.Is(err, context.DeadlineExceeded):
		return errTimeout
	}
	return err
}

var (
	errPeerClosed = errors.New("connection closed by the peer")
	errTimeout    = errors.New("timeout")
)

// byPeer tells whether the peer has ended the connection, and not this side.
func byPeer(err error) bool {
	return errors.Is(err, errPeerClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
