package app_test

import (
	"fmt"
	"maps"
	"slices"
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
	const (
		image    = "name: s, image: i, "
		timer    = "name: s, image: baetyl-timer, "
		function = "name: s, image: baetyl-function-python36, "
		hub      = "name: s, image: 'r.example.com/baetyl-hub:1', "
		data     = "mounts: [{name: v, path: var/db/baetyl}]"
	)
	for name, c := range map[string]struct {
		service string
		all     bool
		want    string
	}{
		"another image":           {image, false, "nnp"},
		"another image, its keys": {image + "cap_add: [cap_chown], cap_drop: [MKNOD, KILL]", false, "nnp +CHOWN -KILL -MKNOD"},
		"read_only alone":         {image + "read_only: true", false, "nnp ro"},
		"docker.hardened":         {image + "cap_add: [CHOWN, chown]", true, "hard nnp +CHOWN -ALL ro 4096 /tmp /var/tmp"},
		"all capabilities":        {image + "cap_add: [ALL]", true, "hard nnp +ALL ro 4096 /tmp /var/tmp"},
		"but not this one":        {image + "hardened: false", true, ""},
		"privileged":              {image + "privileged: true", true, ""},
		"module":                  {hub + data, false, "hard nnp +DAC_OVERRIDE +NET_BIND_SERVICE -ALL ro 4096 /tmp /var/tmp"},
		"data without a volume":   {hub, false, "hard nnp +DAC_OVERRIDE +NET_BIND_SERVICE -ALL 4096"},
		"a module with less":      {hub + "cap_drop: [ALL], resources: {pids: {limit: 9}}", false, "hard nnp -ALL 9"},
		"a writable module":       {timer + "read_only: false", false, "hard nnp +DAC_OVERRIDE -ALL 4096"},
		"a module as before":      {hub + "hardened: false", false, ""},
		"code of users":           {function, false, "hard nnp +DAC_OVERRIDE -ALL 4096"},
		"a volume at /tmp": {
			timer + "mounts: [{name: v, path: tmp}]", false, "hard nnp +DAC_OVERRIDE -ALL ro 4096 /var/tmp",
		},
	} {
		got := parsed(t, "{"+c.service+"}").Confine(c.all)
		require.Equal(t, c.want, describe(got), name)
	}
}

// describe is c in words.
func describe(c app.Confinement) string {
	var out []string
	for word, is := range map[string]bool{"hard": c.Hardened, "nnp": c.NoNewPrivileges} {
		if is {
			out = append(out, word)
		}
	}
	slices.Sort(out)
	for _, name := range c.CapAdd {
		out = append(out, "+"+name)
	}
	for _, name := range c.CapDrop {
		out = append(out, "-"+name)
	}
	if c.ReadOnly {
		out = append(out, "ro")
	}
	if c.Pids > 0 {
		out = append(out, fmt.Sprint(c.Pids))
	}
	return strings.Join(append(out, slices.Sorted(maps.Keys(c.Tmpfs))...), " ")
}

// What is accepted is written as docker takes it.
func FuzzContainer(f *testing.F) {
	for _, s := range []string{"CAP_CHOWN", "all", "/tmp:size=1m,exec", "tmp", "a:1.2.3.4", "b:host-gateway",
		"c:[::1]", ":", ""} {
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
