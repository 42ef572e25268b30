// Package certtest issues certificates for tests of TLS.
package certtest

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/cert"
)

// Set is what one authority has issued, as the keys of a configuration. Both have its certificate as their CA.
type Set struct {
	Server cert.Config // for 127.0.0.1 and localhost
	Client cert.Config // no server can use it
}

// New makes an authority and what it issues, in a folder that ends with the test.
func New(t testing.TB) Set {
	t.Helper()
	ca, err := cert.Issue(cert.Authority("ca"), nil, nil)
	require.NoError(t, err)
	server, err := cert.Issue(cert.ForServer("server", "127.0.0.1", "localhost"), nil, ca)
	require.NoError(t, err)
	client, err := cert.Issue(cert.ForClient("client"), nil, ca)
	require.NoError(t, err)
	base := filepath.Join(t.TempDir(), "x")
	require.NoError(t, errors.Join(cert.WriteCertificate(base+".pem", ca.Leaf), cert.Write(base+"-server", server),
		cert.Write(base+"-client", client)))
	config := func(name string) cert.Config {
		return cert.Config{CA: base + ".pem", Cert: base + name + ".pem", Key: base + name + ".key"}
	}
	return Set{Server: config("-server"), Client: config("-client")}
}
