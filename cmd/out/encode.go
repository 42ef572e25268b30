package out

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf16"
)

// json writes v as JSON, without anything that a terminal would act on.
func (p *Printer) json(v any, indent string) error {
	data, err := encode(v, pair)
	if err != nil {
		return err
	}
	if indent != "" {
		var b bytes.Buffer
		if err := json.Indent(&b, data, "", indent); err != nil {
			return err
		}
		data = b.Bytes()
	}
	_, err = p.to.Write(append(data, '\n'))
	return err
}

// pair is how JSON escapes a character of more than 16 bits, and long how YAML does.
func pair(r rune) string {
	high, low := utf16.EncodeRune(r)
	return fmt.Sprintf(`\u%04x\u%04x`, high, low)
}

func long(r rune) string { return fmt.Sprintf(`\U%08x`, r) }

// encode returns the JSON of v. What is harmful can only stand in its strings, where an escape means the same.
func encode(v any, wide func(rune) string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(b.String(), "\n")
	if strings.IndexFunc(text, harmful) < 0 {
		return []byte(text), nil
	}
	var out strings.Builder
	for _, r := range text {
		switch {
		case !harmful(r):
			out.WriteRune(r)
		case r > 0xffff:
			out.WriteString(wide(r))
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return []byte(out.String()), nil
}

// yaml writes v with the keys of its JSON, in their order. Texts that could be taken for something else are quoted as
// in JSON, which YAML reads alike.
func (p *Printer) yaml(v any) error {
	data, err := encode(v, pair)
	if err != nil {
		return err
	}
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	var b strings.Builder
	if err := yamlValue(&b, in, 0, true); err != nil {
		return err
	}
	_, err = io.WriteString(p.to, b.String())
	return err
}

// yamlValue writes the next value, which stands after "key:" or "-", or alone at the top.
func yamlValue(b *strings.Builder, in *json.Decoder, depth int, top bool) error {
	t, err := in.Token()
	if err != nil {
		return err
	}
	open, ok := t.(json.Delim)
	if !ok {
		if !top {
			b.WriteByte(' ')
		}
		b.WriteString(yamlScalar(t))
		b.WriteByte('\n')
		return nil
	}
	if !in.More() {
		_, err := in.Token()
		if !top {
			b.WriteByte(' ')
		}
		b.WriteString(map[json.Delim]string{'{': "{}\n", '[': "[]\n"}[open])
		return err
	}
	if !top {
		b.WriteByte('\n')
	}
	for in.More() {
		b.WriteString(strings.Repeat("  ", depth))
		if open == '[' {
			b.WriteByte('-')
		} else {
			key, err := in.Token()
			if err != nil {
				return err
			}
			b.WriteString(yamlScalar(key) + ":")
		}
		if err := yamlValue(b, in, depth+1, false); err != nil {
			return err
		}
	}
	_, err = in.Token()
	return err
}

// plain are texts that YAML takes for texts without quotes.
var plain = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./@+-]*$`)

// words are texts that some reader of YAML takes for something else.
var words = map[string]bool{"true": true, "false": true, "yes": true, "no": true, "on": true, "off": true, "null": true,
	"y": true, "n": true}

func yamlScalar(t json.Token) string {
	switch t := t.(type) {
	case nil:
		return "null"
	case string:
		if plain.MatchString(t) && !words[strings.ToLower(t)] {
			return t
		}
		quoted, _ := encode(t, long) // a text: cannot fail
		return string(quoted)
	}
	return fmt.Sprint(t)
}
