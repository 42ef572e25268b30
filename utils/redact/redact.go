// Package redact takes secrets out of texts that leave a device: configuration, logs, arguments.
//
//	Learn    each text that there is ─► values that stand where secrets stand
//	Clean    each text ─► those values, in any text and in the usual encodings, and whatever stands where secrets stand
//
// It promises that a value which Learn has seen at the place of a secret is in no text that Clean returns: as it is, in
// base64, in hex, escaped as in JSON, YAML or a URL. It takes rather too much than too little: "***" stands for it. It
// cannot know a secret that stands nowhere as one.
package redact

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// Stars stand for what was taken out.
const Stars = "***"

const (
	minLiteral = 4       // bytes of a value that is looked for everywhere; a shorter one is taken out where it stands
	maxLiteral = 1 << 16 // bytes; a longer value is none
	maxKnown   = 10_000  // values; what is more is only taken out where it stands
)

// Redactor knows secrets. One goroutine uses it. Learn everything first, then Clean.
type Redactor struct {
	known    map[string]bool
	replacer *strings.Replacer // of known; nil: it has changed
	full     bool
}

// New returns a Redactor that knows nothing.
func New() *Redactor { return &Redactor{known: map[string]bool{}} }

// Full tells whether there were more values than a Redactor looks for everywhere.
func (r *Redactor) Full() bool { return r.full }

// Add makes a value known, as that of a file that a configuration names as a password. Words that a log is full of, and
// what is too short to be found among others, are not.
func (r *Redactor) Add(value string) {
	r.add(value)
	if strings.ContainsAny(value, "\r\n") { // a text of several lines is indented, or quoted, line by line elsewhere
		for _, line := range strings.FieldsFunc(value, func(c rune) bool { return c == '\n' || c == '\r' }) {
			r.add(line)
		}
	}
}

func (r *Redactor) add(value string) {
	value = strings.TrimSpace(value)
	if len(value) < minLiteral || len(value) > maxLiteral || common[strings.ToLower(value)] || value == Stars {
		return
	}
	if len(r.known) >= maxKnown {
		r.full = true
		return
	}
	r.known[value] = true
	r.replacer = nil
}

// common are values that stand at the place of a secret and are none.
var common = func() map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields("none null true false file files path string text secret secrets password " +
		"passwords " +
		"token tokens empty unknown missing required default invalid wrong expired credential credentials auto user users " +
		"test name admin root localhost master service services topic info warn warning error debug always never missing " +
		"docker native running failed started stopped environment variable value values example baetyl") {
		out[w] = true
	}
	return out
}()

// Clean returns text without secrets, and how many were taken out.
func (r *Redactor) Clean(text []byte) (clean []byte, taken int) {
	out := string(text)
	before := strings.Count(out, Stars)
	out = r.literals().Replace(out)
	out = places(out, func(p place) string {
		if p.value == "" || p.value == Stars {
			return p.value
		}
		return Stars
	})
	out = r.literals().Replace(out) // what an unfolded line has shown
	return []byte(out), max(strings.Count(out, Stars)-before, 0)
}

// Learn takes note of the values that stand at places of secrets in a text. structured: it is a file of configuration,
// in which such a value is certainly one; elsewhere it has to look like one.
func (r *Redactor) Learn(text []byte, structured bool) {
	if structured {
		r.tree(text)
	}
	r.learn(string(text), structured, 0)
}

// maxNested is how deep a secret may stand in the value of another one, as a key in a connection string.
const maxNested = 3

func (r *Redactor) learn(text string, structured bool, depth int) {
	places(text, func(p place) string {
		if p.sure || structured && !p.env || random(p.value) {
			r.Add(unquoted(p.value))
			r.Add(p.value)
		}
		if depth < maxNested && len(p.value) < len(text) {
			r.learn(p.value, structured, depth+1)
		}
		return p.value
	})
}

// random tells whether a value of a text looks like a secret, and not like a word.
func random(value string) bool {
	digit := strings.ContainsAny(value, "0123456789")
	letter := strings.ContainsFunc(value, func(c rune) bool { return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' })
	return len(value) >= 6 && !strings.ContainsAny(value, " \t") && digit && letter
}

// unquoted is a value without escapes of JSON.
func unquoted(value string) string {
	var out string
	if strings.Contains(value, `\`) && json.Unmarshal([]byte(`"`+value+`"`), &out) == nil {
		return out
	}
	return value
}

// literals replaces what is known, in every form.
func (r *Redactor) literals() *strings.Replacer {
	if r.replacer != nil {
		return r.replacer
	}
	forms := map[string]bool{}
	for v := range r.known {
		for _, f := range encodings(v) {
			forms[f] = true
		}
	}
	list := make([]string, 0, len(forms))
	for f := range forms {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(list))
	for _, f := range list {
		pairs = append(pairs, f, Stars)
	}
	r.replacer = strings.NewReplacer(pairs...)
	return r.replacer
}

// minPart is how long a part of a base64 text has to be to be looked for.
const minPart = 8

// encodings are the forms in which a value stands in texts.
func encodings(v string) []string {
	out := []string{v, url.QueryEscape(v), url.PathEscape(v), hex.EncodeToString([]byte(v)),
		strings.ToUpper(hex.EncodeToString([]byte(v))), strings.ReplaceAll(v, "'", "''")}
	for _, html := range []bool{true, false} {
		var buf bytes.Buffer
		e := json.NewEncoder(&buf)
		e.SetEscapeHTML(html)
		if e.Encode(v) == nil {
			text := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(buf.String(), "\n"), `"`), `"`)
			twice, _ := json.Marshal(text) // of a text: cannot fail
			out = append(out, text, strings.Trim(string(twice), `"`))
		}
	}
	lower := strings.NewReplacer("%2B", "%2b", "%2F", "%2f", "%3D", "%3d", "%3A", "%3a", "%40", "%40")
	out = append(out, lower.Replace(url.QueryEscape(v)))
	for _, enc := range []*base64.Encoding{
		base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding,
	} {
		out = append(out, enc.EncodeToString([]byte(v)))
	}
	for skip := range 3 { // where the value begins in a longer text decides which of three texts it is
		padded := append(make([]byte, skip), v...)
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString(padded)
			from, to := (skip*8+5)/6, len(padded)*8/6 // whole letters of the value
			if part := text[from:to]; len(part) >= minPart || skip == 0 && len(part) >= minLiteral {
				out = append(out, part)
			}
		}
	}
	return slices.DeleteFunc(out, func(f string) bool { return len(f) < minLiteral })
}
