package doctor

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// device is a working directory with one service of the given configuration.
func device(t *testing.T, files map[string]string) Options {
	t.Helper()
	dir := t.TempDir()
	for path, text := range files {
		put(t, dir, path, text)
	}
	return Options{
		Workdir: dir, Mode: masterapi.ModeNative, Config: filepath.Join(dir, "etc/baetyl/conf.yml"),
		Admin: filepath.Join(dir, masterapi.AdminSocket), OTALog: filepath.Join(dir, masterapi.OTALog),
		Application: &app.Config{
			Version: "v1",
			Services: []app.Service{
				{Name: "hub", Image: "baetyl-hub", Mounts: []app.Mount{
					{Name: "conf", Path: "etc/baetyl"}, {Name: "cert", Path: "cert"}, {Name: "data", Path: "var/db/baetyl/data"}}},
				{Name: "fm", Image: "baetyl-function-manager", Mounts: []app.Mount{{Name: "fm", Path: "/etc/baetyl"}}},
			},
			Volumes: []app.Volume{
				{Name: "conf", Path: "var/db/baetyl/conf"}, {Name: "cert", Path: "var/db/baetyl/cert"},
				{Name: "data", Path: "var/db/baetyl/data"}, {Name: "fm", Path: "var/db/baetyl/fm"},
			},
		},
	}
}

func put(t *testing.T, dir, path, text string) {
	t.Helper()
	path = filepath.Join(dir, path)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// one check, and the texts of its findings that are of a severity.
func examine(t *testing.T, o Options, id, severity string) string {
	t.Helper()
	o.Only = []string{id}
	var out []string
	for _, f := range Examine(t.Context(), o).Findings {
		require.Equal(t, id, f.ID)
		require.NotContains(t, f.Text, "\n")
		require.NotContains(t, f.Text, "this check has", "%s", f.Text)
		if f.Severity == severity {
			out = append(out, f.Text)
		}
		if f.Severity == masterapi.SeverityError && id != "kernel" && id != "services" {
			require.NotEmpty(t, f.Hint, f.Text)
		}
	}
	return strings.Join(out, "\n")
}

// On a device without faults no check of files finds any, and none fails.
func TestHealthy(t *testing.T) {
	o := device(t, map[string]string{
		"etc/baetyl/conf.yml": "mode: native\n", "var/db/baetyl/conf/service.yml": "listen: []\n",
	})
	for _, c := range Checks {
		if c.ID == "network" {
			continue
		}
		o.Only = []string{c.ID}
		found := Examine(t.Context(), o).Findings
		require.NotEmpty(t, found, c.ID)
		for _, f := range found {
			require.NotContains(t, f.Text, "this check has", c.ID)
		}
	}
	for _, id := range []string{"config", "application", "state", "qos", "certificates", "passwords", "permissions"} {
		require.NotEmpty(t, examine(t, o, id, masterapi.SeverityOK), id)
	}
}

// A check that panics, or hangs, costs its own finding alone.
func TestBounded(t *testing.T) {
	var hang Check
	stop := make(chan struct{})
	defer close(stop)
	hang = Check{ID: "hang", run: func(context.Context, *Options) []masterapi.Finding { <-stop; return nil }}
	require.Contains(t, hang.bounded(t.Context(), &Options{}, time.Millisecond)[0].Text, "has not ended")
	boom := Check{ID: "boom", run: func(context.Context, *Options) []masterapi.Finding { panic("x") }}
	require.Contains(t, boom.bounded(t.Context(), &Options{}, time.Minute)[0].Text, "x")
	many := Check{ID: "many", run: func(context.Context, *Options) []masterapi.Finding {
		return make([]masterapi.Finding, 1000)
	}}
	require.Len(t, many.bounded(t.Context(), &Options{}, time.Minute), maxFindings+1)
}

// A pipe in the place of a file is not waited for.
func TestPipes(t *testing.T) {
	o := device(t, map[string]string{"var/db/baetyl/conf/x": ""})
	for _, path := range []string{"var/db/baetyl/conf/service.yml", "var/db/baetyl/ota.log", "var/db/baetyl/images.json"} {
		require.NoError(t, syscall.Mkfifo(filepath.Join(o.Workdir, path), 0o600))
	}
	for _, id := range []string{"qos", "passwords", "certificates", "update", "state", "permissions", "store", "ports"} {
		examine(t, o, id, "")
	}
}

func TestQoS(t *testing.T) {
	for name, c := range map[string]struct{ hub, fm, want string }{
		"all 0":         {"subscriptions: [{source: {topic: a}, target: {topic: b}}]", "", ""},
		"all 1":         {"subscriptions: [{source: {topic: a, qos: 1}, target: {topic: b, qos: 1}}]", "", ""},
		"mixed":         {"subscriptions: [{source: {topic: a, qos: 1}, target: {topic: b}}]", "", "gives it to b with QoS 0"},
		"behind":        {"subscriptions: [{source: {topic: a, qos: 1}, target: {topic: b/c, qos: 1}}]", "rules: [{subscribe: {topic: 'b/+'}, function: {name: f}, publish: {topic: x}}]", "takes it with QoS 0"},
		"not behind":    {"subscriptions: [{source: {topic: a, qos: 1}, target: {topic: b/c/d, qos: 1}}]", "rules: [{subscribe: {topic: 'b/+'}, function: {name: f}, publish: {topic: x}}]", ""},
		"shared":        {"subscriptions: [{source: {topic: a, qos: 1}, target: {topic: b, qos: 1}}]", "rules: [{subscribe: {topic: '$share/g/b'}, function: {name: f}, publish: {topic: x}}]", "takes it with QoS 0"},
		"clean session": {"", "hub: {cleansession: true}\nrules: [{subscribe: {topic: b, qos: 1}, function: {name: f}, publish: {topic: x, qos: 1}}]", "cleansession"},
		"bridge":        {"subscriptions: [{source: {topic: a, qos: 1}, target: {topic: b, qos: 1}}]", "rules: [{hub: {subscriptions: [{topic: b}]}, remote: {name: r}}]", "takes it with QoS 0"},
		"nonsense":      {"subscriptions: {a: b}", "rules: [1, [], {hub: 3}, {subscribe: x}]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := device(t, map[string]string{"var/db/baetyl/conf/service.yml": c.hub, "var/db/baetyl/fm/service.yml": c.fm})
			got := examine(t, o, "qos", warning)
			if c.want == "" {
				require.Empty(t, got)
			} else {
				require.Contains(t, got, c.want)
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	o := device(t, map[string]string{
		"etc/baetyl/conf.yml":            "server: {cert: var/db/baetyl/cert/none.pem}\n",
		"var/db/baetyl/conf/service.yml": "certificate: {ca: cert/ca.pem, cert: cert/server.pem, key: cert/other.key}\n",
	})
	dir := filepath.Join(o.Workdir, "var/db/baetyl/cert")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	issue := func(name string, left time.Duration) {
		template := cert.Authority(name)
		pair, err := cert.Issue(template, nil, nil)
		require.NoError(t, err)
		key := pair.PrivateKey.(crypto.Signer)
		template.NotBefore, template.NotAfter = time.Now().Add(-2*time.Hour*24*365), time.Now().Add(left)
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		require.NoError(t, err)
		pair.Leaf, err = x509.ParseCertificate(der)
		require.NoError(t, err)
		require.NoError(t, cert.Write(filepath.Join(dir, name), pair))
	}
	issue("ca", 20*24*time.Hour)
	issue("server", -time.Hour)
	issue("other", time.Hour)
	errors, warnings := examine(t, o, "certificates", failed), examine(t, o, "certificates", warning)
	require.Contains(t, errors, "none.pem")
	require.Contains(t, errors, "server.pem (server) has ended")
	require.Contains(t, errors, "other.key")
	require.Contains(t, warnings, "ca.pem (ca) ends at")
	var list []string
	for _, c := range Certificates(t.Context(), o) {
		list = append(list, fmt.Sprintf("%s %s %s", filepath.Base(c.Path), c.Service, time.Until(c.NotAfter).Round(time.Hour)))
	}
	require.Equal(t, []string{"ca.pem hub 480h0m0s", "server.pem hub -1h0m0s"}, list, "what cannot be read is left out")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("nonsense"), 0o600))
	require.Contains(t, examine(t, o, "certificates", failed), "has no certificate")
}

func TestPasswords(t *testing.T) {
	conf := func(listen, password string) Options {
		return device(t, map[string]string{"var/db/baetyl/conf/service.yml": "listen: ['" + listen + "']\n" +
			"principals: [{username: u, password: '" + password + "'}]\n"})
	}
	require.Contains(t, examine(t, conf("tcp://0.0.0.0:1883", "hahaha"), "passwords", failed), "user u")
	require.Contains(t, examine(t, conf("tcp://127.0.0.1:1883", "hahaha"), "passwords", masterapi.SeverityInfo), "user u")
	require.Contains(t, examine(t, conf("tcp://127.0.0.1:1883", ""), "passwords", warning), "empty")
	o := conf("tcp://127.0.0.1:1883", "secret-of-mine")
	require.NotEmpty(t, examine(t, o, "passwords", masterapi.SeverityOK))
	require.NoError(t, os.Chmod(filepath.Join(o.Workdir, "var/db/baetyl/conf/service.yml"), 0o644))
	found := examine(t, o, "passwords", warning)
	require.Contains(t, found, "everybody can read")
	require.NotContains(t, found, "secret-of-mine")
}

func TestFiles(t *testing.T) {
	o := device(t, map[string]string{
		"var/db/baetyl/images.json.damaged-1": "x", "var/db/baetyl/data/log/1.seg.damaged": "x", "var/db/baetyl/data/state/CURRENT": "MANIFEST-1\n",
		"var/db/baetyl/cert/server.key": "-----BEGIN PRIVATE KEY-----\n", "var/db/baetyl/open": "",
	})
	path := filepath.Join(o.Workdir, "var/db/baetyl/users.json")
	f := state.File[map[string]int]{Path: path, Version: 1, Log: log.Discard()}
	require.NoError(t, f.Save(map[string]int{"a": 1}))
	require.NotContains(t, examine(t, o, "state", failed), "users.json")
	data, err := os.ReadFile(f.Path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.Path, append(data, 'x'), 0o600))
	require.Contains(t, examine(t, o, "state", failed), "users.json")
	require.Contains(t, examine(t, o, "state", warning), "images.json.damaged-1")
	require.Contains(t, examine(t, o, "store", failed), "1.seg.damaged")
	require.Contains(t, examine(t, o, "store", failed), "no whole database")
	require.NoError(t, os.Chmod(filepath.Join(o.Workdir, "var/db/baetyl/cert/server.key"), 0o644))
	require.NoError(t, os.Chmod(filepath.Join(o.Workdir, "var/db/baetyl/open"), 0o666))
	found := examine(t, o, "permissions", warning)
	require.Contains(t, found, "server.key is a private key that everybody can read")
	require.Contains(t, found, "open can be written by everybody")
}

func TestRuns(t *testing.T) {
	o := device(t, map[string]string{
		masterapi.OTALog: `{"time":"2026-01-02T03:04:05Z","step":"UPDATING"}` + "\n" +
			`{"time":"2026-01-02T03:04:06Z","step":"ROLLINGBACK","error":"service x did not stay up"}` + "\n" +
			`{"time":"2026-01-02T03:04:07Z","step":"ROLLEDBACK"}` + "\n",
	})
	require.Contains(t, examine(t, o, "update", warning), "ROLLEDBACK: service x did not stay up")
	require.Contains(t, examine(t, o, "services", warning), "no master runs")
	o.Inspect = &masterapi.Inspect{Services: []masterapi.Service{
		{Name: "a", Error: "exit code: 3"},
		{Name: "b", Instances: []masterapi.Instance{{Name: "b", Status: masterapi.StatusRunning, Restarts: 7, Error: "OOM"}}},
	}}
	require.Contains(t, examine(t, o, "services", failed), "service a: exit code: 3")
	require.Contains(t, examine(t, o, "services", warning), "b was restarted 7 times: OOM")
	o.Admin = "/" + strings.Repeat("x", 200)
	require.Contains(t, examine(t, o, "socket", failed), "has 201 bytes")
}

func FuzzModules(f *testing.F) {
	f.Add("rules: [{subscribe: {topic: a, qos: 1}}]\nlisten: ['tcp://:1883']\nprincipals: [{password: x}]\n")
	f.Add("certificate: {ca: a, cert: b, key: c}\n")
	f.Fuzz(func(t *testing.T, text string) {
		o := device(t, map[string]string{"var/db/baetyl/conf/service.yml": text})
		for _, check := range []func(context.Context, *Options) []masterapi.Finding{
			checkQoS, checkCertificates, checkPasswords,
		} {
			check(t.Context(), &o)
		}
		o.addresses(o.Application.Services[0])
	})
}
