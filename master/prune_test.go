package master

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/log"
)

func FuzzPercent(f *testing.F) {
	for _, text := range []string{"85%", "100%", "0%", "101%", "85", "", "%", "-1%", "+1%", "1.5%", "085%"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Prune{Disk: text}.Percent()
		if err == nil {
			require.True(t, n >= 1 && n <= 100, text)
		} else {
			require.ErrorContains(t, err, "write 1% to 100%")
		}
	})
}

// What an application names is kept. One that is not known, or is empty, names nothing that may be counted on.
func TestNamed(t *testing.T) {
	a := application.New(application.Options{Log: log.Discard(), Services: service.New(service.Options{
		Engine: enginetest.NewFake(), Log: log.Discard(),
	})})
	require.Nil(t, a.Named().Networks, "nothing was read")
	require.Nil(t, a.Named().Volumes)

	a.Set(&app.Config{Version: "empty"}, []byte("version: empty\n"))
	require.Equal(t, map[string]bool{app.DefaultNetwork: true}, a.Named().Networks)
	require.Nil(t, a.Named().Volumes, "an empty application costs no data")

	running, next, kept := parse(t, "running"), parse(t, "next"), parse(t, "kept")
	a.Set(running, []byte("x"))
	a.Next(next)
	got := a.Named(kept)
	for _, name := range []string{"running", "next", "kept"} {
		require.True(t, got.Networks["n-"+name], name)
		require.True(t, got.Volumes["v-"+name], name)
	}
	a.Next(nil)
	require.False(t, a.Named(nil).Volumes["v-next"])
}

func parse(t *testing.T, name string) *app.Config {
	c, err := app.Parse("f", []byte("version: v\nservices:\n  - name: s\n    image: i\n    replica: 1\n"+
		"    networks: [n-"+name+"]\n    mounts: [{name: v-"+name+", path: /data}]\n"+
		"networks: {n-"+name+": {driver: bridge}}\nvolumes: [{name: v-"+name+", path: var/db/baetyl/x}]\n"))
	require.NoError(t, err)
	return c
}
