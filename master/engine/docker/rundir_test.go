//go:build linux

package docker_test

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// An instance has a run folder of its own, that nobody else on the host gets into, whoever it runs as; the next start
// has an empty one, and the end of the service removes it.
func TestRunFolder(t *testing.T) {
	b := newBench(t)
	for _, user := range []string{"", "4711:4711"} {
		s := service("t-run", "socket", masterapi.ServiceAdmin)
		s.User = user
		box, err := b.Open(t.Context(), s)
		require.NoError(t, err)
		run := b.RunDir("t-run", "t-run")
		for range 2 {
			i, err := box.Start(t.Context(), engine.Spec{Name: "t-run", Token: "token", Env: map[string]string{
				masterapi.EnvServiceToken: "token",
			}})
			require.NoError(t, err)
			enginetest.Output(t, i, "listening in /var/run/baetyl-instance, beside 0 others")
			info, err := os.Stat(filepath.Dir(run))
			require.NoError(t, err)
			require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
			conn, err := http.DialPrivate(t.Context(), run, masterapi.ServiceAdmin)
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			conn, err = i.Dial(t.Context(), app.Endpoint{Socket: masterapi.ServiceAdmin}) // as a probe does
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			i.Stop(ctx)
			require.NoDirExists(t, filepath.Dir(run))
		}
		require.NoError(t, box.Close())
		require.NoDirExists(t, filepath.Dir(filepath.Dir(run)))
	}
}

// One that another service starts gets none, nor one where a mount has the place.
func TestNoRunFolder(t *testing.T) {
	b := newBench(t)
	plain := service("t-none", "env")
	covered := service("t-covered", "env")
	covered.Mounts = []app.Mount{{Name: "v", Path: "/var/run", ReadOnly: true}}
	covered.Volumes = map[string]app.Volume{"v": {Name: "v", Path: "v"}}
	require.NoError(t, os.MkdirAll(filepath.Join(b.dir, "v", "baetyl.sock"), 0o755))
	for token, s := range map[string]engine.Service{"": plain, "token": covered} {
		s.API = []app.Right{}
		box, err := b.Open(t.Context(), s)
		require.NoError(t, err)
		i, err := box.Start(t.Context(), engine.Spec{Name: s.Name, Token: token, Env: map[string]string{}})
		require.NoError(t, err)
		enginetest.Output(t, i, masterapi.EnvRunDir+"=")
		require.Contains(t, i.Output(), masterapi.EnvRunDir+"=")
		_, err = net.Dial("unix", filepath.Join(b.RunDir(s.Name, s.Name), masterapi.ServiceAdmin))
		require.ErrorIs(t, err, fs.ErrNotExist)
		i.Stop(t.Context())
		require.NoError(t, box.Close())
	}
}
