package cgroup_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/protocol/app"
)

// What writes, with children in sessions of their own, stands from Freeze to Thaw, and goes on then; and a group that
// is frozen can be killed.
func TestFreeze(t *testing.T) {
	for name, as := range map[string]func(*cgroup.Group) *cgroup.Group{
		"as the host can": func(g *cgroup.Group) *cgroup.Group { return g },
		"by signals":      cgroup.WithoutV2,
	} {
		t.Run(name, func(t *testing.T) {
			made, _, err := tree(t).Make("s", "s", app.Resources{})
			require.NoError(t, err)
			g := as(made)
			if list := g.V1(); g.V2() == "" && len(list) == 0 {
				t.Skip("the host has no cgroups of version 1")
			}
			dir := t.TempDir()
			run(t, made, `cd `+dir+`
(setsid sh -c 'n=0; while :; do n=$((n+1)); echo $n >child; (echo $n >grandchild); done' &)
n=0; while :; do n=$((n+1)); echo $n >own; done`)
			read := func() string {
				out := ""
				for _, f := range []string{"own", "child", "grandchild"} {
					data, _ := os.ReadFile(filepath.Join(dir, f)) // not there yet
					out += string(data) + "|"
				}
				return out
			}
			eventually(t, "all write", func() bool { return len(read()) > 8 })
			for range 20 {
				require.NoError(t, g.Freeze(deadline(t)))
				before := read()
				for range 200 {
					require.Equal(t, before, read())
				}
				require.NoError(t, g.Freeze(deadline(t)), "twice")
				require.NoError(t, g.Thaw())
				eventually(t, "they go on", func() bool { return read() != before })
			}
			require.NoError(t, g.Thaw(), "twice")
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			_ = g.Freeze(gone) // may have been done before it saw that
			require.NoError(t, g.Thaw())
			before := read()
			eventually(t, "they go on", func() bool { return read() != before })
			require.NoError(t, g.Freeze(deadline(t)))
			began := time.Now()
			require.NoError(t, made.Kill(deadline(t)))
			require.Less(t, time.Since(began), time.Minute)
			require.NoError(t, made.Remove())
			require.NoError(t, g.Freeze(deadline(t)), "nothing is there")
		})
	}
}
