package app_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
)

// parsed is the first service of an application.
func parsed(t *testing.T, service string) app.Service {
	t.Helper()
	c, err := app.Parse("f", []byte("services: ["+service+"]\nvolumes: [{name: v, path: v}]"))
	require.NoError(t, err, service)
	return c.Services[0]
}

// Which bounds a container has: by its image, by its own keys, and by conf.yml.
func TestConfine(t *testing.T) {
	const hub = "name: s, image: 'r.example.com/baetyl-hub:1'"
	const data = "mounts: [{name: v, path: var/db/baetyl}]"
	drop, temporary := []string{"ALL"}, []string{"/tmp", "/var/tmp"}
	for name, c := range map[string]struct {
		service string
		all     bool
		want    app.Confinement
		tmpfs   []string
	}{
		"another image": {"name: s, image: i", false, app.Confinement{NoNewPrivileges: true}, nil},
		"another image, its keys": {"name: s, image: i, cap_add: [cap_chown], cap_drop: [MKNOD, KILL], read_only: true", false, app.Confinement{
			NoNewPrivileges: true, CapAdd: []string{"CHOWN"}, CapDrop: []string{"KILL", "MKNOD"}, ReadOnly: true}, nil},
		"docker.hardened": {"name: s, image: i, cap_add: [CHOWN, chown]", true, app.Confinement{
			Hardened: true, NoNewPrivileges: true, CapAdd: []string{"CHOWN"}, CapDrop: drop, ReadOnly: true, Pids: 4096}, temporary},
		"all capabilities, hardened": {"name: s, image: i, cap_add: [ALL]", true, app.Confinement{
			Hardened: true, NoNewPrivileges: true, CapAdd: drop, ReadOnly: true, Pids: 4096}, temporary},
		"docker.hardened, but not this one": {"name: s, image: i, hardened: false", true, app.Confinement{}, nil},
		"privileged":                        {"name: s, image: i, privileged: true", true, app.Confinement{}, nil},
		"module": {hub + "," + data, false, app.Confinement{
			Hardened: true, NoNewPrivileges: true, CapAdd: []string{"DAC_OVERRIDE", "NET_BIND_SERVICE"}, CapDrop: drop, ReadOnly: true,
			Pids: 4096}, temporary},
		"module whose data have no volume": {hub, false, app.Confinement{
			Hardened: true, NoNewPrivileges: true, CapAdd: []string{"DAC_OVERRIDE", "NET_BIND_SERVICE"}, CapDrop: drop, Pids: 4096}, nil},
		"module that may do less": {hub + ", cap_drop: [ALL], resources: {pids: {limit: 9}}", false, app.Confinement{
			Hardened: true, NoNewPrivileges: true, CapDrop: drop, Pids: 9}, nil},
		"module, writable": {"name: s, image: baetyl-timer, read_only: false", false, app.Confinement{
			Hardened: true, NoNewPrivileges: true, CapAdd: []string{"DAC_OVERRIDE"}, CapDrop: drop, Pids: 4096}, nil},
		"module as before": {hub + ", hardened: false", false, app.Confinement{}, nil},
		"code of users": {"name: s, image: baetyl-function-python36", false, app.Confinement{
			Hardened: true, NoNewPrivileges: true, CapAdd: []string{"DAC_OVERRIDE"}, CapDrop: drop, Pids: 4096}, nil},
		"its own /tmp": {"name: s, image: baetyl-timer, mounts: [{name: v, path: tmp}]", false, app.Confinement{
			Hardened: true, NoNewPrivileges: true, CapAdd: []string{"DAC_OVERRIDE"}, CapDrop: drop, ReadOnly: true, Pids: 4096},
			[]string{"/var/tmp"}},
	} {
		got := parsed(t, "{"+c.service+"}").Confine(c.all)
		for _, p := range c.tmpfs {
			require.Contains(t, got.Tmpfs[p], "size=25%", name)
		}
		require.Len(t, got.Tmpfs, len(c.tmpfs), name)
		got.Tmpfs = nil
		if len(got.CapAdd) == 0 {
			got.CapAdd = nil
		}
		require.Equal(t, c.want, got, name)
	}
}

// What is accepted is written as docker takes it.
func FuzzContainer(f *testing.F) {
	for _, s := range []string{"CAP_CHOWN", "all", "/tmp:size=1m,exec", "tmp", "a:1.2.3.4", "b:host-gateway", "c:[::1]", ":", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if name, err := app.ParseCapability(text); err == nil {
			require.Equal(t, strings.ToUpper(name), name)
			again, err := app.ParseCapability(name)
			require.NoError(t, err)
			require.Equal(t, name, again)
		}
		if path, options, err := app.ParseTmpfs(text); err == nil {
			require.True(t, len(path) > 1 && path[0] == '/')
			require.NotContains(t, path, "/../")
			require.NotContains(t, options, " ")
		}
		if name, address, err := app.ParseHost(text); err == nil {
			require.NotContains(t, name, ":")
			require.NotContains(t, address, "[")
		}
	})
}
