package eval

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// likePattern is a pattern of like, one element for each character.
type likePattern []likeRune

type likeRune struct {
	r    rune
	kind byte // '%' any text, '_' any character, 0 the character r
}

// maxPattern is how long a pattern may be, in bytes: a match takes as many steps for each character of the text at
// worst.
const maxPattern = 1000

// pattern reads a pattern. The escape character may be followed by %, _ or itself.
func pattern(s string, escape rune) (likePattern, error) {
	if len(s) > maxPattern {
		return nil, fmt.Errorf("the pattern is longer than %d bytes", maxPattern)
	}
	p := make(likePattern, 0, len(s))
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			if r != '%' && r != '_' && r != escape {
				return nil, errors.New("behind the escape character stands neither %, nor _, nor itself")
			}
			escaped = false
			p = append(p, likeRune{r: r})
		case r == escape:
			escaped = true
		case r == '%' || r == '_':
			p = append(p, likeRune{kind: byte(r)})
		default:
			p = append(p, likeRune{r: r})
		}
	}
	if escaped {
		return nil, errors.New("the escape character stands at the end")
	}
	return p, nil
}

// match goes back to the last % only, so it takes len(s) × len(p) steps at most.
func (p likePattern) match(s string) bool {
	i, j := 0, 0
	back, from := -1, 0 // the last %, and where in s what is behind it was tried
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case j < len(p) && p[j].kind == '%':
			back, from = j, i
			j++
		case j < len(p) && (p[j].kind == '_' || p[j].kind == 0 && p[j].r == r):
			i, j = i+n, j+1
		case back >= 0:
			_, n := utf8.DecodeRuneInString(s[from:])
			from += n
			i, j = from, back+1
		default:
			return false
		}
	}
	for j < len(p) && p[j].kind == '%' {
		j++
	}
	return j == len(p)
}
