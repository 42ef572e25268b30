package admin

import (
	"bytes"
	"encoding/json"
	nethttp "net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/baetyl/baetyl/protocol/http"
)

// Bytes of texts of a caller in an answer or in a line of the log.
const (
	MaxQuoted  = 200
	maxMessage = 600
)

// Cut shortens a text to most bytes, and says so by its end.
func Cut(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// Quote is a text of a caller in a message.
func Quote(text string) string { return strconv.Quote(Cut(text, MaxQuoted)) }

// Bad is the error of a request that its sender has to change: 400.
func Bad(format string, args ...any) *http.Error {
	return http.Errorf(nethttp.StatusBadRequest, "bad_request", format, args...)
}

// parse reads the query, each of whose parameters is one of names, once.
func (r *Request) parse(names []string) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Bad("query: %s; encode what is not a letter or a digit as %%XX (curl: -G --data-urlencode)",
			Cut(err.Error(), MaxQuoted))
	}
	r.Query = map[string]string{}
	for name, list := range values {
		switch {
		case !slices.Contains(names, name) && len(names) == 0:
			return Bad("parameter %s: this path takes none", Quote(name))
		case !slices.Contains(names, name):
			return Bad("parameter %s is not known; use %s", Quote(name), strings.Join(names, ", "))
		case len(list) > 1:
			return Bad("parameter %s stands %d times; use it once", name, len(list))
		case !utf8.ValidString(list[0]):
			return Bad("parameter %s is not UTF-8, so nothing here has such a name", name)
		}
		r.Query[name] = list[0]
	}
	return nil
}

// Number returns a parameter that is a number from least to most; without it, missing.
func (r *Request) Number(name string, missing, least, most int) (int, error) {
	text, ok := r.Query[name]
	if !ok {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, Bad("%s: %s is not a number from %d to %d", name, Quote(text), least, most)
	}
	return n, nil
}

// Field is a key of a body, and where its value goes.
type Field struct {
	Name string
	To   any // a pointer
}

// Read reads the body of a request: one JSON object, each of whose keys is one of fields, once.
func (r *Request) Read(fields ...Field) error {
	var body json.RawMessage
	if err := http.ReadJSON(r.Request, &body); err != nil {
		return err
	}
	return decode(body, fields)
}

// decode is Read of a body that is JSON.
func decode(body []byte, fields []Field) error {
	if !utf8.Valid(body) {
		return Bad("the body is not UTF-8; send other bytes as payload_base64")
	}
	in := json.NewDecoder(bytes.NewReader(body))
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return Bad("the body is no JSON object; send {%s: …}", strconv.Quote(fields[0].Name))
	}
	seen := map[string]bool{}
	for in.More() {
		t, err := in.Token()
		if err != nil {
			return Bad("read body: %s", err)
		}
		name := t.(string) // the key of an object
		to := place(fields, name)
		switch {
		case to == nil:
			return Bad("key %s is not known; use %s", Quote(name), names(fields))
		case seen[name]:
			return Bad("key %s stands twice; use it once", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return Bad("read body: %s", err)
		}
		if err := json.Unmarshal(value, to); err != nil {
			return Bad("%s: %s", name, Cut(err.Error(), MaxQuoted))
		}
		if text, ok := to.(*string); ok && broken(*text, value) {
			return Bad("%s: an escape \\u is half of a surrogate pair; send whole characters", name)
		}
	}
	return nil
}

// broken tells whether a text has a replacement character that its JSON has not: it stands for half a pair.
func broken(text string, value []byte) bool {
	const replacement = "\uFFFD"
	has := func(part string) int { return strings.Count(strings.ToLower(string(value)), part) }
	return strings.Count(text, replacement) > has(replacement)+has(`\ufffd`)
}

func place(fields []Field, name string) any {
	for _, f := range fields {
		if f.Name == name {
			return f.To
		}
	}
	return nil
}

func names(fields []Field) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.Name
	}
	return strings.Join(list, ", ")
}

// Payload is a payload as text or as base64, as bodies have it: one of the two.
type Payload struct {
	Text   string
	Base64 []byte
}

// Fields are the keys payload and payload_base64 of a body.
func (p *Payload) Fields() []Field {
	return []Field{{"payload", &p.Text}, {"payload_base64", &p.Base64}}
}

// PayloadOf is a payload as answers have it: text, if that is UTF-8 without control characters but tab and newline.
func PayloadOf(payload []byte) (text string, base64 []byte) {
	for i := 0; i < len(payload); {
		r, n := utf8.DecodeRune(payload[i:])
		if r == utf8.RuneError && n == 1 || unicode.IsControl(r) && r != '\n' && r != '\t' {
			return "", payload
		}
		i += n
	}
	return string(payload), nil
}

// Bytes returns the payload.
func (p *Payload) Bytes() ([]byte, error) {
	if len(p.Base64) == 0 {
		return []byte(p.Text), nil
	}
	if p.Text != "" {
		return nil, Bad("payload and payload_base64 are both there; send one of them")
	}
	return p.Base64, nil
}
