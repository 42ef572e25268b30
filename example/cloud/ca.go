package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/baetyl/baetyl/utils/file"
)

// lifetime of the CA and of what it signs: devices stay for years, and nothing here renews a certificate.
const lifetime = 10 * 365 * 24 * time.Hour

// publisher is the name with which the cloud itself connects to its hub. It has a dot, so no device can have it.
const publisher = "baetyl.cloud"

// makeCertificates makes the CA and what it signs for the cloud itself. base is the path of a pair without .pem and .key.
func makeCertificates(base func(name string) string, hosts []string) error {
	ca, err := makePair(base("ca"), nil, &x509.Certificate{Subject: pkix.Name{CommonName: "baetyl cloud CA"}, IsCA: true,
		BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign})
	if err != nil {
		return err
	}
	server := &x509.Certificate{Subject: pkix.Name{CommonName: hosts[0]}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range append(hosts, "localhost", "127.0.0.1", "::1") { // the publisher comes over localhost
		if ip := net.ParseIP(h); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, h)
		}
	}
	_, err1 := makePair(base("server"), ca, server)
	_, err2 := makePair(base("cloud"), ca, clientTemplate(publisher))
	return errors.Join(err1, err2)
}

// clientTemplate is a certificate that shows who connects, and is good for nothing else.
func clientTemplate(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

// makePair makes a key and its certificate, signed by ca, or by itself where ca is nil. Only the owner may read the key.
func makePair(base string, ca *tls.Certificate, template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	out, err := sign(ca, template, key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return out, errors.Join(writePEM(base+".key", "PRIVATE KEY", der, 0o600), writePEM(base+".pem", "CERTIFICATE", out.Leaf.Raw, 0o644))
}

// sign completes the template and signs it.
func sign(ca *tls.Certificate, template *x509.Certificate, key crypto.Signer) (*tls.Certificate, error) {
	var err error
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(lifetime) // the clock of a device may be behind
	template.KeyUsage |= x509.KeyUsageDigitalSignature
	if ca == nil {
		ca = &tls.Certificate{Leaf: template, PrivateKey: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", template.Subject.CommonName, err)
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func writePEM(path, kind string, der []byte, perm fs.FileMode) error {
	return file.WriteAtomic(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), perm)
}

func readCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("read %s: it is not in PEM form", path)
	}
	return x509.ParseCertificate(block.Bytes)
}
