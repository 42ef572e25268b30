// Package listener accepts connections over tcp, ssl, ws and wss, and gives them to a Handler as byte streams.
package listener

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/listen"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/stall"
)

// Handler serves a connection and closes it. cert is the client's certificate, verified against the configured CA;
// nil if it has none.
type Handler func(conn net.Conn, cert *x509.Certificate)

// Options of a Set.
type Options struct {
	TLS *tls.Config // of ssl and wss
	// time limit for TLS and WebSocket handshakes, and for an idle HTTP connection after an answer
	Handshake time.Duration
	Limits    Limits
	Origins   []string      // of web pages that may connect, besides the hub's own host; "*" allows all
	Store     *listen.Store // what the life of the hub before has left, and where listeners are handed over
	Log       log.Logger
}

// Set is a set of open listeners. WebSocket addresses that differ only in the path share a port.
type Set struct {
	o       Options
	handler Handler
	entries []*entry
	count   count
}

// entry is one bound address.
type entry struct {
	net.Listener
	address string
	web     bool
}

// Check returns an error if an address is not valid for a listener, and tells whether it needs a certificate.
func Check(address string) (secure bool, err error) {
	a, err := addr.Listen(address, addr.MQTT...)
	return a.Secure(), err
}

// Listen opens the addresses, or none of them and returns an error that names the index of the address. What is in
// Options.Store for them is taken from there, the rest of it is closed.
func Listen(addresses []string, o Options, h Handler) (*Set, error) {
	s := &Set{o: o, handler: h, count: count{limits: o.Limits, log: o.Log, by: map[netip.Addr]int{}}}
	s.count.known = map[*Conn]identity{}
	if s.o.Store == nil {
		s.o.Store = &listen.Store{}
	}
	var hosts []string
	for _, text := range addresses {
		if a, err := addr.Listen(text, addr.MQTT...); err == nil {
			hosts = append(hosts, a.Host)
		}
	}
	if err := s.o.Store.Retain(hosts...); err != nil {
		s.o.Log.WithError(err).Warnf("an address that was configured before may stay taken")
	}
	shared := map[string]bool{} // WebSocket addresses that are open, by scheme and host
	for i, a := range addresses {
		if err := s.listen(a, shared); err != nil {
			s.Close()
			return nil, fmt.Errorf("listen[%d]: %w", i, err)
		}
	}
	return s, nil
}

func (s *Set) listen(address string, shared map[string]bool) error {
	a, err := addr.Listen(address, addr.MQTT...)
	if err != nil {
		return err
	}
	key := a.Scheme + "://" + a.Host
	if a.Web() && shared[key] {
		return nil
	}
	if a.Secure() && s.o.TLS == nil {
		return fmt.Errorf("address %q needs certificate.cert and certificate.key", address)
	}
	ln, notHanded, err := s.o.Store.Listen(a.Host)
	if err != nil {
		return fmt.Errorf("address %q: %w; is another program using it?", address, err)
	}
	if notHanded != nil {
		s.o.Log.WithError(notHanded).Warnf("while the hub does not run, another program may take its port")
	}
	ln = counted{ln, &s.count}
	if a.Web() || a.Secure() {
		ln = watched{ln}
	}
	if a.Secure() {
		ln = tls.NewListener(ln, s.o.TLS)
	}
	shared[key] = true
	s.entries = append(s.entries, &entry{Listener: ln, address: address, web: a.Web()})
	return nil
}

// watched accepts connections whose progress is seen below TLS and WebSocket. Over plain TCP the handler sees it.
type watched struct{ net.Listener }

// Accept implements net.Listener.
func (w watched) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	stall.LimitUnsent(conn)
	return stall.New(conn), nil
}

// Addrs returns the bound addresses, one for each port, in the order of the configuration.
func (s *Set) Addrs() []net.Addr {
	out := make([]net.Addr, len(s.entries))
	for i, e := range s.entries {
		out[i] = e.Addr()
	}
	return out
}

// Rejected returns the current numbers.
func (s *Set) Rejected() Rejected {
	s.count.mu.Lock()
	defer s.count.mu.Unlock()
	return s.count.rejected
}

// Close closes the listeners. Open connections stay open.
func (s *Set) Close() {
	for _, e := range s.entries {
		_ = e.Close()
	}
}

// Serve accepts connections until ctx ends and then closes the listeners. It does not wait for the goroutines of
// connections: the owner of the handler must end them and wait. A TLS handshake ends after Options.Handshake.
func (s *Set) Serve(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.Close()
	failed := make(chan error, len(s.entries)) // buffered: no accept loop blocks
	for _, e := range s.entries {
		s.o.Log.WithField(log.KeyAddress, e.address).Infof("listening")
		wg.Go(func() {
			if err := s.serve(ctx, e); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("listen on %s: %w", e.address, err)
			}
		})
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

func (s *Set) serve(ctx context.Context, e *entry) error {
	if e.web {
		return s.serveWeb(ctx, e)
	}
	for delay := time.Duration(0); ; {
		conn, err := e.Accept()
		if err == nil {
			delay = 0
			go s.plain(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return err
		}
		// Most likely too many files are open: wait until some are closed.
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		s.o.Log.WithError(err).WithField(log.KeyAddress, e.address).Warnf("accept failed, trying again in %s", delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil
		}
	}
}

// plain completes the TLS handshake, if there is one, and calls the handler.
func (s *Set) plain(conn net.Conn) {
	t, ok := conn.(*tls.Conn)
	if !ok {
		s.handler(conn, nil)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.Handshake)
	err := t.HandshakeContext(ctx)
	cancel()
	if err != nil {
		s.o.Log.WithError(err).WithField(log.KeyAddress, conn.RemoteAddr().String()).Infof("TLS handshake failed")
		_ = conn.Close()
		return
	}
	state := t.ConnectionState()
	s.identify(t, &state)
	s.handler(conn, verified(&state))
}

// verified returns the client's certificate if it was checked against the configured CA.
func verified(state *tls.ConnectionState) *x509.Certificate {
	if state == nil || len(state.VerifiedChains) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}

func (s *Set) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true // not a web page
	}
	if u, err := url.Parse(origin); err == nil && strings.EqualFold(u.Host, r.Host) {
		return true
	}
	for _, o := range s.o.Origins {
		if o == "*" || strings.EqualFold(o, origin) {
			return true
		}
	}
	return false
}

// Scheme tells over what a connection of a Set came: tcp, ssl, ws or wss.
func Scheme(conn net.Conn) string {
	web, secure := false, false
	for {
		switch conn.(type) {
		case *webConn:
			web = true
		case *tls.Conn:
			secure = true
		}
		above, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = above.NetConn()
	}
	switch {
	case web && secure:
		return "wss"
	case web:
		return "ws"
	case secure:
		return "ssl"
	}
	return "tcp"
}
