package app_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/internal/conftest"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/conf"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each file in testdata reads as the golden file beside it says.
func TestGolden(t *testing.T) {
	for _, name := range []string{"list", "compose"} {
		t.Run(name, func(t *testing.T) {
			c, err := app.Load(filepath.Join("testdata", name+".yml"))
			require.NoError(t, err)
			got, err := json.MarshalIndent(c, "", "  ")
			require.NoError(t, err)
			golden := filepath.Join("testdata", name+".golden.json")
			if *update {
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
		})
	}
}

func TestShippedExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("../../example/*/var/db/baetyl/application.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		c, err := app.Load(f)
		require.NoError(t, err)
		require.NotEmpty(t, c.Services)
	}
}

func TestEmptyApplications(t *testing.T) {
	for _, text := range []string{"# nothing\n", "{}", "services: []", "services:\n"} {
		c, err := app.Parse("f", []byte(text))
		require.NoError(t, err, text)
		require.Empty(t, c.Services)
	}
	for _, text := range []string{"", "\n", "\x00\x00"} { // lost, not empty on purpose
		_, err := app.Parse("f", []byte(text))
		require.ErrorIs(t, err, conf.ErrEmpty)
	}
	c, err := app.Parse("f", []byte("version: V4"))
	require.NoError(t, err)
	require.Equal(t, "V4", c.Version)
	c, err = app.Parse("f", []byte("app_version: V5\nversion: '3'"))
	require.NoError(t, err)
	require.Equal(t, "V5", c.Version)
}

// YAML takes a bare no for a truth value; the documents write it bare.
func TestPolicyNoNeedsNoQuotes(t *testing.T) {
	c, err := app.Parse("f", []byte("services: [{name: a, image: i, restart: {policy: no}}]"))
	require.NoError(t, err)
	require.Equal(t, app.RestartNo, c.Services[0].Restart.Policy)
}

// Bad files, each with what its error has to name.
func TestBadFiles(t *testing.T) {
	const head = "services:\n  - name: a\n    image: i\n"
	for name, c := range map[string]struct{ text, want string }{
		"unknown key": {"services:\n  - name: a\n    imag: i\n",
			`f.yml: services[0].imag: unknown key; did you mean "image"?`},
		"unknown top-level key": {"service: []\n", `service: unknown key; did you mean "services"?`},
		"rendering artefact": {head + "    restart:\n      retry:\n        policy: always\n",
			"services[0].restart.retry.policy: unknown key"},
		"wrong type": {"services:\n  - name: a\n    image: i\n    replica: many\n",
			"services[0].replica: expected a whole number"},
		"no name": {"services:\n  - image: i\n", `services[0].name: name ""`},
		"bad name": {"services:\n  - name: a b\n    image: i\n",
			"services[0].name: name \"a b\": use 1 to 64 letters"},
		"name that leaves": {"services:\n  - name: ../../etc\n    image: i\n", "services[0].name"},
		"no image":         {"services:\n  - name: a\n", "services[0] (a).image: must not be empty"},
		"negative replica": {head + "    replica: -1\n", "replica: must be between 0 and 1000; found -1"},
		"duplicate service": {head + "  - name: a\n    image: j\n",
			`services[1].name: service "a" is already services[0]`},
		"duplicate volume": {"volumes:\n  - {name: v, path: p}\n  - {name: v, path: q}\n",
			`volumes[1].name: volume "v" stands twice`},
		"missing volume": {head + "    mounts:\n      - {name: v, path: p}\n",
			`services[0] (a).mounts[0].name: there is no volume "v"`},
		"volume leaves": {"volumes:\n  - {name: v, path: ../../etc}\n",
			"volumes[0].path: path \"../../etc\": '..' is not allowed"},
		"volume without path": {"volumes:\n  - {name: v}\n", "volumes[0].path: must not be empty"},
		"mount leaves": {head +
			"    mounts:\n      - {name: v, path: a/../../b}\nvolumes:\n  - {name: v, path: p}\n",
			"mounts[0].path: path \"a/../../b\": '..' is not allowed"},
		"mount on root": {head + "    mounts:\n      - {name: v, path: /}\nvolumes:\n  - {name: v, path: p}\n",
			"whole directory"},
		"mounted twice": {head +
			"    mounts:\n      - {name: v, path: p}\n      - {name: v, path: /p/}\nvolumes:\n  - {name: v, path: p}\n",
			"mounts[1].path: \"/p/\" is mounted twice"},
		"port": {head + "    ports: ['x:1']\n",
			`services[0] (a).ports[0]: port "x:1": "x" is not a port number`},
		"port protocol": {head + "    ports: ['1:1/http']\n", "protocol is not tcp"},
		"device":        {head + "    devices: ['/dev/x:/dev/y:q']\n", "devices[0]: device"},
		"policy": {head + "    restart: {policy: sometimes}\n",
			`restart.policy: must be one of always, on-failure, no; found "sometimes"`},
		"backoff": {head + "    restart: {backoff: {min: 1ms}}\n", "restart.backoff.min: must be at least 1s"},
		"duration without unit": {head + "    restart: {backoff: {min: 1}}\n",
			"services[0].restart.backoff.min: a duration needs a unit"},
		"size": {head + "    resources: {memory: {limit: much}}\n",
			"services[0].resources.memory.limit: invalid size: 'much'"},
		"cpus": {head + "    resources: {cpu: {setcpus: all}}\n", "resources.cpu.setcpus"},
		"network mode": {head + "    network_mode: mesh\n",
			"network_mode: must be one of bridge, host, none; found \"mesh\""},
		"mode and networks": {head + "    network_mode: host\n    networks: [net]\nnetworks: {net: {}}\n",
			"cannot be combined"},
		"unknown network": {head + "    networks: [n1]\n", `there is no network "n1"`},
		"boolean network": {head + "    networks: [n]\n",
			"services[0].networks: expected names of networks, found false; write it in quotes"},
		"unknown dependency": {head + "    depends_on: [b]\n", `depends_on[0]: there is no service "b"`},
		"circle": {head + "    depends_on: [b]\n  - {name: b, image: i, depends_on: [a]}\n",
			"depends_on is a circle: a -> b -> a"},
		"not YAML":         {"services: [\n", "f.yml: not YAML"},
		"foreign variable": {"version: '{{.HOME}}'\n", "environment variable HOME is forbidden here"},

		"compose: unknown key": {"services:\n  a:\n    image: i\n    deploy: {}\n", "services.a.deploy: unknown key"},
		"compose: environment": {"services:\n  a:\n    image: i\n    environment: [x]\n",
			"services.a.environment: environment format error"},
		"compose: number in list": {"services:\n  a:\n    image: i\n    environment: [1]\n", "services.a.environment: environment format error"},
		"compose: list in list": {"services:\n  a:\n    image: i\n    environment: [[1]]\n",
			"services.a.environment: expected a mapping"},
		"compose: key":            {"services:\n  ../../x:\n    image: i\n", "services.../../x: name"},
		"compose: container_name": {"services:\n  a:\n    container_name: ../x\n    image: i\n", `name "../x"`},
		"compose: same names": {"services:\n  a:\n    container_name: b\n    image: i\n  b:\n    image: i\n",
			`service "b" is already`},
		"compose: volume format": {"services:\n  a:\n    image: i\n    volumes: [x]\n", "services.a.volumes[0]: service volume format error"},
		"compose: volume option": {"services:\n  a:\n    image: i\n    volumes: ['x:y:z']\n", "services.a.volumes[0]: service volume format error"},
		"compose: volume key": {"services:\n  a:\n    image: i\n    volumes: [{src: x}]\n",
			"volumes[0].src: unknown key"},
		"compose: null volume": {"services:\n  a:\n    image: i\n    volumes: [null]\n",
			"services.a.volumes[0]: source and target"},
		"compose: source leaves":     {"services:\n  a:\n    image: i\n    volumes: ['../x:/y']\n", "'..' is not allowed"},
		"compose: missing volume":    {"services:\n  a:\n    image: i\n    volumes: [{type: volume, source: v, target: /y}]\n", "volume 'v' not found"},
		"compose: unknown dependent": {"services:\n  a:\n    image: i\n    depends_on: [b]\n", `services.a.depends_on[0]: there is no service "b"`},
		"compose: network option": {"services:\n  a:\n    image: i\n    networks: {n: {alias: x}}\nnetworks: {n: }\n",
			"networks.false.alias: unknown key"},
		"compose: short restart": {"services:\n  a:\n    image: i\n    restart: always\n", "services.a.restart: expected a mapping"},
		"compose: null service":  {"services:\n  a:\n", "image: must not be empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := app.Parse("f.yml", []byte(c.text))
			require.ErrorContains(t, err, c.want)
			require.True(t, strings.HasPrefix(err.Error(), "f.yml: "), err.Error())
		})
	}
}

func TestHugeFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "application.yml")
	require.NoError(t, os.WriteFile(path, make([]byte, 10<<20), 0o600))
	_, err := app.Load(path)
	require.ErrorContains(t, err, "application.yml: file is larger than")
}

func TestOwnVariablesAreExpanded(t *testing.T) {
	t.Setenv("BAETYL_X", "v9")
	c, err := app.Parse("f", []byte("version: {{.BAETYL_X}}\n"))
	require.NoError(t, err)
	require.Equal(t, "v9", c.Version)
}

func TestOrderFollowsDependencies(t *testing.T) {
	names := func(services []app.Service) (out []string) {
		for _, s := range services {
			out = append(out, s.Name)
		}
		return out
	}
	got, err := app.Order([]app.Service{{Name: "a", DependsOn: app.On("c")}, {Name: "b"}, {Name: "c"}, {Name: "d"}})
	require.NoError(t, err)
	require.Equal(t, []string{"c", "a", "b", "d"}, names(got))
}

// Ports with and without ranges, and what is none.
func TestPorts(t *testing.T) {
	for text, want := range map[string][]app.Port{
		"80":                    {{Container: 80, Protocol: "tcp"}},
		"8080:80":               {{Host: 8080, Container: 80, Protocol: "tcp"}},
		"0.0.0.0:1884:1884/UDP": {{IP: "0.0.0.0", Host: 1884, Container: 1884, Protocol: "udp"}},
		"[::1]:1:2":             {{IP: "::1", Host: 1, Container: 2, Protocol: "tcp"}},
		"127.0.0.1::2":          {{IP: "127.0.0.1", Container: 2, Protocol: "tcp"}},
		"8000-8001:9000-9001/udp": {
			{Host: 8000, Container: 9000, Protocol: "udp"}, {Host: 8001, Container: 9001, Protocol: "udp"},
		},
		"8000-8010:80":        {{Host: 8000, HostEnd: 8010, Container: 80, Protocol: "tcp"}},
		"7-7:8-8":             {{Host: 7, Container: 8, Protocol: "tcp"}},
		"5-6/sctp":            {{Container: 5, Protocol: "sctp"}, {Container: 6, Protocol: "sctp"}},
		"127.0.0.1:1-2:3-4":   {{IP: "127.0.0.1", Host: 1, Container: 3, Protocol: "tcp"}, {IP: "127.0.0.1", Host: 2, Container: 4, Protocol: "tcp"}},
		"65534-65535:1-2/tcp": {{Host: 65534, Container: 1, Protocol: "tcp"}, {Host: 65535, Container: 2, Protocol: "tcp"}},
	} {
		got, err := app.ParsePorts(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", ":", ":80", "80:", "0:1", "70000:1", "1:2:3", "a:1:1", "1:1/", "1-3:3-4", "2-1:3",
		"1-:2", "-1:2", "1:2-3", "1-2-3", "65535-65536:1-2"} {
		_, err := app.ParsePorts(text)
		require.Error(t, err, text)
	}
}

// What Parse accepts is valid, and an application of the list form reads the same after it was written again.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"list", "compose"} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".yml"))
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte("services:\n  a:\n    image: i\n    networks: [n]\n    environment: [1]\n"))
	f.Add([]byte("services: [{name: a, image: i, api: [report, {start: [a, b]}], accept_env: [A, B_*]}]\n"))
	f.Add([]byte("services:\n- {name: a, image: i, args: ['{{{{.Names}}}}', '{{json .}}', {{{{.ID}}}}]}\n"))
	f.Add([]byte(twoForms))
	f.Add([]byte(twoFormsCompose))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := app.Parse("f", data)
		if err != nil {
			return
		}
		require.NoError(t, c.Validate())
		for _, v := range c.Volumes {
			if v.Managed() || v.Name == v.Path {
				return // compose form
			}
		}
		text, err := yaml.Marshal(c)
		require.NoError(t, err)
		text = regexp.MustCompile(`\{\{\s*\.\w+\s*\}\}`).ReplaceAll(text, []byte("{{$0}}"))
		again, err := app.Parse("f", text)
		require.NoError(t, err, "%s", text)
		a, err := json.Marshal(c)
		require.NoError(t, err)
		b, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(a), string(b))
	})
}

func TestWrongFiles(t *testing.T) {
	conftest.Run(t, "testdata/wrong.txt", func(text []byte) error {
		_, err := app.Parse("application.yml", text)
		return err
	})
}
