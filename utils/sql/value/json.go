package value

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects of a message may nest, the same in every runtime.
const MaxDepth = 500

// Raw is the text of a number as JSON has it.
type Raw string

// Decode reads one JSON text. When an object has a key twice, the last value counts. Decode exists because
// encoding/json takes several times as long, which would be most of the time of a call. All of the text is checked;
// what is in the members of an object is made when it is asked for, since most of it is only copied.
func Decode(data []byte) (any, error) { return DecodeInto(nil, data) }

// DecodeInto is Decode that uses the room of o for the members, if data is an object.
func DecodeInto(o Object, data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is not UTF-8")
	}
	d := decoder{s: string(data), room: o[:0], keep: true}
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
	room  Object // for the first object
	keep  bool   // the texts of the members of the outermost object
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
	o := d.room
	if d.room = nil; o == nil {
		o = make(Object, 0, 4)
	}
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
		m, err := d.member(key)
		if err != nil {
			return nil, err
		}
		o = append(o, m)
		if d.take('}') {
			return o.sorted(), nil
		}
		if !d.take(',') {
			return nil, d.unexpected("',' or '}'")
		}
	}
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
	begin := d.i
	plain, err := d.skipString()
	if err != nil || plain {
		return d.s[begin+1 : max(d.i-1, begin+1)], err
	}
	out, _ := unescape(d.s[begin+1 : d.i-1])
	return out, nil
}

// skipString passes a string. It is plain if it has no escapes.
func (d *decoder) skipString() (plain bool, err error) {
	begin := d.i
	plain = true
	for d.i++; d.i < len(d.s); d.i++ {
		c := d.s[d.i]
		if c != '"' && c != '\\' && c >= ' ' {
			continue
		}
		switch {
		case c == '"':
			if !plain && !escaped(d.s[begin+1:d.i]) {
				return false, fmt.Errorf("byte %d: a wrong escape in a string", begin+1)
			}
			d.i++
			return plain, nil
		case c == '\\':
			plain = false
			d.i++
		default:
			return false, d.unexpected("a string without control characters")
		}
	}
	d.i = len(d.s)
	return false, d.unexpected("'\"'")
}

// number reads what RFC 8259, section 6, allows.
func (d *decoder) number() (any, error) {
	begin := d.i
	if err := d.skipNumber(); err != nil {
		return nil, err
	}
	return Raw(d.s[begin:d.i]), nil
}

func (d *decoder) skipNumber() error {
	if d.s[d.i] == '-' {
		d.i++
	}
	zero := d.i < len(d.s) && d.s[d.i] == '0'
	from := d.i
	if !d.digits() {
		return d.unexpected("a digit")
	}
	if zero && d.i > from+1 {
		d.i = from + 1
		return d.unexpected("no digit after a leading 0")
	}
	if d.i < len(d.s) && d.s[d.i] == '.' {
		d.i++
		if !d.digits() {
			return d.unexpected("a digit")
		}
	}
	if d.i < len(d.s) && (d.s[d.i] == 'e' || d.s[d.i] == 'E') {
		d.i++
		if d.i < len(d.s) && (d.s[d.i] == '+' || d.s[d.i] == '-') {
			d.i++
		}
		if !d.digits() {
			return d.unexpected("a digit")
		}
	}
	return nil
}

func (d *decoder) digits() bool {
	begin := d.i
	for d.i < len(d.s) && isDigit(d.s[d.i]) {
		d.i++
	}
	return d.i > begin
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
