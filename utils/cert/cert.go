// Package cert makes TLS settings from certificate files, and issues certificates. The least TLS version is 1.2. With
// `ca` set, only the authorities in that file are trusted, not those of the system.
package cert

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Config is the certificate part of a server's or a client's configuration. Paths are relative to the working
// directory.
type Config struct {
	// PEM file of the authorities that the other side's certificate must come from
	CA   string `yaml:"ca" json:"ca"`
	Key  string `yaml:"key" json:"key"`   // PEM file of the private key
	Cert string `yaml:"cert" json:"cert"` // PEM file of the certificate, with its chain
	// of a client: do not verify the server. Of a server: plain tcp is meant, also where other hosts can reach it
	Insecure bool `yaml:"insecure" json:"insecure"`
}

// Empty tells whether nothing is configured.
func (c Config) Empty() bool { return c.CA == "" && c.Key == "" && c.Cert == "" && !c.Insecure }

// Server returns the settings of a server: key and cert are needed. With CA a client must present a certificate that
// comes from CA; without CA none is asked for.
func Server(c Config) (*tls.Config, error) {
	if c.Key == "" || c.Cert == "" {
		return nil, errors.New("a TLS server needs both cert and key")
	}
	out, err := base(c)
	if err != nil {
		return nil, err
	}
	if c.CA != "" {
		if out.ClientCAs, err = pool(c.CA); err != nil {
			return nil, err
		}
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return out, nil
}

// Client returns the settings of a client. Without CA the system's authorities are trusted; with Insecure nothing is
// verified.
func Client(c Config) (*tls.Config, error) {
	out, err := base(c)
	if err != nil {
		return nil, err
	}
	out.InsecureSkipVerify = c.Insecure
	if c.CA != "" {
		if out.RootCAs, err = pool(c.CA); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func base(c Config) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case c.Cert == "" && c.Key == "":
	case c.Cert == "" || c.Key == "":
		return nil, errors.New("cert and key must be set together")
	default:
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("load cert %s with key %s: %w", c.Cert, c.Key, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

func pool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load ca: %w", err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load ca %s: no certificate in PEM form found", path)
	}
	return p, nil
}
