package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/baetyl/baetyl/utils/file"
)

// testCerts is where the certificates of the example live, relative to the prefix.
const testCerts = "var/db/baetyl/localhub-cert-only-for-test"

// certFiles are the files of testCerts. The CA's key is not among them: it is forgotten as soon as both certificates are signed,
// so nobody can make a third one that the hub accepts.
var certFiles = []string{"ca.pem", "server.pem", "server.key", "client.pem", "client.key"}

// lifetime of the test certificates. They are made anew where they are missing, so removing the folder renews them.
const lifetime = 10 * 365 * 24 * time.Hour

// certs makes the CA, a server certificate for this host and a client certificate for the principal two-way-tls, each signed
// with ECDSA P-256. Where all five files exist it does nothing.
func certs(args []string, out io.Writer) error {
	args, err := positional(args, "dir")
	if err != nil {
		return err
	}
	dir := args[0]
	missing := false
	for _, name := range certFiles {
		missing = missing || !file.Exists(filepath.Join(dir, name))
	}
	if !missing {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(out, "    made a test CA with a server and a client certificate in %s\n", dir)
	return makeCerts(dir, time.Now())
}

func makeCerts(dir string, now time.Time) error {
	ca, err := newCertificate("baetyl test CA", now, nil, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid = true, true
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	})
	if err != nil {
		return err
	}
	server, err := newCertificate("localhub", now, ca, func(c *x509.Certificate) {
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.DNSNames = []string{"localhost", "localhub"}
		if host, err := os.Hostname(); err == nil && host != "localhost" {
			c.DNSNames = append(c.DNSNames, host)
		}
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	})
	if err != nil {
		return err
	}
	client, err := newCertificate("two-way-tls", now, ca, func(c *x509.Certificate) {
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	if err != nil {
		return err
	}
	return errors.Join(
		writePEM(filepath.Join(dir, "ca.pem"), "CERTIFICATE", ca.cert.Raw, 0o644),
		server.write(filepath.Join(dir, "server")),
		client.write(filepath.Join(dir, "client")),
	)
}

type certificate struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newCertificate makes a key and its certificate for the common name, signed by issuer, or by itself where issuer is nil.
func newCertificate(name string, now time.Time, issuer *certificate, fill func(*x509.Certificate)) (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"baetyl, only for test"}, CommonName: name},
		NotBefore:    now.Add(-time.Hour), // the clock of a device may be behind
		NotAfter:     now.Add(lifetime),
	}
	fill(template)
	out := &certificate{key: key}
	if issuer == nil {
		issuer = &certificate{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, &key.PublicKey, issuer.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	out.cert, err = x509.ParseCertificate(der)
	return out, err
}

// write stores the pair as base.pem and base.key; only the owner may read the key.
func (c *certificate) write(base string) error {
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return err
	}
	return errors.Join(
		writePEM(base+".key", "PRIVATE KEY", key, 0o600),
		writePEM(base+".pem", "CERTIFICATE", c.cert.Raw, 0o644),
	)
}

func writePEM(path, kind string, der []byte, perm fs.FileMode) error {
	return file.WriteAtomic(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), perm)
}

// removeCerts removes what certs made, and nothing that a user put beside it.
func removeCerts(dir string) error {
	var errs []error
	for _, name := range certFiles {
		errs = append(errs, removeFile(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}
