package cert_test

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/cert"
)

// crl is what an authority has revoked, in DER form.
func crl(t *testing.T, ca *tls.Certificate, next time.Time, list ...*tls.Certificate) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: next}
	for _, c := range list {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, ca.Leaf, ca.PrivateKey.(crypto.Signer))
	require.NoError(t, err)
	return der
}

// A CRL refuses what its own authority has revoked, also one of two authorities with the same name.
func TestRevoked(t *testing.T) {
	issue := func(x *x509.Certificate, by *tls.Certificate) *tls.Certificate {
		c, err := cert.Issue(x, nil, by)
		require.NoError(t, err)
		return c
	}
	ours, theirs := issue(cert.Authority("ca"), nil), issue(cert.Authority("ca"), nil)
	good, bad := issue(cert.ForClient("good"), ours), issue(cert.ForClient("bad"), ours)
	dir := t.TempDir()
	ca, path := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "crl")
	require.NoError(t, cert.WriteCertificate(ca, ours.Leaf))
	block := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }
	soon, late := time.Now().Add(time.Hour).UTC().Truncate(time.Second), time.Now().Add(24*time.Hour)
	write := func(data []byte) { require.NoError(t, os.WriteFile(path, data, 0o600)) }
	for _, data := range [][]byte{
		crl(t, ours, soon, bad),
		append(block(crl(t, ours, late)), block(crl(t, ours, soon, bad))...),
	} {
		write(data)
		r, err := cert.ReadRevoked(path, ca)
		require.NoError(t, err)
		require.Equal(t, soon, r.NextUpdate())
		good, bad := []*x509.Certificate{good.Leaf, ours.Leaf}, []*x509.Certificate{bad.Leaf, ours.Leaf}
		require.NoError(t, r.Check([][]*x509.Certificate{good}))
		require.ErrorContains(t, r.Check([][]*x509.Certificate{bad}), "certificate of CN=bad with serial number ")
		require.NoError(t, r.Check([][]*x509.Certificate{bad, good}))
		require.NoError(t, r.Check([][]*x509.Certificate{{bad[0], theirs.Leaf}}))
	}
	for want, data := range map[string][]byte{
		"list 1: its issuer CN=ca is no authority in ca that signs it": crl(t, theirs, soon, bad),
		"list 2: its issuer CN=ca":                                     append(block(crl(t, ours, soon)), block(crl(t, theirs, soon))...),
		"it is no CRL in PEM or DER form":                              []byte("x"),
	} {
		write(data)
		_, err := cert.ReadRevoked(path, ca)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
	}
	_, err := cert.ReadRevoked(filepath.Join(dir, "none"), ca)
	require.ErrorContains(t, err, "load crl")
	var none *cert.Revoked
	require.NoError(t, none.Check(nil))
	require.True(t, none.NextUpdate().IsZero())
}
