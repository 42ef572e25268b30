package baetyl_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/conf"
)

// A module gets its passwords from where they stand. The log says which file everybody can read, and shows none.
func TestSecretsOfAModule(t *testing.T) {
	t.Chdir(t.TempDir())
	folder := filepath.Dir(baetyl.ConfigFile)
	require.NoError(t, os.MkdirAll(folder, 0o755))
	write := func(name, text string, mode os.FileMode) {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		require.NoError(t, os.Chmod(path, mode))
	}
	write("service.yml", "hub: {address: 'tcp://127.0.0.1:1', username: u, password: {file: hub}}\n"+
		"logger: {path: x.log}\nmine: {file: mine}\n", 0o600)
	write("hub", "hunter2\n", 0o644)
	write("mine", "hunter3\n", 0o644)
	require.NoError(t, baetyl.RunContext(t.Context(), func(ctx baetyl.Context) error {
		var cfg struct {
			Mine conf.Secret `yaml:"mine"`
		}
		require.NoError(t, ctx.LoadConfig(&cfg))
		require.EqualValues(t, "hunter3", cfg.Mine)
		require.EqualValues(t, "hunter2", ctx.Config().Hub.Password)
		ctx.Log().Infof("%+v %v", *ctx.Config(), cfg)
		return nil
	}))
	log, err := os.ReadFile("x.log")
	require.NoError(t, err)
	require.NotContains(t, string(log), "hunter")
	for _, key := range []string{"hub.password.file", "mine.file"} {
		require.Equal(t, 1, strings.Count(string(log), key+": every user can read "+folder), "%s", log)
	}
	write("service.yml", "hub: {address: 'tcp://127.0.0.1:1', username: u, password: {file: none}}", 0o600)
	err = baetyl.RunContext(t.Context(), modules["fine"])
	require.ErrorContains(t, err, baetyl.ConfigFile+": hub.password.file: "+folder+"/none: open: no such file")
}
