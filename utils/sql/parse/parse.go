package parse

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parse reads a statement. An error is an *Error.
func Parse(src string) (s *Statement, err error) {
	if len(src) > MaxSize {
		return nil, &Error{Pos{1, 1}, fmt.Sprintf("the statement is longer than %d bytes", MaxSize)}
	}
	if !utf8.ValidString(src) {
		return nil, &Error{Pos{1, 1}, "the statement is not UTF-8"}
	}
	tokens, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	defer func() { // the parser panics with its errors, which keeps its functions short; other panics are bugs
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			s, err = nil, e
		}
	}()
	return p.statement(), nil
}

type parser struct {
	tokens []token
	i      int
	depth  int
}

func (p *parser) peek() token { return p.tokens[p.i] }

func (p *parser) next() token {
	t := p.tokens[p.i]
	if t.kind != end {
		p.i++
	}
	return t
}

func (t token) is(s string) bool {
	return t.kind == symbol && t.text == s || t.kind == word && strings.EqualFold(t.text, s)
}

// isName tells whether t may be the first part of a path.
func (t token) isName() bool {
	return t.kind == quoted || t.kind == word && !reserved[strings.ToLower(t.text)]
}

func (p *parser) take(s string) bool {
	if p.peek().is(s) {
		p.i++
		return true
	}
	return false
}

func (p *parser) want(s string) {
	if !p.take(s) {
		fail(p.peek(), "'"+s+"'")
	}
}

func fail(t token, expected string) {
	panic(&Error{t.pos, fmt.Sprintf("unexpected %s, expected %s", t, expected)})
}

func (p *parser) statement() *Statement {
	s := &Statement{}
	p.want("select")
	for {
		s.Columns = append(s.Columns, p.column(len(s.Columns)+1))
		if !p.take(",") {
			break
		}
	}
	if t := p.peek(); t.is("from") {
		panic(&Error{t.pos, "there is no \"from\": a statement reads the one message that it is called with"})
	}
	if p.take("where") {
		s.Where = p.expr(0)
	}
	p.take(";")
	if t := p.peek(); t.kind != end {
		if s.Where == nil {
			fail(t, "',', 'as', 'where' or the end of the statement")
		}
		fail(t, "an operator or the end of the statement")
	}
	return s
}

func (p *parser) column(n int) Column {
	if p.take("*") {
		return Column{Star: true}
	}
	begin := p.i
	if t := p.peek(); t.isName() { // a.* ?
		path := p.path()
		if p.take(".") {
			p.want("*")
			return Column{Star: true, Expr: path}
		}
		p.i = begin
	}
	c := Column{Expr: p.expr(0)}
	switch {
	case p.take("as"):
		c.As = p.alias()
	case p.peek().isName():
		c.As = p.alias()
	default:
		c.As = []string{nameOf(c.Expr, n)}
	}
	return c
}

// alias is a name with points: a.b builds {"a":{"b":…}}.
func (p *parser) alias() []string {
	begin := p.peek().pos
	as := []string{p.name()}
	for p.take(".") {
		as = append(as, p.name())
		checkSteps(begin, len(as))
	}
	return as
}

// nameOf is the name of column n without alias: the last key of a path, the name of a function, columnN.
func nameOf(e Expr, n int) string {
	switch e := e.(type) {
	case Path:
		for _, s := range slices.Backward(e.Steps) {
			if s.Key != nil {
				return *s.Key
			}
		}
	case Call:
		return e.Name
	}
	return "column" + strconv.Itoa(n)
}

// name reads a word, reserved ones too, or a name in quotes.
func (p *parser) name() string {
	t := p.next()
	if t.kind != quoted && t.kind != word {
		fail(t, "a name")
	}
	return t.text
}

// path reads a.b[0].c; it stops before .*
func (p *parser) path() Path {
	path := Path{Pos: p.peek().pos}
	key := func() {
		k := p.name()
		path.Steps = append(path.Steps, Step{Key: &k})
	}
	key()
	for {
		switch {
		case p.peek().is(".") && !p.tokens[p.i+1].is("*"):
			p.next()
			key()
		case p.take("["):
			path.Steps = append(path.Steps, Step{Index: p.whole("an index, a whole number from 0")})
			p.want("]")
		default:
			return path
		}
		checkSteps(path.Pos, len(path.Steps))
	}
}

func checkSteps(pos Pos, n int) {
	if n > MaxDepth {
		panic(&Error{pos, fmt.Sprintf("the path has more than %d steps", MaxDepth)})
	}
}

// whole reads a number without sign, point and exponent.
func (p *parser) whole(what string) int {
	t := p.next()
	n, err := strconv.ParseInt(t.text, 10, 64)
	if t.kind != number || err != nil {
		fail(t, what)
	}
	return int(min(n, math.MaxInt32)) // an int has 32 bits on some processors; no array is as long
}
