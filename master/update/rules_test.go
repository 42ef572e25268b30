package update

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A new application is refused for what Options.Rules names; one that a version before has accepted is started.
func TestRules(t *testing.T) {
	d := newDevice(t)
	d.opts.Rules = func(c *app.Config) []string {
		return []string{"services[0].name: too short", "services[1].name: too long"}
	}
	version, failure := d.start()
	require.NotEmpty(t, version)
	require.Empty(t, failure)

	u := d.updater()
	u.free <- struct{}{}
	d.write(filepath.Join(d.opts.Workdir, "var/db/baetyl/new.yml"), after)
	err := u.Request(masterapi.UpdateRequest{Type: masterapi.UpdateApp, Path: "var/db/baetyl/new.yml"}, masterapi.By{})
	require.ErrorIs(t, err, masterapi.ErrRefused)
	require.ErrorContains(t, err, "new.yml: services[0].name: too short; services[1].name: too long")
	u.opts.Rules = func(*app.Config) []string { return nil }
	r := masterapi.UpdateRequest{Type: masterapi.UpdateApp, Path: "var/db/baetyl/new.yml"}
	require.NoError(t, u.Request(r, masterapi.By{}))
}
