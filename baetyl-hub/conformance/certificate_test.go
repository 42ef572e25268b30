package conformance_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// authority is a CA that the test makes.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &authority{t: t, key: key}
	a.cert = &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

// issue makes a certificate for hub or client.
func (a *authority) issue(cn string, serial int64, change ...func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: cn},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, f := range change {
		f(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func writePEM(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// secure is the configuration of a hub with ssl and wss, an account and certificate principals.
func secure(a *authority, ca string) string {
	a.t.Helper()
	dir := a.t.TempDir()
	server := a.issue("hub", 2)
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	require.NoError(a.t, err)
	certPath := writePEM(a.t, filepath.Join(dir, "hub.pem"), "CERTIFICATE", server.Certificate[0])
	keyPath := writePEM(a.t, filepath.Join(dir, "hub.key"), "PRIVATE KEY", key)
	return fmt.Sprintf(`
metrics: {address: ''}
listen: ['ssl://127.0.0.1:0', 'wss://127.0.0.1:0/mqtt', 'tcp://127.0.0.1:0']
certificate: {ca: '%s', cert: '%s', key: '%s'}
principals:
- {username: test, password: hahaha, permissions: [{action: pub, permit: ['#']}, {action: sub, permit: ['#']}]}
- {username: any, permissions: [{action: pub, permit: ['#']}]}
- {username: named, cn: device-1, permissions: [{action: pub, permit: ['#']}]}
- username: numbered
  serialnumber: '340282366920938463463374607431768211455'
  permissions: [{action: pub, permit: ['#']}]
- {username: bound, cn: device-1, serialnumber: '77', permissions: [{action: pub, permit: ['#']}]}
`, ca, certPath, keyPath)
}

// tryTLS connects over ssl or wss and returns the code of CONNACK, or an error if the connection fails.
func (b *broker) tryTLS(t *testing.T, listener int, c *tls.Config, hello *packet.Connect) (packet.ConnackCode, error) {
	t.Helper()
	var conn net.Conn
	if listener == 0 {
		plain, err := tls.Dial("tcp", b.addrs[0], c)
		if err != nil {
			return 0, err
		}
		conn = plain
	} else {
		d := websocket.Dialer{TLSClientConfig: c, HandshakeTimeout: scriptTimeout}
		ws, _, err := d.Dial("wss://"+b.addrs[1]+"/mqtt", nil)
		if err != nil {
			return 0, err
		}
		conn = &webStream{Conn: ws}
	}
	defer conn.Close()
	p := newPeer(t, conn)
	if _, err := conn.Write(encode(t, hello)); err != nil {
		return 0, err
	}
	x, err := p.read()
	if err != nil {
		return 0, err
	}
	return x.(*packet.Connack).ReturnCode, nil
}

func principal(user string) *packet.Connect {
	c := packet.NewConnect()
	c.ClientID, c.Username = "x", user
	return c
}

// A certificate principal needs a certificate of the configured CA, with the name and number that it is bound to.
func TestCertificatePrincipals(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	b := start(t, secure(ours, writePEM(t, filepath.Join(t.TempDir(), "ca.pem"), "CERTIFICATE", ours.cert.Raw)))
	big128 := func(c *x509.Certificate) {
		c.SerialNumber, _ = new(big.Int).SetString("340282366920938463463374607431768211455", 10)
	}
	device := ours.issue("device-1", 77)
	for _, c := range []struct {
		name string
		cert *tls.Certificate
		user string
		code packet.ConnackCode
	}{
		{"any certificate of ours", ptr(ours.issue("whoever", 5)), "any", 0},
		{"no certificate", nil, "any", packet.BadUsernameOrPassword},
		{"bound by name", &device, "named", 0},
		{"bound by name, other name", ptr(ours.issue("device-2", 77)), "named", packet.BadUsernameOrPassword},
		{"bound by name, none", nil, "named", packet.BadUsernameOrPassword},
		{"bound by number", ptr(ours.issue("x", 1, big128)), "numbered", 0},
		{"bound by number, other number", &device, "numbered", packet.BadUsernameOrPassword},
		{"bound by both", &device, "bound", 0},
		{"bound by both, other number", ptr(ours.issue("device-1", 78)), "bound", packet.BadUsernameOrPassword},
		{"bound by both, other name", ptr(ours.issue("device-2", 77)), "bound", packet.BadUsernameOrPassword},
		{"an account without its password", &device, "test", packet.BadUsernameOrPassword},
		{"unknown user name", &device, "device-1", packet.BadUsernameOrPassword},
	} {
		for listener, name := range []string{"ssl", "wss"} {
			t.Run(c.name+" over "+name, func(t *testing.T) {
				conf := &tls.Config{RootCAs: ours.pool()}
				if c.cert != nil {
					conf.Certificates = []tls.Certificate{*c.cert}
				}
				code, err := b.tryTLS(t, listener, conf, principal(c.user))
				require.NoError(t, err)
				require.Equal(t, c.code, code)
			})
		}
	}
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	server := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	for name, cert := range map[string]tls.Certificate{
		"another CA":       theirs.issue("device-1", 77),
		"expired":          ours.issue("device-1", 77, expired),
		"for servers only": ours.issue("device-1", 77, server),
	} {
		for listener := range 2 {
			t.Run(fmt.Sprint(name, listener), func(t *testing.T) {
				force := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
				_, err := b.tryTLS(t, listener, &tls.Config{RootCAs: ours.pool(), GetClientCertificate: force}, principal("any"))
				require.Error(t, err)
				_, err = b.tryTLS(t, listener, &tls.Config{RootCAs: ours.pool(), GetClientCertificate: force}, hello("x", true))
				require.Error(t, err) // not even with a password
			})
		}
	}
	// Over tcp there is no certificate. Accounts work on all listeners.
	p := b.dialAt(2)
	p.send(principal("any"))
	p.expect(&packet.Connack{ReturnCode: packet.BadUsernameOrPassword})
	p.end()
	for listener := range 2 {
		code, err := b.tryTLS(t, listener, &tls.Config{RootCAs: ours.pool()}, hello("x", true))
		require.NoError(t, err)
		require.Zero(t, code)
	}
	// Clients can verify the hub's own certificate. TLS 1.1 is refused.
	_, err := b.tryTLS(t, 0, &tls.Config{RootCAs: theirs.pool()}, hello("x", true))
	require.Error(t, err)
	_, err = b.tryTLS(t, 0,
		&tls.Config{RootCAs: ours.pool(), MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, hello("x", true))
	require.Error(t, err)
}

// With certificate.require nobody gets past the handshake of ssl and wss without a certificate of the CA; accounts need
// their password beside it, and log in without one over tcp.
func TestCertificateIsRequired(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	text := secure(ours, writePEM(t, filepath.Join(t.TempDir(), "ca.pem"), "CERTIFICATE", ours.cert.Raw))
	b := start(t, strings.Replace(text, "certificate: {", "certificate: {require: true, ", 1))
	device, stranger := ours.issue("device-1", 77), theirs.issue("device-1", 77)
	for listener := range 2 {
		with := &tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{device}}
		for i, c := range []*packet.Connect{principal("any"), principal("bound"), hello("x", true), principal("test")} {
			c.ClientID = fmt.Sprint(listener, i) // the hub may not know yet that the one before is gone
			code, err := b.tryTLS(t, listener, with, c)
			require.NoError(t, err)
			require.Equal(t, c.Username == "test" && c.Password == "", code == packet.BadUsernameOrPassword)
		}
		_, err := b.tryTLS(t, listener, &tls.Config{RootCAs: ours.pool()}, hello("x", true))
		require.ErrorContains(t, err, "certificate required")
		force := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }
		_, err = b.tryTLS(t, listener, &tls.Config{RootCAs: ours.pool(), GetClientCertificate: force}, hello("x", true))
		require.Error(t, err)
	}
	p := b.dialAt(2)
	p.send(hello("x", true))
	p.expect(&packet.Connack{})
}

// With certificate.username: cn a certificate of the CA logs in, without password, as the principal that has its common
// name, and certificate principals take no other; with a password the account counts, as without the key.
func TestCertificateNamesUser(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, "ours")
	text := secure(ours, writePEM(t, filepath.Join(t.TempDir(), "ca.pem"), "CERTIFICATE", ours.cert.Raw))
	text = strings.Replace(text, "certificate: {", "certificate: {username: cn, ", 1)
	b := start(t, text+"connection: {login: {delay: 0s}}")
	serial := func(c *x509.Certificate) {
		c.SerialNumber, _ = new(big.Int).SetString("340282366920938463463374607431768211455", 10)
	}
	const refused = packet.BadUsernameOrPassword
	for i, x := range []struct {
		cn, user, password string
		change             func(*x509.Certificate)
		code               packet.ConnackCode
	}{
		{"any", "", "", nil, 0}, {"any", "any", "", nil, 0}, {"any", "named", "", nil, refused},
		{"device-1", "any", "", nil, refused}, {"device-1", "", "", nil, refused}, {"device-1", "named", "", nil, 0},
		{"named", "", "", nil, refused}, // who is bound to the name device-1
		{"numbered", "", "", nil, refused}, {"numbered", "", "", serial, 0}, {"x", "numbered", "", serial, 0},
		{"nobody", "", "", nil, refused}, {"", "", "", nil, refused}, {"ANY", "", "", nil, refused},
		{"any ", "", "", nil, refused}, {"\u0430ny", "", "", nil, refused}, // which only looks alike
		{"test", "", "", nil, refused}, {"test", "test", "", nil, refused}, // an account needs its password
		{"any", "test", "hahaha", nil, 0}, {"nobody", "test", "hahaha", nil, 0}, {"any", "any", "x", nil, refused},
	} {
		for listener := range 2 {
			change := x.change
			if change == nil {
				change = func(*x509.Certificate) {}
			}
			c := principal(x.user)
			c.ClientID, c.Password = fmt.Sprint("c", i, listener), x.password
			conf := &tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{ours.issue(x.cn, 9, change)}}
			code, err := b.tryTLS(t, listener, conf, c)
			require.NoError(t, err, "%+v", x)
			require.Equal(t, x.code, code, "%+v", x)
		}
	}
	code, err := b.tryTLS(t, 0, &tls.Config{RootCAs: ours.pool()}, principal(""))
	require.NoError(t, err)
	require.Equal(t, refused, code)
	p := b.dialAt(2) // nor is there a certificate over tcp
	p.send(principal(""))
	p.expect(&packet.Connack{ReturnCode: refused})
}

// Without a configured CA the hub trusts no certificate, not even those of authorities that the system trusts.
// SSL_CERT_FILE adds the test's CA to those.
func TestSystemAuthoritiesAreNotTrusted(t *testing.T) {
	public, own := newAuthority(t, "public"), newAuthority(t, "own")
	dir := t.TempDir()
	t.Setenv("SSL_CERT_FILE", writePEM(t, filepath.Join(dir, "system.pem"), "CERTIFICATE", public.cert.Raw))
	client := public.issue("device-1", 77)
	for _, ca := range []string{"", writePEM(t, filepath.Join(dir, "own.pem"), "CERTIFICATE", own.cert.Raw)} {
		b := start(t, secure(own, ca))
		for listener := range 2 {
			force := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &client, nil }
			code, err := b.tryTLS(t, listener, &tls.Config{RootCAs: own.pool(), GetClientCertificate: force}, principal("any"))
			if err == nil {
				require.Equal(t, packet.BadUsernameOrPassword, code)
			}
			code, err = b.tryTLS(t, listener, &tls.Config{RootCAs: own.pool()}, hello("x", true))
			require.NoError(t, err)
			require.Zero(t, code)
		}
	}
}

// A connection is closed if its TLS handshake takes too long.
func TestTLSHandshakeLimit(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "a")
	b := start(t, secure(a, "")+"connection: {connect: {timeout: 300ms}}")
	for listener := range 2 {
		p := b.dialAt(listener)
		p.end() // it sends nothing
		p = b.dialAt(listener)
		p.raw([]byte{0x16, 3, 1, 0xff})
		p.end()
	}
}

func ptr[T any](v T) *T { return &v }
