package config

import (
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/utils/cert"
)

// Certificate is that of the listeners with TLS, and which ones of clients it takes. Unlike other servers the hub only
// asks for a certificate where CA is set: accounts log in without one, as documented.
type Certificate struct {
	cert.Config `yaml:",inline" json:",inline"`
	// ssl and wss: who presents no certificate of CA is refused, accounts too
	Require bool `yaml:"require" json:"require"`
	// PEM or DER file of what the authorities in CA have revoked
	CRL string `yaml:"crl" json:"crl"`
	// cn: the common name of a client's certificate is its user name
	Username string `yaml:"username" json:"username" default:"none" validate:"oneof=none|cn"`
}

// named tells whether certificates have the user names of clients.
func (c *Certificate) named() bool { return c.Username == "cn" }

// check returns what does not fit together. secured tells whether a listener has TLS.
func (c *Certificate) check(secured bool) error {
	// A ca without a certificate has no effect, and was accepted before: Warnings names it.
	pair := cert.Config{Cert: c.Cert, Key: c.Key}
	if err := pair.CheckServer(); err != nil {
		return fmt.Errorf("certificate.%w", err)
	}
	key := ""
	switch {
	case c.CRL != "" && c.CA == "":
		return errors.New("certificate.crl: needs certificate.ca, which has the authorities that sign the list; set both")
	case c.Require:
		key = "certificate.require"
	case c.named():
		key = "certificate.username"
	}
	switch {
	case key == "":
	case c.CA == "":
		return fmt.Errorf("%s: needs certificate.ca, which says whose certificates are taken; set both", key)
	case !secured:
		return fmt.Errorf("%s: is set, but no address in listen has TLS; add one with ssl:// or wss://", key)
	}
	return nil
}
