package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// Revoked has what authorities have revoked. It is not changed and may be used from any goroutine.
type Revoked struct {
	lists []revocations
	next  time.Time
}

// revocations is the list of one authority.
type revocations struct {
	issuer  *x509.Certificate
	numbers map[string]bool // serial numbers, in decimal
}

// ReadRevoked reads the CRLs in a file: one in DER form, or any number in PEM form. Each must be signed by an authority
// in the file ca.
func ReadRevoked(path, ca string) (*Revoked, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load crl: %w", err)
	}
	authorities, err := ReadAll(ca)
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "X509 CRL" {
			list = append(list, block.Bytes)
		}
	}
	if len(list) == 0 {
		list = [][]byte{data}
	}
	out := &Revoked{}
	for i, der := range list {
		if err := out.add(der, authorities); err != nil {
			return nil, fmt.Errorf("load crl %s: list %d: %w", path, i+1, err)
		}
	}
	return out, nil
}

func (r *Revoked) add(der []byte, authorities []*x509.Certificate) error {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("it is no CRL in PEM or DER form: %w", err)
	}
	for _, a := range authorities {
		if list.CheckSignatureFrom(a) != nil || !bytes.Equal(list.RawIssuer, a.RawSubject) {
			continue
		}
		x := revocations{a, map[string]bool{}}
		for _, e := range list.RevokedCertificateEntries {
			x.numbers[e.SerialNumber.String()] = true
		}
		r.lists = append(r.lists, x)
		if !list.NextUpdate.IsZero() && (r.next.IsZero() || list.NextUpdate.Before(r.next)) {
			r.next = list.NextUpdate
		}
		return nil
	}
	return fmt.Errorf("its issuer %s is no authority in ca that signs it; add the authority to ca, or leave the list out",
		list.Issuer)
}

// NextUpdate is when the first of the lists is out of date; zero: none says so. They hold all the same.
func (r *Revoked) NextUpdate() time.Time {
	if r == nil {
		return time.Time{}
	}
	return r.next
}

// Check returns an error if each of the verified chains has a certificate that is revoked. A nil Revoked has nothing.
func (r *Revoked) Check(chains [][]*x509.Certificate) (err error) {
	if r == nil {
		return nil
	}
	for _, chain := range chains {
		if err = r.check(chain); err == nil {
			return nil
		}
	}
	return err
}

func (r *Revoked) check(chain []*x509.Certificate) error {
	for i := range len(chain) - 1 {
		c, issuer := chain[i], chain[i+1]
		for _, x := range r.lists {
			if x.numbers[c.SerialNumber.String()] && bytes.Equal(x.issuer.RawSubject, issuer.RawSubject) &&
				bytes.Equal(x.issuer.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
				return fmt.Errorf("certificate of %s with serial number %s is revoked", c.Subject, c.SerialNumber)
			}
		}
	}
	return nil
}

// ReadAll returns the certificates in a PEM file.
func ReadAll(path string) (out []*x509.Certificate, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load certificates: %w", err)
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil { // as x509.CertPool, which leaves out others
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("load " + path + ": no certificate in PEM form found")
	}
	return out, nil
}
