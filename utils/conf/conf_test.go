package conf_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/conftest"
	"github.com/baetyl/baetyl/utils/conf"
)

type topic struct {
	Topic string `yaml:"topic" json:"topic" validate:"nonzero"`
	QOS   int    `yaml:"qos" json:"qos" validate:"min=0, max=1"`
}

type Shared struct {
	Keep time.Duration `yaml:"keep" json:"keep" default:"1m"`
}

type sample struct {
	Mode   string `yaml:"mode" json:"mode" default:"docker" validate:"oneof=docker|native"`
	Grace  time.Duration
	Shared `yaml:",inline"`
	Rules  []struct {
		Subscribe topic `yaml:"subscribe" json:"subscribe"`
		Retry     struct {
			Max int `yaml:"max" json:"max" default:"3"`
		} `yaml:"retry" json:"retry"`
	} `yaml:"rules" json:"rules"`
	Env    map[string]string `yaml:"env" json:"env"`
	Length struct {
		Max conf.Size `yaml:"max" json:"max" default:"32k"`
	} `yaml:"length" json:"length"`
	Nets map[string]struct {
		Driver string `yaml:"driver" json:"driver" default:"bridge"`
	} `yaml:"nets" json:"nets"`
}

func parse(text string, opts ...conf.Option) (sample, error) {
	var s sample
	err := conf.Parse("x.yml", []byte(text), &s, opts...)
	return s, err
}

func TestDefaultsReachOnlyAbsentKeys(t *testing.T) {
	s, err := parse("mode: native\nkeep: 0s\nrules:\n- subscribe: {topic: t}\n- subscribe: {topic: u, qos: 1}\n  retry: {max: 0}\nlength: {max: 4m}\nnets: {a: , b: {driver: x}}\n")
	require.NoError(t, err)
	require.Zero(t, s.Keep)
	require.Equal(t, 3, s.Rules[0].Retry.Max)
	require.Equal(t, 0, s.Rules[1].Retry.Max)
	require.EqualValues(t, 4<<20, s.Length.Max)
	require.Equal(t, "bridge", s.Nets["a"].Driver)
	require.Equal(t, "x", s.Nets["b"].Driver)

	s, err = parse("")
	require.NoError(t, err)
	require.Equal(t, "docker", s.Mode)
	require.Equal(t, time.Minute, s.Keep)
	require.EqualValues(t, 32768, s.Length.Max)
}

func TestWrongFiles(t *testing.T) {
	conftest.Run(t, "testdata/wrong.txt", func(text []byte) error {
		_, err := parse(string(text))
		return err
	})
}

func TestExpand(t *testing.T) {
	env := conf.Env(func(n string) (string, bool) { return "a=b=c", n == "X" })
	s, err := parse("# {{.UNSET}} in a comment\nenv: {v: '{{.X}}-{{ .X }}', w: '{{other}}'}", env)
	require.NoError(t, err)
	require.Equal(t, "a=b=c-a=b=c", s.Env["v"])
	require.Equal(t, "{{other}}", s.Env["w"])
}

func TestAllowKeys(t *testing.T) {
	_, err := parse("hub: {address: x}", conf.AllowKeys("hub"))
	require.NoError(t, err)
	_, err = parse("{hub: {address: x}, 'any thing': 1}", conf.AllowOthers())
	require.NoError(t, err)
	_, err = parse("env: {}\nhub: {}")
	require.Error(t, err)
}

func TestLoadReportsMissingAndHugeFiles(t *testing.T) {
	var s sample
	err := conf.Load(filepath.Join(t.TempDir(), "no.yml"), &s)
	require.ErrorIs(t, err, os.ErrNotExist)
	huge := filepath.Join(t.TempDir(), "huge.yml")
	require.NoError(t, os.WriteFile(huge, make([]byte, 10<<20), 0o600))
	require.ErrorContains(t, conf.Load(huge, &s), "larger than")
}

func FuzzParse(f *testing.F) {
	f.Add("mode: native\nrules:\n- subscribe: {topic: t, qos: 1}\nlength: {max: 4m}\nkeep: 1s")
	f.Add("rules: [[]]\nnets: {1: 2}\nenv: [a]")
	f.Add("a: &a [*a]\n<<: {mode: x}")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parse(text); err == nil && s.Mode == "" {
			t.Fatal("accepted a mode that its rule refuses")
		}
	})
}

func FuzzParseSize(f *testing.F) {
	f.Add("32k")
	f.Add("9223372036854775807t")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := conf.ParseSize(text); err == nil && n < 0 {
			t.Fatalf("%q gave %d", text, n)
		}
	})
}
