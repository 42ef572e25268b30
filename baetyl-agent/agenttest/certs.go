package agenttest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Authority issues certificates for a test.
type Authority struct {
	CA string // PEM file

	t    testing.TB
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

// Certificate is a certificate with its key: as files and as values.
type Certificate struct {
	Cert, Key string // PEM files
	Pair      tls.Certificate
	Public    *rsa.PublicKey
}

// NewAuthority makes an authority.
func NewAuthority(t testing.TB) *Authority {
	a := &Authority{t: t}
	a.key = newKey(t, "")
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true,
		BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.CA = WritePEM(t, "CERTIFICATE", der)
	return a
}

// Issue makes a certificate for name, which is good for servers on 127.0.0.1 and for clients.
func (a *Authority) Issue(name string, serial *big.Int) Certificate {
	a.t.Helper()
	key := newKey(a.t, name)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return Certificate{
		Cert:   WritePEM(a.t, "CERTIFICATE", der),
		Key:    WritePEM(a.t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)),
		Pair:   tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		Public: &key.PublicKey,
	}
}

// keys are the private keys of this process by owner. Making one takes up to a second, so all authorities share one,
// and so do all certificates of a name.
var keys = struct {
	sync.Mutex
	by map[string]*rsa.PrivateKey
}{by: map[string]*rsa.PrivateKey{}}

func newKey(t testing.TB, owner string) *rsa.PrivateKey {
	keys.Lock()
	defer keys.Unlock()
	if keys.by[owner] == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		keys.by[owner] = key
	}
	return keys.by[owner]
}

// WritePEM writes a PEM file and returns its path.
func WritePEM(t testing.TB, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
