package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/utils/cert"
)

const (
	// expiresSoon is how long before its end a certificate is warned of, each expiryAgain.
	expiresSoon = 30 * 24 * time.Hour
	expiryAgain = 24 * time.Hour
	// expiryCheck is how often connections are looked through for client certificates that have expired.
	expiryCheck = time.Minute
)

// secrets are the TLS settings of listeners.
type secrets struct {
	*tls.Config
	revoked *cert.Revoked
	dates   []date
}

// date is when something of the configuration is out of date.
type date struct {
	what string
	end  time.Time
}

// readSecrets returns the TLS settings of listeners, nil without a certificate.
func readSecrets(c config.Certificate) (*secrets, error) {
	if c.Cert == "" {
		return nil, nil
	}
	settings, err := cert.Server(c.Config)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if c.CA != "" && !c.Require {
		settings.ClientAuth = tls.VerifyClientCertIfGiven
	}
	x := &secrets{Config: settings}
	if c.CRL != "" {
		if x.revoked, err = cert.ReadRevoked(c.CRL, c.CA); err != nil {
			return nil, fmt.Errorf("certificate.crl: %w", err)
		}
		x.VerifyConnection = func(s tls.ConnectionState) error { return x.revoked.Check(s.VerifiedChains) }
		if end := x.revoked.NextUpdate(); !end.IsZero() {
			x.dates = append(x.dates, date{"the list in certificate.crl " + c.CRL, end})
		}
	}
	for key, path := range map[string]string{"certificate.cert": c.Cert, "certificate.ca": c.CA} {
		if path == "" {
			continue
		}
		list, err := cert.ReadAll(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		for _, y := range list {
			x.dates = append(x.dates, date{fmt.Sprintf("%s %s of %s", key, path, y.Subject), y.NotAfter})
		}
	}
	return x, nil
}

// check returns why a client certificate is not taken now.
func (x *secrets) check(chain []*x509.Certificate) error {
	if x.ClientCAs == nil {
		return errors.New("there is no certificate.ca any more")
	}
	o := x509.VerifyOptions{
		Roots: x.ClientCAs, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	chains, err := chain[0].Verify(o)
	if err != nil {
		return err
	}
	return x.revoked.Check(chains)
}

// left is the time until the first date; negative: it is over.
func (x *secrets) left(now time.Time) time.Duration {
	first := x.dates[0].end
	for _, d := range x.dates {
		if d.end.Before(first) {
			first = d.end
		}
	}
	return first.Sub(now)
}

// watchCertificates closes connections whose client certificates expire, and warns of the hub's own, once a day.
func (h *Hub) watchCertificates(ctx context.Context) error {
	h.warnOfExpiry(time.Now())
	warn, check := time.NewTicker(expiryAgain), time.NewTicker(expiryCheck)
	defer warn.Stop()
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-warn.C:
			h.warnOfExpiry(now)
		case now := <-check.C:
			h.listeners.Expire(now)
		}
	}
}

func (h *Hub) warnOfExpiry(now time.Time) {
	for _, d := range h.tls.Load().dates {
		switch left := d.end.Sub(now); {
		case left <= 0:
			h.log.Warnf("%s is out of date since %s: replace the file and reload the hub", d.what, d.end.Format(time.DateTime))
		case left < expiresSoon:
			h.log.Warnf("%s is out of date in %d days, at %s: replace the file and reload the hub", d.what,
				left/(24*time.Hour), d.end.Format(time.DateTime))
		}
	}
}
