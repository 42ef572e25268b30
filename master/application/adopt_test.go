package application_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// master is one master after the other on the same host.
type master struct {
	*application.Application
	services *service.Manager
	fake     *enginetest.Fake
	path     string // of the records
}

func (m *master) boot(t *testing.T, c *app.Config) {
	t.Helper()
	if m.services != nil {
		m.Leave()
		m.fake = m.fake.Next()
	}
	m.services = service.New(service.Options{
		Engine: m.fake, Grace: time.Second, Log: log.Discard(),
		Records: service.NewRecords(m.path, file.OS, log.Discard()),
	})
	m.Application = application.New(application.Options{Engine: m.fake, Services: m.services, Log: log.Discard()})
	m.Start(t.Context(), c, nil)
}

// parse reads an application of a service that stays, and one whose argument is version.
func parse(t *testing.T, version string, volume string) *app.Config {
	t.Helper()
	c, err := app.Parse("application.yml", fmt.Appendf(nil, `
version: %[1]s
services:
  - {name: user, image: i, replica: 1, mounts: [{name: v, path: p}]}
  - {name: stays, image: i, replica: 2}
  - {name: changes, image: i, replica: 1, args: [%[1]s], depends_on: [stays]}
volumes: [{name: v, path: %[2]s}]
`, version, volume))
	require.NoError(t, err)
	return c
}

func newHost(t *testing.T) *master {
	return &master{fake: enginetest.NewFake(), path: filepath.Join(t.TempDir(), "instances.json")}
}

// A new master restarts no service that is still right, whatever stands where in the file, and what the definition, or
// a volume, has changed of.
func TestNewMasterTakesOver(t *testing.T) {
	m := newHost(t)
	m.boot(t, parse(t, "v1", "a"))
	first := m.fake.Records()
	require.Len(t, first, 4)
	c := parse(t, "v1", "a")
	c.Services[0], c.Services[2] = c.Services[2], c.Services[0]
	c.Version = "v1, again"
	m.boot(t, c)
	require.Equal(t, first, m.fake.Records())

	m.boot(t, parse(t, "v2", "b"))
	second := m.fake.Records()
	for name, r := range first {
		require.Equal(t, name == "stays" || name == "stays.i1", r == second[name], name)
	}
	require.NoError(t, m.StopAll())
	require.NoFileExists(t, m.path)
	require.Zero(t, m.fake.Held())
}

// A master that is killed during an update leaves the services of the new application; the next one, which has put the
// file back, ends these alone.
func TestUpdateThatIsPutBack(t *testing.T) {
	m := newHost(t)
	old, next := parse(t, "v1", "a"), parse(t, "v2", "a")
	m.boot(t, old)
	first := m.fake.Records()
	p, err := application.Diff(old, next)
	require.NoError(t, err)
	require.NoError(t, m.Change(t.Context(), p, next, false))
	require.NotEqual(t, first["changes"], m.fake.Records()["changes"])
	changed := m.fake.Records()["changes"]
	m.boot(t, old)
	after := m.fake.Records()
	require.NotEqual(t, changed.Handle, after["changes"].Handle)
	delete(first, "changes")
	delete(after, "changes")
	require.Equal(t, first, after)
	require.NoError(t, m.StopAll())
}

// An application that cannot be read, or is empty, has nothing of what runs.
func TestNothingIsWanted(t *testing.T) {
	m := newHost(t)
	m.boot(t, parse(t, "v1", "a"))
	m.boot(t, &app.Config{})
	require.Empty(t, m.fake.Records())
	require.NoFileExists(t, m.path)
}
