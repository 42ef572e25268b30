package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/file"
)

// testCerts is where the certificates of the example live, relative to the prefix.
const testCerts = "var/db/baetyl/localhub-cert-only-for-test"

// certFiles are the files of testCerts. The CA's key is not among them: it is forgotten as soon as both certificates
// are signed, so that no further certificate can be made that the hub accepts.
var certFiles = []string{"ca.pem", "server.pem", "server.key", "client.pem", "client.key"}

// certs makes the CA, a server certificate for this host and a client certificate for the principal two-way-tls, each
// signed with ECDSA P-256. Where all five files exist it does nothing; removing the folder renews them.
func certs(args []string, out io.Writer) error {
	args, err := positional(args, "dir")
	if err != nil {
		return err
	}
	dir := args[0]
	missing := false
	for _, name := range certFiles {
		missing = missing || !file.Exists(filepath.Join(dir, name))
	}
	if !missing {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(out, "    made a test CA with a server and a client certificate in %s\n", dir)
	return makeCerts(dir)
}

func makeCerts(dir string) error {
	ca, err := cert.Issue(cert.Authority("baetyl test CA, only for test"), nil, nil)
	if err != nil {
		return err
	}
	hosts := []string{"localhost", "localhub", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil {
		hosts = append(hosts, host)
	}
	server, err1 := cert.Issue(cert.ForServer("localhub", hosts...), nil, ca)
	client, err2 := cert.Issue(cert.ForClient("two-way-tls"), nil, ca)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return errors.Join(cert.WriteCertificate(filepath.Join(dir, "ca.pem"), ca.Leaf),
		cert.Write(filepath.Join(dir, "server"), server), cert.Write(filepath.Join(dir, "client"), client))
}

// removeCerts removes what certs made, and nothing that a user put beside it.
func removeCerts(dir string) error {
	var errs []error
	for _, name := range certFiles {
		errs = append(errs, removeFile(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}
