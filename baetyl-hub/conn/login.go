package conn

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/utils/addr"
)

// Logins are numbers of logins since the start.
type Logins struct {
	Delayed uint64 // refused ones whose answer had to wait
	Dropped uint64 // ones that were not checked: too many waited, or the client had left
}

// Logins returns the current numbers.
func (s *Server) Logins() Logins { return Logins{s.delayed.Load(), s.dropped.Load()} }

// login decodes CONNECT and checks the user. It may take long, so the lock is free.
func (c *connection) login(frame []byte, cert *x509.Certificate) (*packet.Connect, *auth.User, error) {
	p, err := decodeConnect(frame)
	if err != nil {
		return nil, nil, err
	}
	c.in.narrow() // a login may wait
	if !c.expect(len(c.in.unread())) {
		return nil, nil, errCrowded
	}
	s, from := c.s, addr.Peer(c.conn.RemoteAddr())
	user, err := s.gate.Login(s.closing, auth.Attempt{
		Username: p.Username, Password: p.Password, Cert: cert, From: from,
		Failures: s.failures.Of(from, p.Username, time.Now()),
		Gone:     func() bool { return left(c.conn) },
		Timeout:  s.o.ConnectTimeout,
	})
	switch {
	case err == nil:
		s.failures.Accepted(from, p.Username)
		return p, user, nil
	case errors.Is(err, auth.ErrRefused) && isProbe(p, cert):
		return p, nil, core.Refusal{Code: packet.BadUsernameOrPassword, Text: err.Error(), Client: p.ClientID, Logged: true}
	case errors.Is(err, auth.ErrRefused):
		s.refusals.Log(s.o.Log, c.conn.RemoteAddr(), p.Username, p.ClientID, err, time.Now())
		if delay := s.failures.Refused(from, p.Username, time.Now()); delay > 0 {
			s.delayed.Add(1)
			s.wait(delay)
		}
		return p, nil, core.Refusal{Code: packet.BadUsernameOrPassword, Text: err.Error(), Client: p.ClientID, Logged: true}
	}
	s.dropped.Add(1)
	s.refusals.Log(s.o.Log, c.conn.RemoteAddr(), p.Username, p.ClientID, err, time.Now())
	return p, nil, core.Refusal{Code: packet.ServerUnavailable, Text: err.Error(), Client: p.ClientID, Logged: true}
}

// isProbe tells whether a CONNECT names nobody: it asks whether a broker is there, as the master's probes do, and
// cannot guess anything. It is neither logged nor delayed, and delays nobody at its address.
func isProbe(p *packet.Connect, cert *x509.Certificate) bool {
	return p.ClientID == "" && p.Username == "" && p.Password == "" && p.Will == nil && cert == nil
}

// wait returns after d, or at Close.
func (s *Server) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.closing.Done():
	}
}
