//go:build unix

package docker

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The configuration of a container is what the golden file says, for each service of testdata/application.yml.
func TestConfigure(t *testing.T) {
	c, err := app.Load("testdata/application.yml")
	require.NoError(t, err)
	able := kernel{CPUs: true, CPUSet: true, Memory: true, Swap: true, Pids: true}
	for _, s := range c.Services {
		t.Run(s.Name, func(t *testing.T) {
			r := request{
				Service: engine.Service{Service: s, Networks: c.Networks},
				Spec: engine.Spec{
					Name:   s.Name,
					Handle: "handle",
					Env:    map[string]string{"B": "2=3", "A": "1", masterapi.EnvServiceToken: "token"},
				},
				Image:  "sha256:0123",
				Master: "master",
				Run:    "run",
				Kernel: able,
			}
			for _, m := range s.Mounts {
				v := c.Volume(m.Name)
				p := mountPoint{
					Source:   "/usr/local/" + v.Path,
					Volume:   v,
					Target:   "/" + strings.TrimPrefix(m.Path, "/"),
					ReadOnly: m.ReadOnly,
				}
				if v.Managed() {
					p.Source = v.Name
				}
				r.Mounts = append(r.Mounts, p)
			}
			switch s.Name {
			case "tcp": // the API has no socket
			default:
				r.Socket = "/var/run/baetyl.sock"
			}
			if s.Name == "weak" {
				r.Kernel = kernel{}
			}
			p, err := configure(r)
			require.NoError(t, err)
			require.Equal(t, r.Service.Digest(), p.Config.Labels[labelDigest])
			p.Config.Labels[labelDigest] = "digest" // another one with every new key of application.yml
			// What is empty says nothing.
			got, err := json.MarshalIndent(pruned(t, p), "", "  ")
			require.NoError(t, err)
			golden := filepath.Join("testdata", s.Name+".golden.json")
			if *update {
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
		})
	}
}

// An instance without a token, or without a right, does not get the socket of the API.
func TestSocketOnlyForThoseWhoMayAsk(t *testing.T) {
	for name, c := range map[string]struct {
		token string
		api   []app.Right
		want  bool
	}{
		"a service":                  {"token", nil, true},
		"without rights":             {"token", []app.Right{}, false},
		"started by another service": {"", nil, false},
	} {
		r := request{
			Service: engine.Service{Service: app.Service{Name: "s", Image: "i", API: c.api}},
			Socket:  "/run/api.sock",
			Spec:    engine.Spec{Name: "s", Env: map[string]string{masterapi.EnvServiceToken: c.token}},
		}
		p, err := configure(r)
		require.NoError(t, err)
		require.Equal(t, c.want, len(p.Host.Mounts) == 1, name)
	}
}

// pruned is v as JSON values without what is empty.
func pruned(t *testing.T, v any) any {
	data, err := json.Marshal(v)
	require.NoError(t, err)
	var out any
	require.NoError(t, json.Unmarshal(data, &out))
	return prune(out)
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if m, ok := e.(map[string]any); ok && len(m) == 0 {
				continue // the key is what it says
			}
			if v[k] = prune(e); v[k] == nil {
				delete(v, k)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case string:
		if v == "" {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return v
}

func TestAddress(t *testing.T) {
	e, err := New(Options{})
	require.NoError(t, err)
	for address, want := range map[string]string{
		"unix:///var/run/baetyl.sock":    "unix:///var/run/baetyl.sock",
		"unix://var/run/x.sock":          "unix:///var/run/baetyl.sock",
		"tcp://127.0.0.1:50050":          "tcp://host.docker.internal:50050",
		"tcp://0.0.0.0:50050":            "tcp://host.docker.internal:50050",
		"https://localhost:50050":        "https://host.docker.internal:50050",
		"tcp://:50050":                   "tcp://host.docker.internal:50050",
		"tcp://192.168.1.5:50050":        "tcp://192.168.1.5:50050",
		"https://edge.example.com:50050": "https://edge.example.com:50050",
	} {
		require.Equal(t, want, e.Address(address), address)
	}
}

// A copy of a working directory is another master; the same directory is the same one, whatever the run.
func TestMasterID(t *testing.T) {
	id := func(dir string) string {
		e, err := New(Options{Workdir: dir})
		require.NoError(t, err)
		out, err := e.masterID()
		require.NoError(t, err)
		return out
	}
	a, b := t.TempDir(), t.TempDir()
	first := id(a)
	require.Len(t, first, 16)
	require.Equal(t, first, id(a))
	require.NoError(t, os.CopyFS(b, os.DirFS(a)))
	require.NotEqual(t, first, id(b))
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	get := func(image string) string {
		t.Helper()
		out, err := credentials(t.Context(), image)
		require.NoError(t, err)
		return decoded(t, out)
	}
	require.Empty(t, get("a"), "no login")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte(`#!/bin/sh
read -r key
[ "$key" = help.example.com ] || { echo "credentials not found in native keychain"; exit 1; }
echo '{"ServerURL":"x","Username":"helped","Secret":"pass"}'
`), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{
		"auths": {
			"https://index.docker.io/v1/": {"auth": "aHViOnB3"},
			"r.example.com:5000": {"auth": "dTpwOnc="},
			"bad.example.com": {"auth": "%"}
		},
		"credHelpers": {"help.example.com": "test", "none.example.com": "test", "evil.example.com": "../x"}
	}`), 0o600))
	require.Equal(t, `{"username":"hub","password":"pw","serveraddress":"https://index.docker.io/v1/"}`, get("alpine"))
	require.Equal(t, `{"username":"u","password":"p:w","serveraddress":"r.example.com:5000"}`,
		get("r.example.com:5000/x/y:1"))
	require.Equal(t, `{"username":"helped","password":"pass","serveraddress":"help.example.com"}`,
		get("help.example.com/x"))
	require.Empty(t, get("none.example.com/x"))
	require.Empty(t, get("other.example.com/x"))
	for _, image := range []string{"bad.example.com/x", "evil.example.com/x", "UPPER"} {
		_, err := credentials(t.Context(), image)
		require.Error(t, err, image)
	}
}

// decoded is what the daemon reads from the header.
func decoded(t *testing.T, header string) string {
	t.Helper()
	data, err := base64.URLEncoding.DecodeString(header)
	require.NoError(t, err)
	return string(data)
}

func TestFollow(t *testing.T) {
	require.NoError(
		t,
		follow(
			strings.NewReader(
				`{"status":"Pulling","id":"1"}{"status":"Downloading","id":"1","progressDetail":{"current":1,"total":2}}
{"status":"Download complete","id":"1"}`,
			),
			nil,
		),
	)
	require.EqualError(t,
		follow(strings.NewReader(`{"status":"a"}{"errorDetail":{},"error":"no space left on device"}`), nil),
		"no space left on device")
	require.Error(t, follow(strings.NewReader(`{"status":`), nil))
}

// FuzzFollow feeds the reader of a pull with what a daemon may send.
func FuzzFollow(f *testing.F) {
	f.Add(`{"status":"Downloading","id":"1","progressDetail":{"current":1,"total":2}}`)
	f.Fuzz(func(_ *testing.T, text string) {
		_ = follow(strings.NewReader(text), func(int64, int64) {})
	})
}
