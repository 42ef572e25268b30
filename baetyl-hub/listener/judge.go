package listener

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"

	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/stall"
)

// identity is the client certificate of a connection.
type identity struct {
	chain []*x509.Certificate // as the client has sent it
	until time.Time           // one of the chain that was verified expires
}

// identify notes the certificate of a connection, whose handshake has been done. If Judge has come since it was
// accepted, the certificate is judged again.
func (s *Set) identify(conn net.Conn, state *tls.ConnectionState) {
	if verified(state) == nil {
		return
	}
	c, ok := stall.Socket(conn).(*Conn)
	if !ok {
		return
	}
	x := identity{chain: state.PeerCertificates}
	for _, chain := range state.VerifiedChains {
		if t := expiry(chain); t.After(x.until) {
			x.until = t
		}
	}
	s.count.mu.Lock()
	if !c.closed.Load() {
		s.count.known[c] = x
	}
	check := s.count.check
	if c.judged == s.count.judged {
		check = nil
	}
	s.count.mu.Unlock()
	if check != nil {
		s.judge(c, check(x.chain))
	}
}

// expiry is when the first certificate of a chain expires.
func expiry(chain []*x509.Certificate) time.Time {
	first := chain[0].NotAfter
	for _, c := range chain {
		if c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// Judge closes the connections whose client certificates check refuses: what is trusted has changed.
func (s *Set) Judge(check func(chain []*x509.Certificate) error) {
	s.count.mu.Lock()
	s.count.check = check
	s.count.judged++
	s.count.mu.Unlock()
	for c, x := range s.identities() {
		s.judge(c, check(x.chain))
	}
}

// Expire closes the connections whose client certificates have expired.
func (s *Set) Expire(now time.Time) {
	for c, x := range s.identities() {
		if now.After(x.until) {
			s.judge(c, x509.CertificateInvalidError{Cert: x.chain[0], Reason: x509.Expired})
		}
	}
}

func (s *Set) identities() map[*Conn]identity {
	s.count.mu.Lock()
	defer s.count.mu.Unlock()
	out := make(map[*Conn]identity, len(s.count.known))
	for c, x := range s.count.known {
		out[c] = x
	}
	return out
}

func (s *Set) judge(c *Conn, err error) {
	if err == nil || c.closed.Load() {
		return
	}
	s.o.Log.WithError(err).WithField(log.KeyAddress, c.RemoteAddr().String()).
		Infof("client certificate is not valid any more, closing the connection")
	_ = c.Close()
}
