package download

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/baetyl/baetyl/utils/cert"
)

// NewClient returns a client for downloads. Packages may come from any server, so the client trusts the authorities of
// the system and those of c.CA. Dialling and the TLS handshake may take 30 s each, the head of the answer a minute; the
// body has no limit. A redirect may not lead from https to http. An error says which file of c can't be read.
func NewClient(c cert.Config) (*http.Client, error) {
	tls, err := cert.Client(c)
	if err != nil {
		return nil, err
	}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		if system, err := x509.SystemCertPool(); err == nil && system.AppendCertsFromPEM(pem) {
			tls.RootCAs = system
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
			TLSClientConfig:       tls,
			TLSHandshakeTimeout:   30 * time.Second,
			ResponseHeaderTimeout: time.Minute,
			IdleConnTimeout:       time.Minute,
			DisableCompression:    true, // ranges count the bytes of the file
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			switch {
			case len(via) >= 10:
				return errors.New("more than 10 redirects")
			case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
				return errors.New("redirect leaves https")
			}
			return nil
		},
	}, nil
}
