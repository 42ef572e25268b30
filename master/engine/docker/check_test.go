//go:build unix

package docker

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/log"
)

// What a container could not start with is found without a daemon, and nothing is made.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	defer l.Close()
	for name, c := range map[string]struct {
		change func(*engine.Service)
		want   string
	}{
		"nothing": {func(*engine.Service) {}, ""},
		"socket of the host": {func(s *engine.Service) {
			s.Volumes["v"] = app.Volume{Name: "v", Path: filepath.Join(dir, "s")}
		}, "mount v of volume v: " + filepath.Join(dir, "s") + " is a socket of the host"},
		"device of the host": {func(s *engine.Service) {
			s.Volumes["v"] = app.Volume{Name: "v", Path: "/dev/full"}
		}, "write /dev/full in devices of the service"},
		"large variable": {func(s *engine.Service) {
			s.Env = map[string]string{"LARGE": strings.Repeat("x", 32*os.Getpagesize())}
		}, "env.LARGE has"},
		"in a read-only mount": {func(s *engine.Service) {
			s.Mounts = []app.Mount{{Name: "v", Path: "/a", ReadOnly: true}, {Name: "w", Path: "a/b/c"}}
		}, "mount /a/b/c lies in mount /a, which is readonly and has no place for it: make "},
		"in a read-only mount with a place": {func(s *engine.Service) {
			s.Mounts = []app.Mount{{Name: "v", Path: "/a", ReadOnly: true}, {Name: "w", Path: "a/there"}}
		}, ""},
		"in a writable mount": {func(s *engine.Service) {
			s.Mounts = []app.Mount{{Name: "v", Path: "/a"}, {Name: "w", Path: "a/b/c"}}
		}, ""},
		"over the socket's folder": {func(s *engine.Service) {
			s.Mounts = []app.Mount{{Name: "v", Path: "/var/run", ReadOnly: true}}
		}, "mount /var/run/baetyl.sock lies in mount /var/run, which is readonly"},
		"over the socket's folder, without rights": {func(s *engine.Service) {
			s.Mounts, s.API = []app.Mount{{Name: "v", Path: "/var/run", ReadOnly: true}}, []app.Right{}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			work := t.TempDir()
			require.NoError(t, os.MkdirAll(filepath.Join(work, "var/db/baetyl/v/there"), 0o755))
			e, err := New(Options{Workdir: work, Socket: filepath.Join(work, "var/run/baetyl.sock"), Log: log.Discard()})
			require.NoError(t, err)
			s := engine.Service{
				Service: app.Service{Name: "s", Image: "i", Mounts: []app.Mount{{Name: "v", Path: "v"}}},
				Volumes: map[string]app.Volume{
					"v": {Name: "v", Path: "var/db/baetyl/v"}, "w": {Name: "w", Path: "var/db/baetyl/w"},
				},
			}
			c.change(&s)
			if err = e.Check(s); c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
			require.NoDirExists(t, filepath.Join(work, "var/db/baetyl/w"))
			require.NoDirExists(t, filepath.Join(work, "dev"))
		})
	}
}
