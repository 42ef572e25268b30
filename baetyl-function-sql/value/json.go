package value

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects of a message may nest.
const MaxDepth = 1000

// Raw is the text of a number as JSON has it.
type Raw string

// Object has its members sorted by key, each key once.
type Object []Member

// Member is a field of an object.
type Member struct {
	Key   string
	Value any
}

func byKey(m Member, key string) int { return strings.Compare(m.Key, key) }

// Get returns the value of key, nil if there is none.
func (o Object) Get(key string) any {
	if i, ok := slices.BinarySearchFunc(o, key, byKey); ok {
		return o[i].Value
	}
	return nil
}

// Set gives key a value, in place where there is room.
func (o *Object) Set(key string, v any) {
	i, ok := slices.BinarySearchFunc(*o, key, byKey)
	if ok {
		(*o)[i].Value = v
		return
	}
	*o = slices.Insert(*o, i, Member{key, v})
}

// Decode reads one JSON text. When an object has a key twice, the last value counts. Decode exists because
// encoding/json takes several times as long, which would be most of the time of a call.
func Decode(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is not UTF-8")
	}
	d := decoder{s: string(data)}
	v, err := d.value()
	if err != nil {
		return nil, err
	}
	if d.space(); d.i < len(d.s) {
		return nil, d.unexpected("the end")
	}
	return v, nil
}

type decoder struct {
	s     string
	i     int
	depth int
}

func (d *decoder) unexpected(want string) error {
	if d.i >= len(d.s) {
		return fmt.Errorf("it ends where %s is expected", want)
	}
	r, _ := utf8.DecodeRuneInString(d.s[d.i:])
	return fmt.Errorf("byte %d: unexpected %q, expected %s", d.i+1, r, want)
}

func (d *decoder) space() {
	for d.i < len(d.s) && (d.s[d.i] == ' ' || d.s[d.i] == '\n' || d.s[d.i] == '\t' || d.s[d.i] == '\r') {
		d.i++
	}
}

// take skips space, then c if it is there.
func (d *decoder) take(c byte) bool {
	d.space()
	if d.i < len(d.s) && d.s[d.i] == c {
		d.i++
		return true
	}
	return false
}

func (d *decoder) value() (any, error) {
	d.space()
	rest := d.s[d.i:]
	switch {
	case rest == "":
	case rest[0] == '{':
		return d.nested(d.object)
	case rest[0] == '[':
		return d.nested(d.array)
	case rest[0] == '"':
		return d.string()
	case rest[0] == '-' || isDigit(rest[0]):
		return d.number()
	case strings.HasPrefix(rest, "null"):
		d.i += 4
		return nil, nil
	case strings.HasPrefix(rest, "true"):
		d.i += 4
		return true, nil
	case strings.HasPrefix(rest, "false"):
		d.i += 5
		return false, nil
	}
	return nil, d.unexpected("a value")
}

func (d *decoder) nested(read func() (any, error)) (any, error) {
	if d.depth++; d.depth > MaxDepth {
		return nil, fmt.Errorf("byte %d: nested deeper than %d", d.i+1, MaxDepth)
	}
	d.i++
	v, err := read()
	d.depth--
	return v, err
}

func (d *decoder) object() (any, error) {
	o := make(Object, 0, 4)
	if d.take('}') {
		return o, nil
	}
	for {
		if d.space(); d.i >= len(d.s) || d.s[d.i] != '"' {
			return nil, d.unexpected("a key")
		}
		key, err := d.string()
		if err != nil {
			return nil, err
		}
		if !d.take(':') {
			return nil, d.unexpected("':'")
		}
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		o = append(o, Member{key, v})
		if d.take('}') {
			return o.sorted(), nil
		}
		if !d.take(',') {
			return nil, d.unexpected("',' or '}'")
		}
	}
}

// sorted sorts members, which are in the order of the message, by key.
func (o Object) sorted() Object {
	rising := true
	for i := 1; i < len(o) && rising; i++ {
		rising = o[i-1].Key < o[i].Key
	}
	if rising {
		return o
	}
	slices.SortStableFunc(o, func(a, b Member) int { return strings.Compare(a.Key, b.Key) })
	out := o[:1]
	for _, m := range o[1:] {
		if last := &out[len(out)-1]; last.Key == m.Key {
			last.Value = m.Value
		} else {
			out = append(out, m)
		}
	}
	return out
}

func (d *decoder) array() (any, error) {
	a := []any{}
	if d.take(']') {
		return a, nil
	}
	for {
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		a = append(a, v)
		if d.take(']') {
			return a, nil
		}
		if !d.take(',') {
			return nil, d.unexpected("',' or ']'")
		}
	}
}

func (d *decoder) string() (string, error) {
	begin, plain := d.i, true
	for d.i++; d.i < len(d.s); d.i++ {
		switch c := d.s[d.i]; {
		case c == '"':
			d.i++
			if plain {
				return d.s[begin+1 : d.i-1], nil
			}
			var out string
			if err := json.Unmarshal([]byte(d.s[begin:d.i]), &out); err != nil {
				return "", fmt.Errorf("byte %d: a wrong escape in a string", begin+1)
			}
			return out, nil
		case c == '\\':
			plain = false
			d.i++
		case c < ' ':
			return "", d.unexpected("a string without control characters")
		}
	}
	d.i = len(d.s)
	return "", d.unexpected("'\"'")
}

// number reads what RFC 8259, section 6, allows.
func (d *decoder) number() (any, error) {
	begin := d.i
	if d.s[d.i] == '-' {
		d.i++
	}
	zero := d.i < len(d.s) && d.s[d.i] == '0'
	from := d.i
	if !d.digits() {
		return nil, d.unexpected("a digit")
	}
	if zero && d.i > from+1 {
		d.i = from + 1
		return nil, d.unexpected("no digit after a leading 0")
	}
	if d.i < len(d.s) && d.s[d.i] == '.' {
		d.i++
		if !d.digits() {
			return nil, d.unexpected("a digit")
		}
	}
	if d.i < len(d.s) && (d.s[d.i] == 'e' || d.s[d.i] == 'E') {
		d.i++
		if d.i < len(d.s) && (d.s[d.i] == '+' || d.s[d.i] == '-') {
			d.i++
		}
		if !d.digits() {
			return nil, d.unexpected("a digit")
		}
	}
	return Raw(d.s[begin:d.i]), nil
}

func (d *decoder) digits() bool {
	begin := d.i
	for d.i < len(d.s) && isDigit(d.s[d.i]) {
		d.i++
	}
	return d.i > begin
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
