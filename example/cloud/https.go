package main

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/utils/cert"
)

const (
	packagesPath = "/packages/"
	maxReport    = 1 << 20 // bytes of a report's body
	maxSteps     = 100     // of an update
)

var packageName = regexp.MustCompile(`^[0-9a-f]{64}\.zip$`)

// https serves reports and packages until ctx ends. Who has no certificate of the CA does not get past the handshake.
func (v *server) https(ctx context.Context) error {
	settings, err := cert.Server(v.config.Certificate.Config)
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", ":"+strconv.Itoa(v.HTTPS), settings) // HTTP/1.1: programs here are built without HTTP/2
	if err != nil {
		return err
	}
	// No time limit for answers: a package over a slow link takes as long as it takes.
	s := &http.Server{
		Handler:        v.handler(),
		ReadTimeout:    time.Minute,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		s.Close()
		<-done
		return nil
	}
}

func (v *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+cloud.ReportURL, v.identified(v.takeReport))
	mux.HandleFunc("GET "+packagesPath+"{name}", v.identified(v.servePackage))
	return mux
}

// identified finds out which device asks. A certificate counts as long as it is the one that was made for a device
// that is there.
func (v *server) identified(serve func(w http.ResponseWriter, r *http.Request, device string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		shown := r.TLS.VerifiedChains[0][0]
		device := shown.Subject.CommonName
		known, err := v.certificate(device)
		if err != nil || !bytes.Equal(shown.Raw, known.Raw) {
			http.Error(w, "this certificate belongs to no device of this cloud", http.StatusForbidden)
			return
		}
		serve(w, r, device)
	}
}

func (v *server) takeReport(w http.ResponseWriter, r *http.Request, device string) {
	if status, err := v.openReport(w, r, device); err != nil {
		v.log.WithField("device", device).WithError(err).Warnf("report refused")
		http.Error(w, err.Error(), status)
	}
}

// openReport keeps a report and the steps that it brings, or tells with which status it is refused.
func (v *server) openReport(w http.ResponseWriter, r *http.Request, device string) (int, error) {
	shown := r.TLS.VerifiedChains[0][0]
	if r.Header.Get(cloud.HeaderSerial) != cloud.Serial(shown) || r.Header.Get(cloud.HeaderClientID) != device {
		return http.StatusForbidden, fmt.Errorf(
			"%s and %s are not those of the certificate",
			cloud.HeaderSerial,
			cloud.HeaderClientID,
		)
	}
	key, ok := shown.PublicKey.(*rsa.PublicKey)
	if !ok {
		return http.StatusForbidden, errors.New("the certificate has no RSA key")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReport))
	if err != nil {
		return http.StatusRequestEntityTooLarge, err
	}
	data, err := cloud.Sealed{Key: r.Header.Get(cloud.HeaderKey), Body: string(body)}.Open(key)
	if err != nil {
		return http.StatusBadRequest, err
	}
	var content cloud.Report
	if err := json.Unmarshal(data, &content); err != nil {
		return http.StatusBadRequest, fmt.Errorf("read report: %w", err)
	}
	err = v.change(device, func(st *state) {
		st.Reports = append(st.Reports, report{time.Now(), data})
		st.Reports = st.Reports[max(0, len(st.Reports)-keepReports):]
		for trace, steps := range content.OTA {
			if p := st.Updates[trace]; p != nil { // else it is not of this cloud
				p.Steps = merge(p.Steps, steps)
			}
		}
	})
	return http.StatusInternalServerError, err
}

// merge adds the steps that are new. A device repeats what it has reported, and may have forgotten the oldest.
func merge(known, reported []cloud.Progress) []cloud.Progress {
	for _, r := range reported {
		if len(known) < maxSteps &&
			!slices.ContainsFunc(known, func(k cloud.Progress) bool { return k.Step == r.Step && k.Time.Equal(r.Time) }) {
			known = append(known, r)
		}
	}
	return known
}

// servePackage sends one, or the part of it that is asked for. A device sees its own folder of packages, and nothing
// but names of packages.
func (v *server) servePackage(w http.ResponseWriter, r *http.Request, device string) {
	name := r.PathValue("name")
	if !packageName.MatchString(name) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"`+name[:64]+`"`) // so that a part is only taken for the rest of the same package
	http.ServeFile(w, r, v.device(device, "packages", name))
}
