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
	text string // without quotes; a word in the case of the statement
	pos  Pos
}

// String is the token in an error message.
func (t token) String() string {
	switch t.kind {
	case end:
		return "end of statement"
	case text:
		return "'" + t.text + "'"
	}
	return fmt.Sprintf("%q", t.text)
}

type lexer struct {
	src string
	i   int
	pos Pos
}

// lex splits a statement, which is valid UTF-8. The last token is the end.
func lex(src string) ([]token, error) {
	l := &lexer{src: src, pos: Pos{1, 1}}
	var out []token
	for {
		if err := l.space(); err != nil {
			return nil, err
		}
		t, err := l.token()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		if t.kind == end {
			return out, nil
		}
	}
}

func (l *lexer) rest() string { return l.src[l.i:] }

// skip moves n bytes forward.
func (l *lexer) skip(n int) {
	for _, r := range l.src[l.i : l.i+n] {
		if l.pos.Col++; r == '\n' {
			l.pos = Pos{l.pos.Line + 1, 1}
		}
	}
	l.i += n
}

// space skips white space and comments: -- to the end of the line, /* to */.
func (l *lexer) space() error {
	for l.i < len(l.src) {
		r, n := utf8.DecodeRuneInString(l.rest())
		switch {
		case unicode.IsSpace(r):
			l.skip(n)
		case strings.HasPrefix(l.rest(), "--"):
			l.skip(len(l.rest()) - len(strings.TrimLeftFunc(l.rest(), func(r rune) bool { return r != '\n' })))
		case strings.HasPrefix(l.rest(), "/*"):
			n := strings.Index(l.rest()[2:], "*/")
			if n < 0 {
				return &Error{l.pos, "the comment is not closed"}
			}
			l.skip(n + 4)
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) token() (token, error) {
	t := token{pos: l.pos}
	if l.i == len(l.src) {
		return t, nil
	}
	rest := l.rest()
	r, _ := utf8.DecodeRuneInString(rest)
	switch {
	case r == '\'' || r == '"' || r == '`':
		return l.quotes(byte(r))
	case isDigit(rest, 0) || r == '.' && isDigit(rest, 1):
		n := numberLength(rest)
		t.kind, t.text = number, rest[:n]
		if next, _ := utf8.DecodeRuneInString(rest[n:]); isLetter(next) {
			wrong := fmt.Sprintf("unexpected %q behind a number; a field that begins with a digit needs quotes", next)
			return t, &Error{t.pos, wrong}
		}
	case isLetter(r):
		t.kind, t.text = word, rest[:len(rest)-len(strings.TrimLeftFunc(rest, isLetterOrDigit))]
	default:
		t.kind, t.text = symbol, symbolAt(rest)
		if t.text == "" {
			return t, &Error{t.pos, fmt.Sprintf("unexpected character %q", r)}
		}
	}
	l.skip(len(t.text))
	return t, nil
}

// quotes reads 'text', "name" or `name`. Two quotes stand for one in the text.
func (l *lexer) quotes(q byte) (token, error) {
	t := token{kind: quoted, pos: l.pos}
	if q == '\'' {
		t.kind = text
	}
	var b strings.Builder
	for i := l.i + 1; i < len(l.src); i++ {
		if l.src[i] == q {
			if i+1 == len(l.src) || l.src[i+1] != q {
				t.text = b.String()
				l.skip(i + 1 - l.i)
				return t, nil
			}
			i++
		}
		b.WriteByte(l.src[i])
	}
	return t, &Error{t.pos, fmt.Sprintf("%c is not closed", q)}
}

func symbolAt(s string) string {
	for _, known := range []string{"<=", ">=", "<>", "!=", "||"} {
		if strings.HasPrefix(s, known) {
			return known
		}
	}
	if strings.IndexByte("+-*/%(),.[]<>=;", s[0]) >= 0 {
		return s[:1]
	}
	return ""
}

func isLetter(r rune) bool        { return r == '_' || r != utf8.RuneError && unicode.IsLetter(r) }
func isLetterOrDigit(r rune) bool { return isLetter(r) || unicode.IsDigit(r) }

func isDigit(s string, i int) bool { return i < len(s) && s[i] >= '0' && s[i] <= '9' }

// numberLength measures digits [. digits] [e [sign] digits].
func numberLength(s string) int {
	i := digits(s, 0)
	if i < len(s) && s[i] == '.' && isDigit(s, i+1) {
		i = digits(s, i+1)
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		j := i + 1
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		if isDigit(s, j) {
			i = digits(s, j)
		}
	}
	return i
}

func digits(s string, i int) int {
	for isDigit(s, i) {
		i++
	}
	return i
}
