package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/baetyl/baetyl/utils/file"
)

// lifetime of what is issued: devices stay for years, and nothing renews a certificate by itself.
const lifetime = 10 * 365 * 24 * time.Hour

// Authority is the template of a CA's certificate.
func Authority(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// ForServer is the template of a server's certificate; hosts are names and addresses.
func ForServer(name string, hosts ...string) *x509.Certificate {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	return c
}

// ForClient is the template of a certificate that identifies a client; a server can't use it.
func ForClient(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

// Issue completes the template with serial number and time, and signs it by issuer, or by itself where issuer is nil.
// Without key it gets a new one, ECDSA P-256.
func Issue(template *x509.Certificate, key crypto.Signer, issuer *tls.Certificate) (*tls.Certificate, error) {
	var err error
	if key == nil {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	now := time.Now()
	// the clock of a device may be behind
	template.NotBefore, template.NotAfter = now.Add(-24*time.Hour), now.Add(lifetime)
	if issuer == nil {
		issuer = &tls.Certificate{Leaf: template, PrivateKey: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.Leaf, key.Public(), issuer.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", template.Subject.CommonName, err)
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// Write stores the certificate in base.pem (mode 0644) and its key in base.key (mode 0600). An RSA key is written as
// PKCS#1, which programs of 2019 expect.
func Write(base string, pair *tls.Certificate) error {
	kind, der, err := "PRIVATE KEY", []byte(nil), error(nil)
	if key, ok := pair.PrivateKey.(*rsa.PrivateKey); ok {
		kind, der = "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)
	} else if der, err = x509.MarshalPKCS8PrivateKey(pair.PrivateKey); err != nil {
		return err
	}
	return errors.Join(
		file.WriteAtomic(base+".key", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600),
		WriteCertificate(base+".pem", pair.Leaf),
	)
}

// WriteCertificate stores a certificate alone, in PEM form.
func WriteCertificate(path string, c *x509.Certificate) error {
	return file.WriteAtomic(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o644)
}
