package parse

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	end kind = iota
	word
	quoted
	text
	number
	symbol
)

type token struct {
	kind kind
	text string // without quotes
	pos  Pos
}

func (t token) String() string {
	if t.kind == end {
		return "end of statement"
	}
	return fmt.Sprintf("%q", t.text)
}

// lex splits a statement; columns count characters.
func lex(src string) ([]token, error) {
	var out []token
	line, col := 1, 1
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRuneInString(src[i:])
		pos, start := Pos{line, col}, i
		t := token{pos: pos}
		switch {
		case r == '\n':
			i, line, col = i+1, line+1, 1
			continue
		case unicode.IsSpace(r):
			i, col = i+n, col+1
			continue
		case r == '\'' || r == '"' || r == '`':
			var b strings.Builder
			for i++; ; i++ {
				if i >= len(src) {
					return nil, &Error{pos, fmt.Sprintf("%c is not closed", r)}
				}
				if src[i] == byte(r) {
					if i+1 >= len(src) || src[i+1] != byte(r) {
						break
					}
					i++
				}
				b.WriteByte(src[i])
			}
			i++
			t.kind, t.text = quoted, b.String()
			if r == '\'' {
				t.kind = text
			}
		case r >= '0' && r <= '9':
			i = digits(src, i)
			if i+1 < len(src) && src[i] == '.' && isDigit(src[i+1]) {
				i = digits(src, i+1)
			}
			if i < len(src) && (src[i] == 'e' || src[i] == 'E') {
				j := i + 1
				if j < len(src) && (src[j] == '+' || src[j] == '-') {
					j++
				}
				if j < len(src) && isDigit(src[j]) {
					i = digits(src, j)
				}
			}
			t.kind, t.text = number, src[start:i]
		case r == '_' || unicode.IsLetter(r):
			for i < len(src) {
				r, n := utf8.DecodeRuneInString(src[i:])
				if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
					break
				}
				i += n
			}
			t.kind, t.text = word, src[start:i]
		default:
			t.kind = symbol
			for _, s := range []string{"<=", ">=", "<>", "!=", "||"} {
				if strings.HasPrefix(src[i:], s) {
					t.text = s
				}
			}
			if t.text == "" && strings.ContainsRune("+-*/%(),.[]<>=", r) {
				t.text = string(r)
			}
			if t.text == "" {
				return nil, &Error{pos, fmt.Sprintf("unexpected character %q", r)}
			}
			i += len(t.text)
		}
		for _, c := range src[start:i] {
			if col++; c == '\n' {
				line, col = line+1, 1
			}
		}
		out = append(out, t)
	}
	return append(out, token{kind: end, pos: Pos{line, col}}), nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func digits(s string, i int) int {
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}
