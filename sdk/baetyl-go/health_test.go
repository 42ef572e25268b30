package baetyl_test

import (
	"context"
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

// ask makes a probe as the master does.
func ask(t *testing.T, dir, path string) (status int, text string) {
	client := nethttp.Client{Transport: &nethttp.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return http.DialPrivate(ctx, dir, masterapi.HealthSocket)
		},
	}}
	answer, err := client.Get("http://localhost" + path)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

func TestHealthOfAModule(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30)) // as that of a working directory may be
	require.NoError(t, os.Mkdir(dir, 0o700))
	t.Chdir(t.TempDir())
	broker := mqtttest.Mosquitto(t)
	require.NoError(t, os.MkdirAll("etc/baetyl", 0o755))
	require.NoError(t, os.WriteFile(baetyl.ConfigFile, []byte("hub: {address: '"+broker.Address+"', clientid: x}"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, masterapi.HealthSocket), nil, 0o600)) // left by somebody
	t.Setenv(masterapi.EnvRunDir, dir)
	t.Setenv(masterapi.EnvServiceToken, "token")
	require.NoError(t, baetyl.RunContext(t.Context(), func(ctx baetyl.Context) error {
		for _, path := range []string{masterapi.PathLive, masterapi.PathReady} {
			status, text := ask(t, dir, path)
			require.Equal(t, 200, status, text)
		}
		hub, err := ctx.NewHubClient("", nil)
		require.NoError(t, err)
		status, text := ask(t, dir, masterapi.PathReady)
		require.Equal(t, 503, status)
		require.Contains(t, text, "not connected with the hub at "+broker.Address)
		require.NoError(t, hub.Start(nil))
		mqtttest.Until(t, "the module is ready", func() bool {
			status, _ := ask(t, dir, masterapi.PathReady)
			return status == 200
		})

		var sick atomic.Bool
		hang := make(chan struct{})
		ctx.CheckHealth(func(context.Context) error {
			if sick.Load() {
				return errors.New("no pulse")
			}
			return nil
		})
		status, _ = ask(t, dir, masterapi.PathLive)
		require.Equal(t, 200, status)
		sick.Store(true)
		status, text = ask(t, dir, masterapi.PathReady)
		require.Equal(t, 503, status)
		require.Equal(t, "no pulse\n", text)
		sick.Store(false)
		ctx.CheckHealth(func(context.Context) error { <-hang; return nil })
		defer close(hang)
		status, text = ask(t, dir, masterapi.PathLive)
		require.Equal(t, 503, status)
		require.Equal(t, "the check has not ended in time\n", text)
		_, text = ask(t, dir, masterapi.PathLive)
		require.Equal(t, "the check before has not ended\n", text)
		return nil
	}))
	require.NoFileExists(t, filepath.Join(dir, masterapi.HealthSocket))
	t.Setenv(masterapi.EnvServiceToken, "") // an instance that another service has started
	require.NoError(t, baetyl.RunContext(t.Context(), func(baetyl.Context) error {
		require.NoFileExists(t, filepath.Join(dir, masterapi.HealthSocket))
		return nil
	}))
}
