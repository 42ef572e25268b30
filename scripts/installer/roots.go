package main

import (
	"bytes"
	"encoding/pem"
	"io"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/baetyl/baetyl/utils/file"
)

// roots writes Mozilla's CA roots, as golang.org/x/crypto has them, to a PEM file for an image. The store of the
// building machine would be easier to have, but may hold authorities that only its owner trusts. Roots that Mozilla
// trusts with limits are left out: a PEM file cannot express those.
func roots(args []string, _ io.Writer) error {
	args, err := positional(args, "file")
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return err
		}
	}
	return file.WriteAtomic(args[0], out.Bytes(), 0o644)
}
