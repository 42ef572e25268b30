package eval

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxText is the longest text, in bytes, that a function may return: lpad and replace could make a huge one.
const maxText = 16 << 20

var errLong = errors.New("the text would be longer than 16 MB")

// limited joins texts, or returns errLong.
func limited(parts ...string) (string, error) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > maxText {
		return "", errLong
	}
	return strings.Join(parts, ""), nil
}

type callFunc = func(r *row, a []any) (any, error)

func onText(f func(string) string) callFunc {
	return func(_ *row, a []any) (any, error) { return f(a[0].(string)), nil }
}

func testText(f func(s, part string) bool) callFunc {
	return func(_ *row, a []any) (any, error) { return f(a[0].(string), a[1].(string)), nil }
}

func reverse(s string) string {
	r := []rune(s)
	slices.Reverse(r)
	return string(r)
}

func length(_ *row, a []any) (any, error) { return int64(utf8.RuneCountInString(a[0].(string))), nil }

// trim drops all characters of a set from the ends; spaces if there is none.
func trim(f func(s, cutset string) string) callFunc {
	return func(_ *row, a []any) (any, error) {
		set := " "
		if len(a) == 2 {
			set = a[1].(string)
		}
		if len(set) > maxPattern { // strings.Trim searches the whole set for each character
			return nil, fmt.Errorf("the characters are more than %d bytes", maxPattern)
		}
		return f(a[0].(string), set), nil
	}
}

func concat(_ *row, a []any) (any, error) {
	parts := make([]string, len(a))
	for i, v := range a {
		parts[i] = v.(string)
	}
	return limited(parts...)
}

func replace(_ *row, a []any) (any, error) {
	s, from, to := a[0].(string), a[1].(string), a[2].(string)
	if from == "" {
		return s, nil
	}
	if int64(len(s))+int64(strings.Count(s, from))*int64(len(to)-len(from)) > maxText { // may not fit in 32 bits
		return nil, errLong
	}
	return strings.ReplaceAll(s, from, to), nil
}

// substring counts from 1, as SQL-92 has it: what lies before the text counts too, so substring('abc', 0, 2) is 'a'.
func substring(_ *row, a []any) (any, error) {
	const far = 1 << 30 // longer than any text; sums of it fit in an int
	s, from := a[0].(string), max(min(a[1].(int), far), -far)
	if len(a) == 3 {
		n := a[2].(int)
		if n < 0 {
			return nil, errors.New("the length is negative")
		}
		s = left(s, max(from-1+min(n, far), 0))
	}
	return s[len(left(s, max(from-1, 0))):], nil
}

// position counts from 1; 0 is nowhere.
func position(_ *row, a []any) (any, error) {
	before, _, found := strings.Cut(a[1].(string), a[0].(string))
	if !found {
		return int64(0), nil
	}
	return int64(utf8.RuneCountInString(before) + 1), nil
}

// splitPart counts from 1, or from the end where n is negative; a part that is not there is empty.
func splitPart(_ *row, a []any) (any, error) {
	s, sep, n := a[0].(string), a[1].(string), a[2].(int)
	parts := []string{s}
	if sep != "" {
		parts = strings.Split(s, sep)
	}
	if n < 0 {
		n += len(parts) + 1
	}
	if n < 1 || n > len(parts) {
		return "", nil
	}
	return parts[n-1], nil
}

// leftPart is the first n characters; all but the last -n where n is negative.
func leftPart(_ *row, a []any) (any, error) {
	s, n := a[0].(string), a[1].(int)
	if n < 0 {
		n = max(n+utf8.RuneCountInString(s), 0)
	}
	return left(s, n), nil
}

// rightPart is the last n characters; all but the first -n where n is negative.
func rightPart(_ *row, a []any) (any, error) {
	s, n := a[0].(string), a[1].(int)
	skip := -n
	if n >= 0 {
		skip = max(utf8.RuneCountInString(s)-n, 0)
	}
	return s[len(left(s, max(skip, 0))):], nil
}

// pad fills up to n characters, on the left or the right, with spaces or the third argument; a longer text is cut.
func pad(before bool) callFunc {
	return func(_ *row, a []any) (any, error) {
		s, n, fill := a[0].(string), a[1].(int), " "
		if len(a) == 3 {
			fill = a[2].(string)
		}
		missing := n - utf8.RuneCountInString(s)
		switch {
		case missing <= 0:
			return left(s, max(n, 0)), nil
		case fill == "":
			return s, nil
		case missing > maxText/utf8.UTFMax:
			return nil, errLong
		}
		times := missing/utf8.RuneCountInString(fill) + 1
		if times*len(fill) > maxText {
			return nil, errLong
		}
		fill = left(strings.Repeat(fill, times), missing)
		if before {
			return limited(fill, s)
		}
		return limited(s, fill)
	}
}
