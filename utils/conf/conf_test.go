package conf_test

import (
	"fmt"
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
	s, err := parse(
		"mode: native\nkeep: 0s\nrules:\n- subscribe: {topic: t}\n- subscribe: {topic: u, qos: 1}\n  retry: {max: 0}\n" +
			"length: {max: 4m}\nnets: {a: , b: {driver: x}}\n",
	)
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

// The schema says all that the tags say, in the order of the struct.
func TestSchema(t *testing.T) {
	var got []string
	for k := range conf.Schema[sample]().All() {
		got = append(
			got,
			fmt.Sprintf("%s | %s | %s | %v | %s..%s | %v", k.Path, k.Kind, k.Default, k.Allowed, k.Min, k.Max, k.Required),
		)
	}
	require.Equal(t, []string{
		" | mapping |  | [] | .. | false",
		"mode | text | docker | [docker native] | .. | false",
		"grace | duration |  | [] | .. | false",
		"keep | duration | 1m | [] | .. | false",
		"rules | list |  | [] | .. | false",
		"rules[] | mapping |  | [] | .. | false",
		"rules[].subscribe | mapping |  | [] | .. | false",
		"rules[].subscribe.topic | text |  | [] | .. | true",
		"rules[].subscribe.qos | whole number |  | [] | 0..1 | false",
		"rules[].retry | mapping |  | [] | .. | false",
		"rules[].retry.max | whole number | 3 | [] | .. | false",
		"env | names |  | [] | .. | false",
		"env.<name> | text |  | [] | .. | false",
		"length | mapping |  | [] | .. | false",
		"length.max | size | 32k | [] | .. | false",
		"nets | names |  | [] | .. | false",
		"nets.<name> | mapping |  | [] | .. | false",
		"nets.<name>.driver | text | bridge | [] | .. | false",
	}, got)
}

type tags struct {
	Log   log            `yaml:"log" default:"{\"path\":\"x\", \"age\": {\"max\": 7}}"`
	Bare  log            `yaml:"bare"`
	Old   log            `yaml:"old" default:"{\"path\":\"y\"}" zero:"default"`
	Ports []int          `yaml:"ports" default:"[1, 2]" validate:"max=2"`
	Env   map[string]int `yaml:"env" default:"{\"a\": 1}"`
	Ptr   *int           `yaml:"ptr" default:"5"`
	None  *log           `yaml:"none"`
	Wait  time.Duration  `yaml:"wait" default:"1s" validate:"min=1000000"`
	Name  string         `yaml:"name" validate:"regexp=^[a-z]{0\\,3}$"`
	Code  string         `yaml:"code" default:"abc" validate:"len=3"`
	Sort  []string       `yaml:"sort" validate:"oneof=a|b"`
	Half  float32        `yaml:"half" default:"0.5"`
	Small int8           `yaml:"small"`
	Main  string         `yaml:"main"`
	Other string         `yaml:"other" legacy:"main"`
}

type log struct {
	Path string `yaml:"path" default:"log"`
	Age  struct {
		Max int `yaml:"max" default:"15"`
	} `yaml:"age"`
}

func (c *tags) Complete() {
	if c.Main == "" {
		c.Main = c.Other
	}
}

func TestTags(t *testing.T) {
	five, age := 5, func(n int) struct {
		Max int `yaml:"max" default:"15"`
	} {
		return struct {
			Max int `yaml:"max" default:"15"`
		}{n}
	}
	empty := tags{
		Log:   log{"x", age(7)},
		Bare:  log{"log", age(15)},
		Old:   log{"y", age(15)},
		Ports: []int{1, 2},
		Env:   map[string]int{"a": 1},
		Ptr:   &five,
		Wait:  time.Second,
		Code:  "abc",
		Half:  0.5,
	}
	var got tags
	require.NoError(t, conf.Parse("f", nil, &got))
	require.Equal(t, empty, got)
	var set tags
	require.NoError(t, conf.SetDefaults(&set))
	require.Equal(t, empty, set)
	require.Equal(t, empty, conf.Default[tags]())
	got.Ports[0], got.Env["a"] = 9, 9
	require.Equal(t, empty, conf.Default[tags](), "defaults are copies")

	got = tags{}
	require.NoError(
		t,
		conf.Parse(
			"f",
			[]byte("log: {path: ''}\nold: {path: ''}\nports: []\nenv: {}\nptr: 0\nother: o\nhalf: 1\nnone: {age: {}}"),
			&got,
		),
	)
	require.Equal(
		t,
		tags{
			Log:   log{"", age(7)},
			Bare:  log{"log", age(15)},
			Old:   log{"y", age(15)},
			Ports: []int{},
			Env:   map[string]int{},
			Ptr:   new(int),
			None:  &log{"log", age(15)},
			Wait:  time.Second,
			Code:  "abc",
			Half:  1,
			Main:  "o",
			Other: "o",
		},
		got,
	)

	for text, want := range map[string]string{
		"ports: [1, 2, 3]": "f: ports: must be at most 2 entries long; found 3",
		"wait: 1us":        "f: wait: must be at least 1ms; found 1µs",
		"name: abcd":       `f: name: must match ^[a-z]{0,3}$; found "abcd"`,
		"code: abcd":       `f: code: must be 3 bytes long; found "abcd"`,
		"sort: [a, c]":     `f: sort[1]: must be a or b; found "c"`,
		"small: 128":       "f: small: must be between -128 and 127; found 128",
		"half: no":         "f: half: expected a number, found false",
		"othe: x": "f: othe: unknown key; known here: log, bare, old, ports, env, ptr, none, wait, name, code, " +
			"sort, half, small, main",
	} {
		require.EqualError(t, conf.Parse("f", []byte(text), new(tags)), want)
	}
}

// What a merge key brings in counts as present, and is checked.
func TestMergedKeys(t *testing.T) {
	s, err := parse(
		"rules:\n- &a\n  subscribe: {topic: t}\n  retry: &r {max: 0}\n- <<: *a\n- subscribe: {topic: u}\n  retry: {<<: *r}\n",
	)
	require.NoError(t, err)
	for i := range s.Rules {
		require.Zero(t, s.Rules[i].Retry.Max, "rule %d", i)
	}
}

func TestLoadReportsWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	var s sample
	require.EqualError(t, conf.Load(dir, &s), dir+": is a folder; name a file")
	locked := filepath.Join(dir, "locked.yml")
	require.NoError(t, os.WriteFile(locked, nil, 0o000))
	if os.Geteuid() != 0 { // root reads everything
		require.EqualError(
			t,
			conf.Load(locked, &s),
			locked+": open: permission denied; let the user that runs this program read it",
		)
	}
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
		s, err := parse(text)
		if err == nil && s.Mode != "docker" && s.Mode != "native" {
			t.Fatal("accepted a mode that its rule refuses")
		}
		if _, again := parse(text); fmt.Sprint(again) != fmt.Sprint(err) {
			t.Fatalf("first %v, then %v", err, again)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	f.Add("32k")
	f.Add("9223372036854775807t")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := conf.ParseSize(text)
		if err != nil {
			return
		}
		if again, err := conf.ParseSize(n.String()); n < 0 || err != nil || again != n {
			t.Fatalf("%q gave %d, which is %q, which gave %d, %v", text, n, n, again, err)
		}
	})
}
