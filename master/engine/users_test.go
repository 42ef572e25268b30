package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
)

// What is read is a range in its bounds, and is written so that it reads the same.
func FuzzParseUsers(f *testing.F) {
	for _, s := range []string{"70000-74999", " 65536 - 99999 ", "70000", "1-2", "70000-70000", "99999-65536"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := engine.ParseUsers(text)
		if err != nil {
			return
		}
		require.True(t, r.First >= 65536 && r.Last <= 99999 && r.Last >= r.First+99, "%s", r)
		require.True(t, r.Contains(r.First) && r.Contains(r.Last) && !r.Contains(r.First-1) && !r.Contains(r.Last+1))
		again, err := engine.ParseUsers(r.String())
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

func TestOverlaps(t *testing.T) {
	a := engine.Users{First: 70000, Last: 70999}
	for _, b := range []engine.Users{a, {70999, 72000}, {69000, 70000}, {70100, 70200}, {65536, 99999}} {
		require.True(t, a.Overlaps(b) && b.Overlaps(a), "%s", b)
	}
	for _, b := range []engine.Users{{71000, 72000}, {69000, 69999}} {
		require.False(t, a.Overlaps(b) || b.Overlaps(a), "%s", b)
	}
}

func TestUseOf(t *testing.T) {
	c, err := app.Parse("f", []byte(`
services:
  - {name: a, image: i, user: root, mounts: [{name: v, path: p}]}
  - {name: b, image: i, mounts: [{name: same, path: p}, {name: v, path: q}]}
  - {name: c, image: i, mounts: [{name: v, path: p, readonly: true}]}
  - {name: d, image: i, mounts: [{name: other, path: p}, {name: none, path: q}]}
volumes:
  - {name: v, path: var/v}
  - {name: same, path: /var/v/}
  - {name: other, path: var/w, owner: c}
  - {name: none, path: var/x, owner: 'pi:dialout'}
`))
	require.NoError(t, err)
	writers := []engine.Member{{Service: "a", User: "root"}, {Service: "b"}}
	readers := []engine.Member{{Service: "c"}}
	require.Equal(t, engine.Use{Writers: writers, Readers: readers}, engine.UseOf(c, "v"))
	require.Equal(t, engine.Use{Writers: writers, Readers: readers}, engine.UseOf(c, "same"))
	d := []engine.Member{{Service: "d"}}
	require.Equal(t, engine.Use{Writers: d, Owner: engine.Member{Service: "c"}}, engine.UseOf(c, "other"))
	require.Equal(t, engine.Use{Writers: d, Owner: engine.Member{User: "pi:dialout"}}, engine.UseOf(c, "none"))
}
