//go:build unix

package functiontest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// PayloadCase is a payload and what it means, from payloads.json. All runtimes are tested with it.
type PayloadCase struct {
	Name   string
	Text   string
	Base64 []byte  // the payload instead, where it is not UTF-8
	Parts  [][]any // the payload instead: texts, each with how often it is there
	PayloadMeaning
	Python, Node, SQL *PayloadMeaning // what is other there
}

// PayloadMeaning is what the runtimes make of a payload.
type PayloadMeaning struct {
	Event     string  // json, bytes, or empty
	Published *string // what a handler that returns its event publishes; nil: the payload
	Error     string  // of SQL, its beginning
}

// LoadPayloadCases reads the cases for one language: "python", "node" or "sql".
func LoadPayloadCases(t testing.TB, language string) []PayloadCase {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Root(), "internal/functiontest/payloads.json"))
	require.NoError(t, err)
	var cases []PayloadCase
	require.NoError(t, json.Unmarshal(b, &cases))
	require.Greater(t, len(cases), 100)
	for i := range cases {
		c := &cases[i]
		own := map[string]*PayloadMeaning{"python": c.Python, "node": c.Node, "sql": c.SQL}[language]
		if own == nil {
			continue
		}
		if own.Event != "" {
			c.Event = own.Event
		}
		if own.Published != nil {
			c.Published = own.Published
		}
		c.Error = own.Error
	}
	return cases
}

// Payload returns the bytes.
func (c PayloadCase) Payload(t testing.TB) string {
	t.Helper()
	if c.Base64 != nil {
		return string(c.Base64)
	}
	b := strings.Builder{}
	b.WriteString(c.Text)
	for _, p := range c.Parts {
		b.WriteString(strings.Repeat(p[0].(string), int(p[1].(float64))))
	}
	return b.String()
}

// kinds are modules whose function kind returns what the event is, and whose function echo returns the event.
var kinds = map[string]map[string]string{
	"python": {"kinds.py": `
def kind(event, context):
    return {'kind': 'bytes' if isinstance(event, bytes) else 'json'}
def echo(event, context):
    return event
`},
	"node": {"kinds.js": `
exports.kind = (event, context, callback) => callback(null, { kind: Buffer.isBuffer(event) ? 'bytes' : 'json' });
exports.echo = (event, context, callback) => callback(null, event);
`},
	"sql": nil,
}

// RunPayloads calls a runtime of a language with each payload; o starts it. That of SQL has a function echo.
func RunPayloads(t *testing.T, language string, o Options) {
	if files := kinds[language]; files != nil {
		o.Files = map[string]string{}
		for name, code := range files {
			o.Files["code/"+name] = code
		}
		o.Files[Config] = `
functions:
- {name: echo, handler: kinds.echo, codedir: code}
- {name: kind, handler: kinds.kind, codedir: code}
`
	}
	r := Start(t, o)
	for _, c := range LoadPayloadCases(t, language) {
		t.Run(c.Name, func(t *testing.T) {
			payload := c.Payload(t)
			if c.Error != "" {
				want := "Exception calling application: ('[UserCodeInvoke]', " + c.Error
				got := r.UserError(t, "echo", payload)
				require.True(t, strings.HasPrefix(got, want), "want %s, got %s", want, got)
				return
			}
			if language != "sql" && c.Event != "empty" {
				require.JSONEq(t, fmt.Sprintf(`{"kind":%q}`, c.Event), r.MustCall(t, "kind", payload))
			}
			got := r.MustCall(t, "echo", payload)
			want := payload
			if c.Published != nil {
				want = *c.Published
			}
			if want == "" || c.Event == "bytes" && language != "sql" {
				require.True(t, want == got, "want %.200q, got %.200q", want, got)
				return
			}
			assertValue(t, want, got)
		})
	}
}

// escapes are, in texts of JSON: a surrogate pair, half of one, any other.
var escapes = regexp.MustCompile(
	`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.`)

// halves replaces half of a surrogate pair, of which encoding/json makes U+FFFD, by its digits.
func halves(escape string) string {
	if len(escape) == len(`\ud800`) {
		return "<" + strings.ToLower(escape[1:]) + ">"
	}
	return escape
}

// assertValue compares JSON texts: numbers by their exact value, objects without the order of their keys.
func assertValue(t *testing.T, want, got string) {
	t.Helper()
	var values [2]any
	for i, text := range []string{want, got} {
		require.True(t, json.Valid([]byte(text)), "%.200q is not JSON", text)
		d := json.NewDecoder(strings.NewReader(escapes.ReplaceAllStringFunc(text, halves)))
		d.UseNumber()
		require.NoError(t, d.Decode(&values[i]), "%.200q", text)
	}
	assert.True(t, sameValue(values[0], values[1]), "want %.200q, got %.200q", want, got)
}

func sameValue(a, b any) bool {
	switch x := a.(type) {
	case json.Number:
		y, ok := b.(json.Number)
		return ok && (x == y || len(x) < 400 && len(y) < 400 && rational(x).Cmp(rational(y)) == 0)
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, sameValue)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, sameValue)
	}
	return a == b
}

func rational(n json.Number) *big.Rat {
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return new(big.Rat)
	}
	return r
}
