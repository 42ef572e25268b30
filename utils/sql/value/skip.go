package value

import (
	"fmt"
	"strings"
)

// member reads the value of a member. Of the outermost object it only checks it, and keeps its text.
func (d *decoder) member(key string) (Member, error) {
	d.space()
	if d.depth > 1 || !d.keep {
		v, err := d.value()
		return Member{Key: key, value: v}, err
	}
	begin := d.i
	plain, err := d.skip()
	return Member{Key: key, text: d.s[begin:d.i], plain: plain}, err
}

// skip passes a value and checks it. It is plain if Append would write it with the same bytes.
func (d *decoder) skip() (plain bool, err error) {
	if d.i >= len(d.s) {
		return false, d.unexpected("a value")
	}
	switch c := d.s[d.i]; {
	case c == '{' || c == '[':
		if d.depth++; d.depth > MaxDepth {
			return false, fmt.Errorf("byte %d: nested deeper than %d", d.i+1, MaxDepth)
		}
		d.i++
		if c == '{' {
			plain, err = d.skipObject()
		} else {
			plain, err = d.skipArray()
		}
		d.depth--
		return plain, err
	case c == '"':
		return d.skipString()
	case c == '-' || isDigit(c):
		return true, d.skipNumber()
	}
	for _, word := range []string{"null", "true", "false"} {
		if strings.HasPrefix(d.s[d.i:], word) {
			d.i += len(word)
			return true, nil
		}
	}
	return false, d.unexpected("a value")
}

func (d *decoder) skipObject() (plain bool, err error) {
	plain = true
	last := ""
	for first := true; ; first = false {
		plain = !d.spaced() && plain
		if first && d.take('}') {
			return plain, nil
		}
		if d.i >= len(d.s) || d.s[d.i] != '"' {
			return false, d.unexpected("a key")
		}
		begin := d.i
		simple, err := d.skipString()
		if err != nil {
			return false, err
		}
		key := d.s[begin+1 : d.i-1]
		plain = plain && simple && (first || last < key) && !d.spaced()
		last = key
		if !d.take(':') {
			return false, d.unexpected("':'")
		}
		more, simple, err := d.skipElement('}', "',' or '}'")
		plain = plain && simple
		if err != nil || !more {
			return plain, err
		}
	}
}

func (d *decoder) skipArray() (plain bool, err error) {
	plain = !d.spaced()
	if d.take(']') {
		return plain, nil
	}
	for {
		more, simple, err := d.skipElement(']', "',' or ']'")
		plain = plain && simple
		if err != nil || !more {
			return plain, err
		}
	}
}

// skipElement passes a value and what is behind it: the end, or a comma, and then there is more.
func (d *decoder) skipElement(end byte, want string) (more, plain bool, err error) {
	spaced := d.spaced()
	if plain, err = d.skip(); err != nil {
		return false, false, err
	}
	plain = !d.spaced() && !spaced && plain
	if d.take(end) {
		return false, plain, nil
	}
	if !d.take(',') {
		return false, false, d.unexpected(want)
	}
	return true, plain, nil
}

// spaced passes white space. It tells whether there was any.
func (d *decoder) spaced() bool {
	begin := d.i
	d.space()
	return d.i > begin
}
