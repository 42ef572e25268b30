//go:build unix

package docker

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/protocol/app"
)

// onFolder is a service with a volume of docker's local driver.
func onFolder(device, o string) engine.Service {
	return engine.Service{
		Service: app.Service{Name: "s", Mounts: []app.Mount{{Name: "v", Path: "p"}}},
		Volumes: map[string]app.Volume{"v": {Name: "v", Driver: "local", DriverOpts: map[string]string{
			"type": "none", "device": device, "o": o,
		}}},
	}
}

// No mount of a container leads to the admin socket: root in a container is root for it. Neither does a link that a
// service has made.
func TestNoMountOfTheAdminSocket(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "var/db/baetyl"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "var/run/baetyl/services"), 0o755))
	require.NoError(t, os.Symlink("../../run", filepath.Join(dir, "var/db/baetyl/link")))
	for path, allowed := range map[string]bool{
		".": false, "var": false, "var/run": false, "var/run/baetyl": false, "var/run/baetyl/services": false,
		"var/db/baetyl": true, "var/db/baetyl/v": true, "var/run/baetylx": true, "var/log": true, "etc": true,
	} {
		_, err := mounts(dir, engine.Service{
			Service: app.Service{Name: "s", Mounts: []app.Mount{{Name: "v", Path: "p"}}},
			Volumes: map[string]app.Volume{"v": {Name: "v", Path: path}},
		}, folder.Source)
		if allowed {
			require.NoError(t, err, path)
		} else {
			require.ErrorContains(t, err, "admin socket", path)
		}
	}
	// A volume of docker may be a folder of the host too.
	for device, o := range map[string]string{
		dir + "/var/run/baetyl": "bind", dir + "/var/db/baetyl/link/baetyl": "rw,bind",
		dir + "/var/db/../run": "rbind,ro", "/": "bind",
	} {
		_, err := mounts(dir, onFolder(device, o), folder.Source)
		require.ErrorContains(t, err, "admin socket", device)
	}
	for device, o := range map[string]string{
		dir + "/var/db/baetyl": "bind", dir + "/gone": "bind", ":/var/run": "addr=10.0.0.1,rw",
	} {
		_, err := mounts(dir, onFolder(device, o), folder.Source)
		require.NoError(t, err, device)
	}
	for _, path := range []string{"var/db/baetyl/link", "var/db/baetyl/link/baetyl"} {
		_, err := mounts(dir, engine.Service{
			Service: app.Service{Name: "s", Mounts: []app.Mount{{Name: "v", Path: "p"}}},
			Volumes: map[string]app.Volume{"v": {Name: "v", Path: path}},
		}, folder.Source)
		require.ErrorContains(t, err, "is a link", path)
	}
}
