package out_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/cmd/out"
)

func none(string) string { return "" }

// acts are characters that a terminal acts on, or that hide or reorder others.
const acts = "\x1b[2J\x1b]0;title\x07\u009b31m\u202e\u2066\u200b\ufeff\x7f\r\b\v\x00\U000e0041"

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"plain ü 日本 \t ok": "plain ü 日本 \t ok",
		"\x1b[31mred":      `\x1b[31mred`,
		"a\nb\r\n":         `a\nb\r\n`,
		"\u009b1m":         `\u009b1m`,
		"\u202egnp.exe":    `\u202egnp.exe`,
		"\xff\xfe":         `\xff\xfe`,
		"\ufffd":           "\ufffd",
		`quote " \ back`:   `quote " \ back`,
		"\U000e0041":       `\U000e0041`,
	} {
		require.Equal(t, want, out.Harmless(in))
	}
	require.Equal(t, "one\n\\atwo", out.Block("one\n\x07two"), "lines of a block stay")
}

// harmless fails when a terminal would act on text.
func harmless(t *testing.T, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text))
	for _, r := range text {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf)) && r != '\u00ad' {
			if r >= 0x600 && r <= 0x70f || r == 0x180e || r == 0x8e2 || r >= 0xfff9 && r <= 0xfffb || r == 0x890 || r == 0x891 {
				continue // marks of scripts
			}
			t.Fatalf("%U in %q", r, text)
		}
	}
}

// Whatever a text is, no form of output has anything that a terminal acts on, and programs get it back.
func FuzzOutput(f *testing.F) {
	for _, s := range []string{
		acts, "yes", "1e3", "- a: b", "~", "a: b #c", "\"'", "2026-11-30", " x ", "", "0x1f", "=", "<<",
	} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		v := map[string]any{key: []any{text, map[string]any{"k": text, "n": int64(12345678901234567), "e": []any{}}}}
		for _, format := range out.Formats {
			var b bytes.Buffer
			p := out.New(&b, none)
			p.Format = format
			require.NoError(t, p.Print(v, func(r *out.Rows) {
				r.Head(key, "X")
				r.Add(text, text)
			}))
			require.NoError(t, p.Line(v, func() string { return p.Paint(out.Bad, text) }))
			p.Says("%s", text)
			require.NoError(t, p.Err())
			harmless(t, b.String())
		}
		want, err := json.Marshal(v)
		require.NoError(t, err)
		var b bytes.Buffer
		p := out.New(&b, none)
		p.Format = out.JSON
		require.NoError(t, p.Print(v, nil))
		require.JSONEq(t, string(want), b.String())

		b.Reset()
		p.Format = out.YAML
		require.NoError(t, p.Print(v, nil))
		var back map[string][]any
		require.NoError(t, yaml.Unmarshal(b.Bytes(), &back), b.String())
		var decoded map[string][]any
		require.NoError(t, json.Unmarshal(want, &decoded))
		for k, list := range decoded {
			require.Contains(t, back, k, b.String())
			require.Equal(t, list[0], back[k][0], b.String())
		}
	})
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	p := out.New(&b, none)
	require.NoError(t, p.Print(nil, func(r *out.Rows) {
		r.Head("NAME", "STATE", "WHY")
		r.Add("日本", out.Cell{Text: "failed", Colour: out.Bad}, "a\tb\nc")
		r.Add("x", "running", "")
	}))
	require.Equal(t, "NAME  STATE    WHY\n日本  failed   a b\\nc\nx     running\n", b.String())
	require.NotContains(t, b.String(), "\x1b", "no colours without a terminal")
}

// The order of keys is that of the API.
func TestYAML(t *testing.T) {
	var b bytes.Buffer
	p := out.New(&b, none)
	p.Format = out.YAML
	body := `{"z":1,"a":{"on":"yes","list":[],"none":null,"map":{}},"items":[{"x":1.50,"y":"2026"},["n"]],"text":"a\nb"}`
	require.NoError(t, p.Print(json.RawMessage(body), nil))
	require.Equal(t, strings.TrimPrefix(`
z: 1
a:
  "on": "yes"
  list: []
  none: null
  map: {}
items:
  -
    x: 1.50
    "y": "2026"
  -
    - "n"
text: "a\nb"
`, "\n"), b.String())
}
