package conf

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// scalar is a text of a file. The zero value is null.
type scalar struct {
	form form
	text string // as it stands, without quotes
}

type form byte

const (
	null   form = iota
	quoted      // or what reads as a text without quotes
	bare        // a number, true or false
)

// UnmarshalYAML reads a scalar.
func (s *scalar) UnmarshalYAML(unmarshal func(any) error) error {
	if err := unmarshal(&s.text); err != nil {
		return err
	}
	var v any
	if err := unmarshal(&v); err != nil {
		return err
	}
	s.form = bare
	if _, ok := v.(string); ok {
		s.form = quoted
	}
	return nil
}

// UnmarshalText reads what yaml.v2 doesn't give to UnmarshalYAML: null in quotes.
func (s *scalar) UnmarshalText(b []byte) error {
	s.form, s.text = quoted, string(b)
	return nil
}

// key is a scalar with its place, which a map would lose; two equal ones stay two.
type key struct {
	scalar
	place int64
}

// places counts keys. Only the order of two numbers matters.
var places atomic.Int64

// UnmarshalYAML reads a key.
func (k *key) UnmarshalYAML(unmarshal func(any) error) error {
	k.place = places.Add(1)
	if k.scalar.UnmarshalYAML(unmarshal) == nil {
		return nil
	}
	var v any // a list or a mapping, which no configuration has as a key
	if err := unmarshal(&v); err != nil {
		return err
	}
	k.form, k.text = quoted, fmt.Sprint(v)
	return nil
}

// node is YAML as it stands: texts of numbers are kept, and the order of keys.
type node struct {
	scalar
	list []node
	keys map[key]node
}

// UnmarshalYAML reads any YAML.
func (n *node) UnmarshalYAML(unmarshal func(any) error) error {
	if n.scalar.UnmarshalYAML(unmarshal) == nil {
		return nil
	}
	if err := unmarshal(&n.list); err == nil {
		if n.list == nil {
			n.list = []node{}
		}
		return nil
	}
	n.keys = map[key]node{}
	return unmarshal(&n.keys)
}

// maxWritten limits what aliases and variables make of a file, in bytes.
const maxWritten = 4 * MaxSize

// writer writes nodes as YAML of one line, with the values of variables.
type writer struct {
	cover  *cover
	source source
	out    []byte
}

func (w *writer) node(n node, k *Key) error {
	if len(w.out) > maxWritten {
		return fmt.Errorf("has more than %d bytes with the values of its aliases and variables; write fewer of them",
			maxWritten)
	}
	switch {
	case n.keys != nil:
		return w.mapping(n.keys, k)
	case n.list != nil:
		var elem *Key
		if k != nil && k.Kind == List {
			elem = k.Elem
		}
		w.out = append(w.out, '[')
		for i, e := range n.list {
			if i > 0 {
				w.out = append(w.out, ", "...)
			}
			if err := w.node(e, elem); err != nil {
				return err
			}
		}
		w.out = append(w.out, ']')
		return nil
	}
	_, err := w.scalar(n.scalar, k != nil && (k.Kind == Text || k.Kind == Hidden))
	return err
}

func (w *writer) mapping(m map[key]node, k *Key) error {
	keys := make([]key, 0, len(m))
	for name := range m {
		keys = append(keys, name)
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Compare(a.place, b.place) })
	w.out = append(w.out, '{')
	for i, name := range keys {
		if i > 0 {
			w.out = append(w.out, ", "...)
		}
		w.out = append(w.out, "? "...) // a key of any length
		text, err := w.key(name.scalar)
		if err != nil {
			return err
		}
		w.out = append(w.out, " : "...)
		var below *Key
		switch {
		case k == nil:
		case k.Kind == Mapping:
			below = k.key(text)
		case k.Kind == Names:
			below = k.Elem
		case k.Kind == Hidden: // where a secret stands, a text
			below = k
		}
		if err := w.node(m[name], below); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

// key writes a key. A merge key stays one, but none comes from a variable.
func (w *writer) key(s scalar) (string, error) {
	if len(s.text) == markDigits+indexDigits && s.form == bare {
		text, err := w.cover.replace(s.text, func(p covered) (string, error) { return p.text, nil })
		if err == nil && text == "<<" {
			w.out = append(w.out, text...)
			return text, nil
		}
	}
	return w.scalar(s, false)
}

// bareText is what may be written without quotes if it is a number, true or false.
var bareText = regexp.MustCompile(`^[-+.\w]+$`)

// scalar writes s and returns its value. What stood without quotes and has a variable takes the type of its key:
// a text is for a text, and a number where one is expected is one. Nothing at all is no value, as without variables.
func (w *writer) scalar(s scalar, isText bool) (string, error) {
	text, changed, err := w.source.fill(w.cover, s.text)
	switch {
	case err != nil:
		return "", err
	case s.form == null:
		w.out = append(w.out, '~')
		return "", nil
	case changed && s.form == bare:
		value := strings.TrimSpace(text)
		if text == "" || !isText && slices.Contains([]string{"", "~", "null", "Null", "NULL"}, value) {
			w.out = append(w.out, '~')
			return text, nil
		}
		if isText || !isBare(value) {
			s.form = quoted
		} else {
			text = value
		}
	}
	if s.form == quoted {
		w.out = strconv.AppendQuote(w.out, text)
	} else {
		w.out = append(w.out, text...)
	}
	return text, nil
}

func isBare(text string) bool {
	if !bareText.MatchString(text) {
		return false
	}
	var v any
	err := decode([]byte(text), &v)
	if _, ok := v.(bool); ok {
		return err == nil
	}
	_, ok := numeric(v)
	return ok && err == nil
}
