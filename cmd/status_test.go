package cmd_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Where a hub's password lies is said to everybody, and what it is to whoever asks and may read it.
func TestStatusOfLogins(t *testing.T) {
	t.Parallel()
	d := newOperatedDevice(t)
	const secret = "aSecretOfItsOwn"
	d.write(t, "var/db/baetyl/application.yml", `version: v1
services:
  - {name: localhub, image: pkg, replica: 0, mounts: [{name: conf, path: etc/baetyl, readonly: true}]}
volumes: [{name: conf, path: var/db/baetyl/localhub-conf}]
`, 0o644)
	d.write(t, "var/db/baetyl/localhub-conf/service.yml", `listen: ["tcp://127.0.0.1:1"]
principals:
  - {username: baetyl, password: {file: password}}
  - {username: mounted, password: {file: /etc/baetyl/password}}
  - {username: plain, password: in-the-file}
`, 0o644)
	path := d.path("var/db/baetyl/localhub-conf/password")
	d.write(t, "var/db/baetyl/localhub-conf/password", secret+"\n", 0o600)
	d.start(t)
	require.Eventually(t, func() bool {
		_, code := d.run("status")
		return code == 0
	}, time.Minute, 50*time.Millisecond)

	for _, args := range [][]string{{"status"}, {"status", "-o", "json"}, nil} {
		out := d.expect(t, 0, []string{path, "tcp://127.0.0.1:1"}, args...)
		require.NotContains(t, out, secret)
		require.NotContains(t, out, "plain")
	}
	said := d.expect(t, 0, []string{"baetyl at localhub (tcp://127.0.0.1:1), password " + secret,
		"mounted at localhub (tcp://127.0.0.1:1), password " + secret}, "status", "--password")
	require.NotContains(t, said, "in-the-file")
	d.expect(t, 0, []string{`"password": "` + secret + `"`}, "status", "--password", "-o", "json")
	require.NoError(t, os.Remove(path))
	d.expect(t, 1, []string{"the password of baetyl at localhub", path, "no such file"}, "status", "--password")
}
