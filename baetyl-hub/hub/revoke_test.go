package hub_test

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/cert"
)

// revoking is an authority with a hub's certificate and those of two devices, in files.
type revoking struct {
	ca        *tls.Certificate
	hub       cert.Config
	good, bad *tls.Certificate
	crl       string
}

func newRevoking(t *testing.T) *revoking {
	issue := func(x *x509.Certificate, by *tls.Certificate) *tls.Certificate {
		c, err := cert.Issue(x, nil, by)
		require.NoError(t, err)
		return c
	}
	ca := issue(cert.Authority("ca"), nil)
	x := &revoking{ca: ca, good: issue(cert.ForClient("good"), ca), bad: issue(cert.ForClient("bad"), ca)}
	base := filepath.Join(t.TempDir(), "x")
	server := issue(cert.ForServer("hub", "127.0.0.1"), ca)
	require.NoError(t, errors.Join(cert.WriteCertificate(base+"-ca.pem", ca.Leaf), cert.Write(base, server)))
	x.hub, x.crl = cert.Config{CA: base + "-ca.pem", Cert: base + ".pem", Key: base + ".key"}, base+".crl"
	x.revoke(t)
	return x
}

// revoke writes the CRL.
func (x *revoking) revoke(t *testing.T, list ...*tls.Certificate) {
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range list {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, x.ca.Leaf, x.ca.PrivateKey.(crypto.Signer))
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	require.NoError(t, os.WriteFile(x.crl, text, 0o600))
}

// login connects with a certificate and logs in; it tells whether that works.
func (x *revoking) login(t *testing.T, r *running, c *tls.Certificate, user, password string) (net.Conn, bool) {
	trust, err := cert.Client(cert.Config{CA: x.hub.CA})
	require.NoError(t, err)
	if c != nil {
		trust.Certificates = []tls.Certificate{*c}
	}
	_, port, err := net.SplitHostPort(r.Addrs()[0].String())
	require.NoError(t, err)
	conn, err := tls.Dial("tcp", "127.0.0.1:"+port, trust)
	if err != nil {
		return nil, false
	}
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	if _, err = conn.Write(hello(user, password)); err != nil {
		return nil, false
	}
	answer := make([]byte, 4)
	_, err = io.ReadFull(conn, answer)
	return conn, err == nil && answer[3] == 0
}

// answered tells whether a connection is answered still.
func answered(conn net.Conn) bool {
	if _, err := conn.Write([]byte{0xc0, 0}); err != nil {
		return false
	}
	_, err := io.ReadFull(conn, make([]byte, 2))
	return err == nil
}

// A reload ends the connections whose certificates are in the CRL by now or come from no authority that is trusted, and
// no others; nobody gets in with such a certificate.
func TestReloadJudgesConnections(t *testing.T) {
	x, other := newRevoking(t), newRevoking(t)
	yml := strings.Replace(secured(x.hub, ", crl: '"+x.crl+"'"), "- {username: two", "- {username: one, permissions: "+
		"[{action: pub, permit: ['#']}]}\n- {username: two", 1)
	r := run(t, yml)
	good, ok := x.login(t, r, x.good, "one", "")
	require.True(t, ok)
	bad, ok := x.login(t, r, x.bad, "two-way-tls", "")
	require.True(t, ok)
	account, ok := x.login(t, r, nil, "test", "secret")
	require.True(t, ok)
	x.revoke(t, x.bad)
	require.True(t, answered(bad)) // the file is read at a reload
	require.NoError(t, r.Reload(parse(t, yml)))
	require.False(t, answered(bad))
	require.True(t, answered(good) && answered(account))
	_, ok = x.login(t, r, x.bad, "two-way-tls", "")
	require.False(t, ok)
	require.Contains(t, r.out.String(), "certificate of CN=bad with serial number "+x.bad.Leaf.SerialNumber.String())
	require.Contains(t, r.out.String(), "the list in certificate.crl "+x.crl+" is out of date in 0 days")
	require.LessOrEqual(t, r.Report()["certificate_seconds_left"], int64(3600))

	require.NoError(t, os.WriteFile(x.crl, []byte("x"), 0o600)) // what can't be read changes nothing
	require.ErrorContains(t, r.Reload(parse(t, yml)), "certificate.crl: load crl "+x.crl)
	require.True(t, answered(good))
	without := strings.Replace(yml, ", crl: '"+x.crl+"'", "", 1)
	require.NoError(t, r.Reload(parse(t, strings.Replace(without, x.hub.CA, other.hub.CA, 1))))
	require.False(t, answered(good))
	require.True(t, answered(account))
}
