package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// nested is a report of n objects and lists, one in the other.
func nested(n int) string {
	return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`
}

func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `%q:%d,`, fmt.Sprint("k", i), i)
	}
	return "{" + strings.TrimSuffix(b.String(), ",") + "}"
}

// What would keep a common JSON reader from reading inspect is refused; the message says what is allowed.
func TestReportsThatWouldBreakInspect(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"null":                    {`null`, "expected a JSON object"},
		"a list":                  {`[1]`, "cannot unmarshal array"},
		"a text":                  {`"a"`, "cannot unmarshal string"},
		"value is not UTF-8":      {"{\"a\":\"\xff\"}", "not UTF-8"},
		"key is not UTF-8":        {"{\"\xc3\x28\":1}", "not UTF-8"},
		"surrogate in UTF-8":      {"{\"a\":\"\xed\xa0\x80\"}", "not UTF-8"},
		"first half alone":        {`{"a":"\ud83d"}`, `\ud83d is half of a surrogate pair`},
		"first half, then text":   {`{"a":"\ud83dxxxxxx"}`, `half of a surrogate pair`},
		"second half alone":       {`{"a":"\ude00"}`, `\ude00 is half of a surrogate pair`},
		"halves in wrong order":   {`{"a":"\ude00\ud83d"}`, `half of a surrogate pair`},
		"half in a key":           {`{"\uD83D":1}`, `half of a surrogate pair`},
		"one level too deep":      {nested(maxReportDepth + 1), "nests more than 50 levels"},
		"10,000 levels":           {nested(10000), "nests more than 50 levels"},
		"objects too deep":        {strings.Repeat(`{"a":`, 51) + "1" + strings.Repeat("}", 51), "nests more than 50 levels"},
		"number too large":        {`{"a":1e309}`, `number "1e309" does not fit a 64-bit float`},
		"number of 5,000 digits":  {`{"a":[-` + strings.Repeat("9", 5000) + `]}`, "does not fit a 64-bit float"},
		"key twice":               {`{"a":1,"a":2}`, `key "a" appears twice`},
		"key twice, deep":         {`{"a":[{"b":{"c":1,"d":[],"c":2}}]}`, `key "c" appears twice`},
		"key twice, once escaped": {`{"x":{"a":1,"\u0061":2}}`, `key "a" appears twice`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseReport([]byte(c.body))
			require.ErrorContains(t, err, c.want)
			require.Less(t, len(err.Error()), 300, "the message repeats what was sent")
		})
	}
}

// What is unusual but valid passes, and keeps its meaning.
func TestReportsThatAreFine(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":            `{}`,
		"as deep as allowed": nested(maxReportDepth),
		"white space":        " {\n\t\"a\" : [ 1 , { \"b\" : null } ] } ",
		"pairs":              `{"a":"\ud83d\ude00\uD83D\uDE00","\ud83d\ude00":"x"}`,
		"escaped backslash":  `{"a":"\\ud83d","b":"\\\\ud83d","c":"\"\\"}`,
		"control characters": `{"a":"\u0000\u0001\u001f\u007f\n","\u0000":1}`,
		"HTML":               `{"a":"<&>\u2028","<&>":"x"}`,
		"numbers":            `{"a":[1e308,-1.7976931348623157e308,1e-999,18446744073709551616,0.1,-0]}`,
		"same key elsewhere": `{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}],"A":1}`,
		"empty key":          `{"":{"":1}}`,
		"key as a value":     `{"a":"b","b":"a","c":["a","a"]}`,
		"many keys":          `{"a":` + keys(50000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseReport([]byte(body))
			require.NoError(t, err)
			shown, err := json.Marshal(got)
			require.NoError(t, err)
			require.JSONEq(t, body, string(shown))
		})
	}
}

// Values are counted as inspect shows them: markup costs six bytes a character, white space nothing.
func TestReportIsKeptAsItIsShown(t *testing.T) {
	got, err := parseReport([]byte(`{ "a" : "<" , "b" : [ 1 , 2 ] }`))
	require.NoError(t, err)
	require.Equal(t, map[string]json.RawMessage{"a": []byte(`"\u003c"`), "b": []byte("[1,2]")}, got)
}

// Whatever passes can be shown: it is JSON in UTF-8, which a reader that keeps no numbers as text takes, and it
// passes again.
func FuzzReport(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, nested(50), nested(51), `{"a":"\ud83d\ude00"}`, `{"a":"\ud83d"}`, `{"a":1e309}`,
		`{"a":{"b":1,"b":2}}`, "{\"a\":\"\xff\"}", `[]`, `null`, `{"a":"\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			return // refused before (http.ReadJSON)
		}
		report, err := parseReport(body)
		if err != nil {
			return
		}
		shown, err := json.Marshal(map[string]any{"services": []any{map[string]any{"instances": []any{report}}}})
		require.NoError(t, err)
		require.True(t, utf8.Valid(shown))
		var anything any
		require.NoError(t, json.Unmarshal(shown, &anything))
		own, err := json.Marshal(report)
		require.NoError(t, err)
		again, err := parseReport(own)
		require.NoError(t, err)
		require.Equal(t, report, again)
	})
}
