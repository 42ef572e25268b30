package conf_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/conf"
)

type typed struct {
	Text  string            `yaml:"text" default:"absent"`
	Whole int               `yaml:"whole" default:"7"`
	Part  float64           `yaml:"part"`
	Flag  bool              `yaml:"flag"`
	Time  time.Duration     `yaml:"time"`
	Size  conf.Size         `yaml:"size"`
	List  []string          `yaml:"list"`
	Env   map[string]string `yaml:"env"`
	Pass  conf.Secret       `yaml:"pass"`
	Any   any               `yaml:"any"`
	More  []struct {
		Text  string `yaml:"text"`
		Whole int    `yaml:"whole"`
	} `yaml:"more"`
}

func variables(values map[string]string) conf.Option {
	return conf.Env(func(name string) (string, bool) { v, ok := values[name]; return v, ok })
}

// nasty are values that YAML would take for something else than a text.
var nasty = []string{
	"a #b", "#b", `"`, `'`, `it's`, `say "x"`, "a: b", "- a", "[a, b]", "{a: b}", "two\nlines", "two\n\n  lines\n", "\r\n", "a\tb",
	" a ", "*a", "&a", "!!int 5", "|", ">-", "%x", "@x", "`x", "? a", "---", "...", "<<", "null", "~", "yes", "no", "010", "0x1F",
	"1_000", "1e3", "1.0", ".5", "2001-01-01", "12:30", "{{.X}}", "{{other}}", "${X}", `\n`, `\x41`, `C:\dir`, "é", "\x01", "\x7f",
	"\u2028", "\ufeff", "😀", strings.Repeat("long ", 1000), "1234567890123456", ",", "]", "}", "a, b", "key: [x", "=", "",
}

// A variable is one text wherever it stands, whatever is in it.
func TestVariablesAreValues(t *testing.T) {
	for _, x := range nasty {
		for form, want := range map[string]string{
			"text: {{.X}}\n":                         x,
			"text: '{{.X}}'":                         x,
			`text: "{{.X}}"`:                         x,
			"text: {{.X}} # comment {{.UNSET}}":      x,
			"text: a{{.X}}b":                         "a" + x + "b",
			"text: tcp://{{.X}}:{{ .X }}/":           "tcp://" + x + ":" + x + "/",
			"text: '{{.X}}-{{.X}}'":                  x + "-" + x,
			"text: |\n  a {{.X}}\n  b\n":             "a " + x + "\nb\n",
			"text: >-\n  a\n  {{.X}}\n":              "a " + x,
			"{text: {{.X}}, whole: 3}":               x,
			"text: !!str {{.X}}":                     x,
			"text: {{.X}}\nflag: true\nlist: [a, b]": x,
		} {
			if x == "" && !strings.ContainsAny(form, `'"|>!`) && want == x {
				want = "absent" // as `text:` alone
			}
			var got typed
			require.NoError(t, conf.Parse("f", []byte(form), &got, variables(map[string]string{"X": x})), "%q in %q", x, form)
			require.Equal(t, want, got.Text, "%q in %q", x, form)
		}
		var got typed
		text := "list: ['{{.X}}', a{{.X}}]\nenv: {A: a{{.X}}, 'k{{.X}}': v}\npass: '{{.X}}'\nany: {a: ['{{.X}}']}\n" +
			"more: [{text: 'a{{.X}}'}]\nwhole: 5\n"
		require.NoError(t, conf.Parse("f", []byte(text), &got, variables(map[string]string{"X": x})), "%q", x)
		require.Equal(t, []string{x, "a" + x}, got.List)
		require.Equal(t, map[string]string{"A": "a" + x, "k" + x: "v"}, got.Env)
		require.Equal(t, x, string(got.Pass))
		require.Equal(t, map[any]any{"a": []any{x}}, got.Any)
		require.Equal(t, "a"+x, got.More[0].Text)
		require.Equal(t, 5, got.Whole)
	}
}

// Without quotes a variable has the type of its key, as it always had.
func TestVariablesTakeTheTypeOfTheirKey(t *testing.T) {
	values := map[string]string{"N": "18", "F": "1.5", "B": "true", "D": "30s", "S": "32k", "OCT": "010", "NO": "no",
		"NULL": "null", "EMPTY": "", "PAD": " 18 ", "TIME": "2001-01-01"}
	for text, want := range map[string]typed{
		"whole: {{.N}}":                     {Whole: 18},
		"whole: {{ .PAD }}":                 {Whole: 18},
		"whole: 1{{.N}}":                    {Whole: 118},
		"whole: -{{.N}}":                    {Whole: -18},
		"whole: {{.N}}{{.N}}":               {Whole: 1818},
		"whole: {{.EMPTY}}":                 {Whole: 7},
		"whole: {{.NULL}}":                  {Whole: 7},
		"whole: {{.OCT}}":                   {Whole: 8},
		"part: {{.F}}":                      {Part: 1.5},
		"part: {{.N}}":                      {Part: 18},
		"part: {{.N}}.{{.N}}":               {Part: 18.18},
		"flag: {{.B}}":                      {Flag: true},
		"flag: {{.NO}}":                     {},
		"time: {{.D}}":                      {Time: 30 * time.Second},
		"time: {{.N}}s":                     {Time: 18 * time.Second},
		"size: {{.S}}":                      {Size: 32 << 10},
		"size: {{.N}}k":                     {Size: 18 << 10},
		"size: {{.N}}":                      {Size: 18},
		"text: {{.OCT}}":                    {Text: "010"},
		"text: {{.NO}}":                     {Text: "no"},
		"text: {{.TIME}}":                   {Text: "2001-01-01"},
		"text: {{.EMPTY}}":                  {Text: "absent"},
		"env: {A: {{.OCT}}, B: {{.NO}}}":    {Env: map[string]string{"A": "010", "B": "no"}},
		"any: {{.N}}":                       {Any: 18},
		"any: [1.0, '1.0', 010, ~, {{.B}}]": {Any: []any{1.0, "1.0", 8, nil, true}},
		"more: [{text: {{.N}}, whole: {{.N}}}]": {More: []struct {
			Text  string `yaml:"text"`
			Whole int    `yaml:"whole"`
		}{{"18", 18}}},
		"env: {010: 1.0, 'null': 'null', ~: x, y: {{.N}}}": {Env: map[string]string{"010": "1.0", "null": "null", "": "x", "y": "18"}},
		"{{.B}}x: 1": {},
	} {
		if want.Text == "" {
			want.Text = "absent"
		}
		if want.Whole == 0 {
			want.Whole = 7
		}
		var got typed
		err := conf.Parse("f", []byte(text), &got, variables(values))
		if strings.HasPrefix(text, "{{") {
			require.ErrorContains(t, err, `f: truex: unknown key`)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{
		"whole: '{{.N}}'":        `f: whole: expected a whole number, found "18"; remove the quotes`,
		"whole: {{.S}}":          `f: whole: expected a whole number, found "32k"`,
		"list: {{.LIST}}":        `f: list: expected a list, found "[a, b]"; remove the quotes; a variable gives neither list nor mapping`,
		"env: {{.MAP}}":          `f: env: expected a mapping, found "{a: b}"`,
		"whole: {{.MORE}}":       `f: whole: expected a whole number, found "5 #x"`,
		"'a{{.N}}': 1":           `f: a18: unknown key; `,
		"text: a\n'{{.KEY}}': b": `f: text: stands twice; keep one of them`,
		"text: a\n{{.KEY}}: b":   `f: text: stands twice; keep one of them`,
		"{{.N}}":                 "f: top level is not a mapping",
		"- {{.N}}":               "f: top level is not a mapping",
		"whole: {{.LATIN}}":      "f: line 1: environment variable LATIN is not UTF-8",
	} {
		values["LIST"], values["MAP"], values["MORE"] = "[a, b]", "{a: b}", "5 #x"
		values["KEY"], values["LATIN"] = "text", "\xe9"
		require.ErrorContains(t, conf.Parse("f", []byte(text), new(typed), variables(values)), want, text)
	}
}

// What is no variable stays as it is, and braces in double stand for themselves.
func TestTextWithBraces(t *testing.T) {
	values := variables(map[string]string{"X": "x"})
	for text, want := range map[string]string{
		"'{{json .}}'":                            "{{json .}}",
		"'{{ index . 0 }}-{{.X}}'":                "{{ index . 0 }}-x",
		"'{{{{.Names}}}}'":                        "{{.Names}}",
		"{{{{.Names}}}}":                          "{{.Names}}",
		"'{{{{ .ID }}}}\t{{.X}}'":                 "{{ .ID }}\tx",
		"a {{{{.X}}}} {{.X}}":                     "a {{.X}} x",
		"'{{{.X}}}'":                              "{x}",
		"'{{.X.Y}} {{.}} {{ }} {{.X}}'":           "{{.X.Y}} {{.}} {{ }} x",
		"'{{.X}} << {{.X}} <<'":                   "x << x <<",
		"|\n  cat <<EOF {{.X}}\n  # {{.UNSET}}\n": "cat <<EOF x\n# {{.UNSET}}\n",
	} {
		var got typed
		require.NoError(t, conf.Parse("f", []byte("text: "+text), &got, values), text)
		require.Equal(t, strings.TrimSpace(want), strings.TrimSpace(got.Text), text)
	}
}

func TestForbiddenVariables(t *testing.T) {
	env := variables(map[string]string{"HOME": "/root", "BAETYL_X": "x"})
	parse := func(text string, only conf.Option) error { return conf.Parse("f", []byte(text), new(typed), env, only) }
	require.NoError(t, parse("text: {{.BAETYL_X}}", conf.Only("BAETYL_", "OPENEDGE_")))
	for _, name := range []string{"HOME", "Names", "BAETYL"} {
		require.EqualError(t, parse("flag: true\ntext: '{{."+name+"}}'", conf.Only("BAETYL_", "OPENEDGE_")),
			"f: line 2: environment variable "+name+" is forbidden here: only those whose names begin with BAETYL_ or OPENEDGE_ "+
				"can be used; write the value in its place; for the text {{."+name+"}} itself write {{{{."+name+"}}}}")
	}
	require.ErrorContains(t, parse("text: {{.BAETYL_X}}", conf.Only()),
		"BAETYL_X is forbidden here: this file comes from outside and can use none")
	require.ErrorContains(t, parse("text: {{.BAETYL_Y}}", conf.Only("BAETYL_")), "BAETYL_Y is not set; ")
	require.ErrorContains(t, parse("pass: {env: HOME}", conf.Only("BAETYL_")),
		"f: pass.env: environment variable HOME is forbidden")
}

// A file with variables means what it means without: anchors, merge keys, comments, and its errors.
func TestVariablesLeaveTheRest(t *testing.T) {
	values := variables(map[string]string{"X": "x", "N": "3"})
	var got typed
	require.NoError(t, conf.Parse("f", []byte(`# {{.UNSET}}
---
more:
- &a {text: '{{.X}}', whole: {{.N}}}
- <<: *a
  text: own
- *a
- {text: &t "a\tb\x41", whole: 0x10}
- text: *t
`), &got, values))
	require.Equal(t, "[{x 3} {own 3} {x 3} {a\tbA 16} {a\tbA 0}]", fmt.Sprint(got.More))
	for text, want := range map[string]string{
		"text: {{.X}}\n  b: c: d":        "f: not YAML: line 2",
		"text: {{.X}}\nwhole: x\nfla: 1": `f: whole: expected a whole number, found "x"`,
		"text: {{.X}}\n---\nwhole: 1":    "f: line 2: a second document begins",
		"text: *{{.X}}":                  "there is no anchor &",
		"{{.X}}: {{.X}}: 1":              "f: not YAML: line 1",
		"text: {{.X}}\nlist: {<<: [1]}":  "map merge requires",
		"any: &a [*a, {{.X}}]":           "f: not YAML: anchor 'a' value contains itself",
		"text: [{{.X}}":                  "f: not YAML: line 2 (end of the file)",
	} {
		err := conf.Parse("f", []byte(text), new(typed), values)
		require.ErrorContains(t, err, want, text)
		require.NotRegexp(t, `\d{9}`, err.Error(), "what stands in the place of a variable is not shown")
	}
	path := "pass: {env: {{.N}}}"
	require.ErrorContains(t, conf.Parse("f", []byte(path), new(typed), values), "environment variable 3 is not set")
	big := "any: &a '{{.X}}" + strings.Repeat("x", 1<<20) + "'\nlist: [" + strings.Repeat("*a,", 50) + "]"
	require.ErrorContains(t, conf.Parse("f", []byte(big), new(typed), values), "has more than 16777216 bytes")
}

// A file with a variable means what the same file means with a quoted text in its place.
func FuzzVariables(f *testing.F) {
	for _, x := range nasty {
		f.Add("text: {{.X}}\nany: [a{{.X}}, '{{.X}}', {k: \"{{.X}}\"}, {{{{.X}}}}]\n"+
			"list: &a [1.0, 010, ~, 'null']\nenv: {<<: {a: b}}", x)
	}
	f.Add("text: |\n {{.X}}\n <<\nmore:\n- &a {text: b}\n- {<<: *a}\n- {{.X}}: y", "x")
	f.Fuzz(func(t *testing.T, text, value string) {
		values := variables(map[string]string{"X": value})
		var got, again, without typed
		err := conf.Parse("f", []byte(text), &got, values)
		if second := conf.Parse("f", []byte(text), &again, values); fmt.Sprint(err) != fmt.Sprint(second) {
			t.Fatalf("first %v, then %v", err, second)
		}
		if !strings.Contains(text, "{{") && !strings.ContainsAny(text, "\x00") {
			// Writing a file anew because of a variable in it changes nothing else.
			one := text + "\n? '{{.X}}'\n: y\n"
			zz, more := variables(map[string]string{"X": "zz"}), conf.AllowKeys("zz")
			if conf.Parse("f", []byte(text+"\n? 'zz'\n: y\n"), &without, more) == nil {
				var with typed
				require.NoError(t, conf.Parse("f", []byte(one), &with, zz, more))
				require.Equal(t, fmt.Sprintf("%#v", without), fmt.Sprintf("%#v", with))
			}
		}
	})
}
