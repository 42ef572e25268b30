package eval

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/baetyl/baetyl/utils/sql/parse"
	"github.com/baetyl/baetyl/utils/sql/value"
)

// castTo converts v, which is not null.
func castTo(e parse.Cast, v any) (any, error) {
	switch e.Type {
	case parse.Varchar, parse.Char:
		return castText(e, value.Text(v)), nil
	case parse.Boolean:
		return castBool(v)
	}
	if b, ok := v.(bool); ok {
		v = int64(0)
		if b {
			v = int64(1)
		}
	}
	n, err := value.Number(v)
	if err != nil {
		return nil, unreadable(v, err)
	}
	switch e.Type {
	case parse.Integer:
		return value.Round(n, 0, value.Truncate)
	case parse.Double:
		return value.Float(n, func(f float64) float64 { return f })
	}
	return castDecimal(e, n)
}

// castDecimal rounds to the scale. Without a size it only makes the number exact.
func castDecimal(e parse.Cast, n any) (any, error) {
	if e.Size < 0 {
		return value.Round(n, value.MaxDigits, value.HalfUp)
	}
	out, err := value.Scaled(n, e.Scale)
	if err != nil {
		return nil, err
	}
	digits := strings.TrimLeft(strings.Replace(value.Text(out), ".", "", 1), "-0")
	if len(digits) > e.Size {
		return nil, fmt.Errorf("%s has more than %d digits", value.Text(out), e.Size)
	}
	return out, nil
}

func castText(e parse.Cast, s string) string {
	if e.Size < 0 {
		return s
	}
	n := utf8.RuneCountInString(s)
	switch {
	case n > e.Size:
		return left(s, e.Size)
	case e.Type == parse.Char:
		return s + strings.Repeat(" ", e.Size-n)
	}
	return s
}

func castBool(v any) (any, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
	case value.Object, []any:
	default:
		sign, err := value.Sign(v)
		return sign != 0, err
	}
	return nil, unreadable(v, fmt.Errorf("it is neither true nor false"))
}

// unreadable names a value that cannot be converted, the beginning of a long one.
func unreadable(v any, err error) error {
	return fmt.Errorf("%q: %w", shorten(value.Text(v)), err)
}

// shorten is the beginning of a long text.
func shorten(text string) string {
	if short := left(text, 40); short != text {
		return short + "…"
	}
	return text
}

// left returns the first n characters of s.
func left(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
