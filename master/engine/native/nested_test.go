//go:build linux

package native_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A service that writes a volume puts links at the paths of volumes of another service in it: neither service gets what
// they lead to.
func TestNestedVolumeBecomesALink(t *testing.T) {
	h := ownHost(t)
	h.write(t, "bin/baetyl", "program", 0o755)
	h.write(t, "var/db/baetyl/application.yml", "version: v1\n", 0o640)
	inner := func() error {
		s := h.service(t, "inner", "echo owned >sub; echo owned >sub2; exit 0")
		s = with(with(s, "n1", "var/db/baetyl/n/sub", "sub", false), "n2", "var/db/baetyl/n/sub2", "sub2", false)
		box, err := h.Open(t.Context(), s)
		if err == nil {
			require.NoError(t, box.Close())
		}
		return err
	}
	require.NoError(t, inner())
	outer := with(h.service(t, "outer", `
cd n && mv sub sub.old && mv sub2 sub2.old && ln -s ../application.yml sub && ln -s ../../../../bin/baetyl sub2 && echo done`),
		"n", "var/db/baetyl/n", "n", false)
	require.Equal(t, []string{"done"}, h.once(t, outer))
	require.ErrorContains(t, inner(), "n/sub is a link, which a service may have made")
	for _, f := range []string{"bin/baetyl", "var/db/baetyl/application.yml"} {
		info, err := os.Stat(h.path(f))
		require.NoError(t, err)
		require.Zero(t, info.Sys().(*syscall.Stat_t).Uid, f)
	}
	// Written as the path of a volume the files are not given away either.
	for _, f := range []string{"bin/baetyl", "var/db/baetyl/application.yml"} {
		_, err := h.Open(t.Context(), with(h.service(t, "svc", "exit 0"), "f", f, "f", false))
		require.ErrorContains(t, err, "files of the master")
	}
}
