//go:build linux

package native_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
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
cd n && mv sub sub.old && mv sub2 sub2.old && ln -s ../application.yml sub &&
ln -s ../../../../bin/baetyl sub2 && echo done`),
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

// A service does not see what it links as its interpreter.
func TestInterpreterChosenByAService(t *testing.T) {
	h := ownHost(t)
	closed := filepath.Join(h.dir, "closed")
	h.write(t, "closed/pyenv/versions/3/bin/python", "", 0o755)
	require.NoError(t, os.Chmod(closed, 0o700))
	// Each service has a package of its own: what is given to a service stays that service's.
	script := "ls -A " + closed + " 2>/dev/null; echo end"
	linked := func(name string) (s engine.Service, link string) {
		s = h.service(t, name, script)
		link = h.path("var/db/baetyl/pkg-" + name + "/bin/python")
		require.NoError(t, os.Symlink(closed+"/pyenv/versions/3/bin/python", link))
		return s, link
	}
	s, _ := linked("whole")
	require.Equal(t, []string{"end"}, h.once(t, with(s, "rw", "var/db/baetyl/pkg-whole", "rw", false)))
	s, _ = linked("part")
	require.Equal(t, []string{"end"}, h.once(t, with(s, "rw", "var/db/baetyl/pkg-part/bin", "rw", false)))
	s, _ = linked("others")
	s.Uses = writersOf("pkg", "a", "b")
	require.Equal(t, []string{"end"}, h.once(t, s), "others write it")
	s, link := linked("own")
	require.Equal(t, []string{"pyenv", "end"}, h.once(t, s), "a package of root")
	require.NoError(t, os.Lchown(link, 12345, 12345))
	require.Equal(t, []string{"end"}, h.once(t, s), "a link of somebody")
}

// writersOf says that services write a volume.
func writersOf(volume string, services ...string) map[string]engine.Use {
	var u engine.Use
	for _, s := range services {
		u.Writers = append(u.Writers, engine.Member{Service: s})
	}
	return map[string]engine.Use{volume: u}
}
