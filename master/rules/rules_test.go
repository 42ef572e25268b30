package rules_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/conftest"
	"github.com/baetyl/baetyl/master/rules"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// What docker refuses, each with the text that says so; app.Validate accepts all of it.
func TestRules(t *testing.T) {
	conftest.Run(t, "testdata/rules.txt", func(text []byte) error {
		c, err := app.Parse("application.yml", text)
		require.NoError(t, err)
		return broken(rules.Check(c, masterapi.ModeDocker))
	})
}

// What holds in native mode, and in docker mode as well unless it says "native".
func TestRulesEverywhere(t *testing.T) {
	conftest.Run(t, "testdata/everywhere.txt", func(text []byte) error {
		c, err := app.Parse("application.yml", text)
		require.NoError(t, err)
		found := rules.Check(c, masterapi.ModeNative)
		for _, f := range found {
			if !strings.Contains(f, "native") {
				require.Contains(t, rules.Check(c, masterapi.ModeDocker), f)
			}
		}
		return broken(found)
	})
}

type broken []string

func (b broken) Error() string { return strings.Join(b, "\n") }

// What looks close to the limits, and is fine.
func TestNothingIsWrong(t *testing.T) {
	for name, text := range map[string]string{
		"limits":        "{name: ab, image: i, resources: {memory: {limit: 6m, swap: 6m}, cpu: {cpus: 0.01, setcpus: '0-8191,1'}}}",
		"images":        "{name: ab, image: 'r.example.com:5000/x/y:V1'}",
		"digest":        "{name: ab, image: 'a@sha256:0123456789012345678901234567890123456789012345678901234567890123'}",
		"image id":      "{name: ab, image: '0123456789012345678901234567890123456789012345678901234567890123'}",
		"any port":      "{name: ab, image: i, replica: 3, ports: ['80', '127.0.0.1::81', '8000-8002:82']}",
		"on demand":     "{name: a, image: i, ports: ['80:80']}, {name: b, image: i, ports: ['80:80']}",
		"protocols":     "{name: ab, image: i, replica: 1, ports: ['80:80', '80:80/udp']}",
		"addresses":     "{name: ab, image: i, replica: 1, ports: ['127.0.0.1:80:80', '127.0.0.2:80:80', '[::1]:80:80']}",
		"families":      "{name: ab, image: i, replica: 1, ports: ['0.0.0.0:80:80', '[::]:80:80']}",
		"hostnames":     "{name: ab, image: i, hostname: Edge_1.example.com}",
		"mode and name": "{name: ab, image: i, network_mode: host}",
		"rights":        "{name: ab, image: i, api: [{start: [ab, cd]}, {stop: [cd]}]}, {name: cd, image: i}",
		"capital host":  "{name: ab, image: 'localhost:5000/x'}",
	} {
		c, err := app.Parse("f", []byte("services: ["+text+"]"))
		require.NoError(t, err, name)
		require.Empty(t, rules.Check(c, masterapi.ModeDocker), name)
	}
	c, err := app.Parse("f", []byte(`{services: [{name: ab, image: i, networks: {net: {ipv4_address: 10.0.0.2}}}],
networks: {net: {subnet: 10.0.0.0/24, gateway: 10.0.0.1}}}`))
	require.NoError(t, err)
	require.Empty(t, rules.Check(c, masterapi.ModeDocker))
}

// The samples break no rule, and nothing of theirs could be dropped.
func TestSamples(t *testing.T) {
	files, err := filepath.Glob("../../example/*/var/db/baetyl/application.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range append(files, "../../example/cloud/app/application.yml") {
		c, err := app.Load(f)
		require.NoError(t, err)
		require.Empty(t, rules.Check(c, masterapi.ModeDocker), f)
		require.Empty(t, rules.Advice(c, false), f)
	}
}

// Rules for one mode say nothing in the other one.
func TestModes(t *testing.T) {
	c, err := app.Parse("f", []byte("services: [{name: a, image: A, replica: 1, hostname: 'x y'}]"))
	require.NoError(t, err)
	require.Empty(t, rules.Check(c, masterapi.ModeNative))
	require.Len(t, rules.Check(c, masterapi.ModeDocker), 3)
}

func TestAdvice(t *testing.T) {
	c, err := app.Parse("f", []byte(`services:
  - {name: hub, image: x/baetyl-hub:1}
  - {name: all, image: i}
  - {name: some, image: i, cap_drop: [cap_chown, MKNOD], cap_add: [NET_RAW, SYS_TIME]}
  - {name: none, image: i, cap_drop: [all]}
  - {name: asked, image: i, hardened: true}
  - {name: answered, image: i, hardened: false}
  - {name: strong, image: i, privileged: true}
`))
	require.NoError(t, err)
	got := rules.Advice(c, false)
	require.Len(t, got, 3, got)
	require.Contains(t, got[0], "service all keeps docker's capabilities; cap_drop could name AUDIT_WRITE, CHOWN, ")
	require.NotContains(t, got[1], "CHOWN")
	require.NotContains(t, got[1], "NET_RAW")
	require.Contains(t, got[2], "service strong is PRIVILEGED")
	require.Len(t, rules.Advice(c, true), 1)
}

// What the master runs, reads and writes as root is in no volume that a service writes, but for one that may update.
func TestFilesOfTheMaster(t *testing.T) {
	for path, named := range map[string]bool{
		".": true, "var": true, "var/db/baetyl/": true, "var/log": true,
		"var/log/baetyl": true, "var/log/baetyl/services": true,
		"var/db/baetyl/hub-data": false, "var/log/baetyl/hub": false, "etc/baetyl/hub": false, "var/logs": false, "binary": false,
	} {
		for more, asked := range map[string]bool{"": named, ", readonly: true": false} {
			c, err := app.Parse("f", []byte("services: [{name: ab, image: i, hardened: true, mounts: [{name: v, path: p"+more+
				"}]},\n{name: agent, image: x/baetyl-agent, mounts: [{name: v, path: p}]}]\nvolumes: [{name: v, path: "+path+"}]"))
			require.NoError(t, err, path)
			got := rules.Advice(c, false)
			if !asked {
				require.Empty(t, got, path+more)
				continue
			}
			require.Len(t, got, 1, path)
			require.Contains(t, got[0], "service ab may write ", path)
		}
	}
}
