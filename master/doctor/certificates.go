package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

const (
	soon = 30 * 24 * time.Hour // a certificate ends: warning
	now  = 7 * 24 * time.Hour  // error
)

func checkCertificates(ctx context.Context, o *Options) (out []masterapi.Finding) {
	n := 0
	o.eachCertificate(ctx, func(m module, path string) {
		n++
		out = append(out, certificates(path, m.path)...)
	}, func(m module, certificate, key string) {
		if _, err := tls.LoadX509KeyPair(certificate, key); err != nil && !errors.Is(err, fs.ErrPermission) {
			out = append(out, one(failed, fmt.Sprintf("%s and %s, of %s: %s", certificate, key, m.path, err),
				"put the certificate and the key that belong together there")...)
		}
	})
	return or(out, ok("%d files", n))
}

// eachCertificate calls file for each file of certificates that a configuration names, once, and pair for each with its
// key.
func (o *Options) eachCertificate(ctx context.Context, file func(m module, path string),
	pair func(m module, certificate, key string)) {
	seen := map[string]bool{}
	for _, m := range o.all() {
		walk(m.value, 0, func(v map[any]any) {
			text := func(key string) string {
				path, ok := v[key].(string)
				if !ok || path == "" || strings.Contains(path, "\n") {
					return ""
				}
				return o.onHost(m, path)
			}
			ca, certificate, key := text("ca"), text("cert"), text("key")
			if certificate == "" && key != "" { // key alone is another key
				key = ""
			}
			for _, path := range []string{ca, certificate} {
				if path == "" || seen[path] || ctx.Err() != nil {
					continue
				}
				seen[path] = true
				file(m, path)
			}
			if certificate != "" && key != "" && !seen[certificate+key] {
				seen[certificate+key] = true
				pair(m, certificate, key)
			}
		})
	}
}

// Certificate is a file of certificates that a configuration names.
type Certificate struct {
	Path     string    // on this host
	Service  string    // whose configuration names it first; empty: the master's
	NotAfter time.Time // when the first one in it ends
}

// Certificates returns those that can be read, of the master and of all services. Of o, Workdir, Mode, Config and
// Application count. A dead disk holds it up.
func Certificates(ctx context.Context, o Options) (out []Certificate) {
	o.eachCertificate(ctx, func(m module, path string) {
		data, err := head(path, 1<<20)
		if err != nil {
			return
		}
		c := Certificate{Path: path, Service: m.service.Name}
		for x := range parsed(data) {
			if c.NotAfter.IsZero() || x.NotAfter.Before(c.NotAfter) {
				c.NotAfter = x.NotAfter
			}
		}
		if !c.NotAfter.IsZero() {
			out = append(out, c)
		}
	}, func(module, string, string) {})
	return out
}

// parsed are the certificates of a PEM file.
func parsed(data []byte) iter.Seq[*x509.Certificate] {
	return func(yield func(*x509.Certificate) bool) {
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(block.Bytes)
			if block.Type == "CERTIFICATE" && err == nil && !yield(c) {
				return
			}
		}
	}
}

// certificates judges those in a file.
func certificates(path, of string) (out []masterapi.Finding) {
	data, err := head(path, 1<<20)
	if err != nil {
		return one(failed, fmt.Sprintf("%s names a certificate that cannot be read: %s", of, err), "put it there")
	}
	found := false
	for c := range parsed(data) {
		found = true
		left := time.Until(c.NotAfter)
		text := fmt.Sprintf("%s (%s) ends at %s, in %d days", path, c.Subject.CommonName, c.NotAfter.Format(time.DateOnly),
			int(left/(24*time.Hour)))
		const hint = "renew it; modules read a new file at their next start"
		switch {
		case left < 0:
			out = append(out, one(failed, fmt.Sprintf("%s (%s) has ended at %s", path, c.Subject.CommonName,
				c.NotAfter.Format(time.DateOnly)), hint)...)
		case time.Now().Before(c.NotBefore):
			out = append(out, one(failed, fmt.Sprintf("%s is not valid before %s", path, c.NotBefore.Format(time.DateTime)),
				"see the check clock")...)
		case left < now:
			out = append(out, one(failed, text, hint)...)
		case left < soon:
			out = append(out, one(warning, text, hint)...)
		}
	}
	if !found {
		return one(failed, path+", which "+of+" names, has no certificate", "it has to be in PEM")
	}
	return out
}
