package eval

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/baetyl/baetyl/utils/sql/parse"
	"github.com/baetyl/baetyl/utils/sql/value"
)

// logical makes sure that e is a condition: true, false, or nil for unknown.
func logical(e expr, pos parse.Pos, what string) expr {
	return func(r *row) (any, error) {
		v, err := e(r)
		if err != nil || v == nil {
			return nil, err
		}
		if b, ok := v.(bool); ok {
			return b, nil
		}
		return nil, at(pos, "%s needs a condition, not %s", what, article(v))
	}
}

func not(e expr) expr {
	return func(r *row) (any, error) {
		v, err := e(r)
		if b, ok := v.(bool); ok {
			return !b, nil
		}
		return nil, err
	}
}

// both is "or" if decides is true, and "and" if it is false. When the left side decides, the right one is not computed;
// when the right one does, it does not matter what the left one could not compare.
func both(decides bool, l, r expr) expr {
	return func(row *row) (any, error) {
		before := row.clash
		a, err := l(row)
		if err != nil || a == decides {
			return a, err
		}
		b, err := r(row)
		if b == decides {
			row.clash = before
		}
		if err != nil || b == decides {
			return b, err
		}
		if a == nil || b == nil {
			return nil, nil
		}
		return !decides, nil
	}
}

func equals(l, r expr, is comparison) expr {
	return two(l, r, func(r *row, a, b any) (any, error) { return is.equal(r, a, b), nil })
}

func ordered(l, r expr, is comparison, holds func(c int) bool) expr {
	return two(l, r, func(r *row, a, b any) (any, error) { return is.order(r, a, b, holds), nil })
}

// comparison is where a statement compares, for the errors about it.
type comparison struct {
	pos  parse.Pos
	what string
}

// equal is true, false, or nil for unknown.
func (c comparison) equal(r *row, a, b any) any {
	if eq, known := value.Equal(a, b); known {
		return eq
	}
	c.failed(r, a, b)
	return nil
}

// order is what holds says, or nil for unknown.
func (c comparison) order(r *row, a, b any, holds func(c int) bool) any {
	if order, ok := value.Compare(a, b); ok {
		return holds(order)
	}
	c.failed(r, a, b)
	return nil
}

// failed keeps the first reason why two values of a message could not be compared, for Run. Null is a value that is not
// there, which is no error.
func (c comparison) failed(r *row, a, b any) {
	if r.clash == nil && a != nil && b != nil {
		r.clash = at(c.pos, "%s: %w", c.what, clash(a, b))
	}
}

// excerpt is v for an error about it.
func excerpt(v any) string { return shorten(string(value.Append(nil, v))) }

// clash says why a and b cannot be compared.
func clash(a, b any) error {
	for _, side := range []any{a, b} {
		if _, err := value.Number(side); errors.Is(err, value.ErrRange) {
			return fmt.Errorf("%s and %s cannot be compared: %w", excerpt(a), excerpt(b), err)
		}
	}
	kinds := map[string]any{value.Type(a): a, value.Type(b): b}
	if text, ok := kinds["string"]; ok && kinds["number"] != nil {
		return fmt.Errorf("%s and %s cannot be compared: %s spells no number", excerpt(a), excerpt(b), excerpt(text))
	}
	return fmt.Errorf("%s and %s cannot be compared", article(a), article(b))
}

// between is x >= low and x <= high; it computes x once.
func between(x, low, high expr, is comparison) expr {
	return func(r *row) (any, error) {
		before := r.clash
		v, err := x(r)
		if err != nil {
			return nil, err
		}
		bound, err := low(r)
		if err != nil {
			return nil, err
		}
		above := is.order(r, v, bound, func(c int) bool { return c >= 0 })
		if above == false {
			return false, nil
		}
		if bound, err = high(r); err != nil {
			return nil, err
		}
		below := is.order(r, v, bound, func(c int) bool { return c <= 0 })
		if below == false { // decides
			r.clash = before
		}
		if below == false || above == true {
			return below, nil
		}
		return nil, nil
	}
}

// in is x = a or x = b or …
func in(x expr, list []expr, is comparison) expr {
	return func(r *row) (any, error) {
		before := r.clash
		v, err := x(r)
		if err != nil {
			return nil, err
		}
		var found any = false
		for _, e := range list {
			o, err := e(r)
			if err != nil {
				return nil, err
			}
			switch is.equal(r, v, o) {
			case true: // decides
				r.clash = before
				return true, nil
			case nil:
				found = nil
			}
		}
		return found, nil
	}
}

// is is never unknown itself. A value that is no condition is neither true nor false nor unknown.
func is(e expr, what string) expr {
	want := map[string]any{"true": true, "false": false}[what]
	return func(r *row) (any, error) {
		v, err := e(r)
		if err != nil {
			return nil, err
		}
		if b, ok := v.(bool); ok {
			return b == want, nil
		}
		return v == nil && want == nil, nil
	}
}

// like gets x, the pattern, and the escape character if there is one. Texts are compared as they are, upper and lower
// case apart.
func like(e parse.Like, parts []expr) (expr, error) {
	get := func(r *row) (p likePattern, err error) {
		var text [2]string
		for i, part := range parts[1:] {
			v, err := part(r)
			if err != nil || v == nil {
				return nil, err
			}
			text[i] = value.Text(v)
		}
		escape := rune(-1)
		if e.Escape != nil {
			if utf8.RuneCountInString(text[1]) != 1 {
				return nil, at(e.Escape.Position(), "like: the escape is %q, not one character", text[1])
			}
			escape, _ = utf8.DecodeRuneInString(text[1])
		}
		if p, err = pattern(text[0], escape); err != nil {
			return nil, at(e.Pattern.Position(), "like: %w", err)
		}
		return p, nil
	}
	if isLiteral(e.Pattern) && (e.Escape == nil || isLiteral(e.Escape)) {
		p, err := get(nil)
		if err != nil {
			return nil, err
		}
		get = func(*row) (likePattern, error) { return p, nil }
	}
	return func(r *row) (any, error) {
		v, err := parts[0](r)
		if err != nil || v == nil {
			return nil, err
		}
		p, err := get(r)
		if err != nil || p == nil {
			return nil, err
		}
		return p.match(value.Text(v)), nil
	}, nil
}
