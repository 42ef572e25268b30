// Package parse reads the SQL of a function: select <columns> [where <condition>], expressions over one JSON message.
//
//	text ─► lex ─► tokens ─► Statement
//
// It promises never to panic, and that an error names line, column, what was found and what was expected. It does not know which
// functions there are.
package parse

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// MaxSize, in bytes, and MaxDepth bound a statement, so that neither parsing nor running it can exhaust the stack.
const (
	MaxSize  = 64 << 10
	MaxDepth = 100
)

// Pos is a place in a statement, from 1; columns count characters.
type Pos struct{ Line, Col int }

// Error is what is wrong with a statement and where.
type Error struct {
	Pos  Pos
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Pos.Line, e.Pos.Col, e.Text) }

// Statement is a parsed statement; Where is nil if there is none.
type Statement struct {
	Columns []Column
	Where   Expr
}

// Column is one of the select list. Star copies the fields of the object at Path, of the whole message if Path is empty.
type Column struct {
	Star bool
	Path []Step
	Expr Expr
	As   []string // where it goes in the result, outermost key first
}

// Step is a key of an object, or an index of an array from 0 if Key is nil.
type Step struct {
	Key   *string
	Index int
}

// Expr is one of the types below.
type Expr interface{}

type (
	Literal struct{ Value any } // nil, bool, string, json.Number
	Path    struct{ Steps []Step }
	Call    struct {
		Name string // lower case
		Args []Expr
		Pos  Pos
	}
	Unary struct { // Op: - not
		Op  string
		X   Expr
		Pos Pos
	}
	Binary struct { // Op: or and = <> < <= > >= + - * / % ||
		Op   string
		L, R Expr
		Pos  Pos
	}
	In struct {
		X    Expr
		List []Expr
	}
	Like struct{ X, Pattern, Escape Expr } // Escape may be nil
	Is   struct {                          // What: nil, true or false
		X    Expr
		What any
	}
	Case struct {
		Of    Expr // nil: each When is a condition
		Whens []When
		Else  Expr
	}
	When struct{ If, Then Expr }
	Cast struct {
		X    Expr
		Type string // integer, double, string or boolean
		Pos  Pos
	}
)

var types = map[string]string{"integer": "integer", "int": "integer", "bigint": "integer", "double": "double", "float": "double", "real": "double",
	"decimal": "double", "varchar": "string", "char": "string", "string": "string", "text": "string", "boolean": "boolean", "bool": "boolean"}

var reserved = map[string]bool{"select": true, "where": true, "as": true, "and": true, "or": true, "not": true, "in": true, "between": true,
	"like": true, "escape": true, "is": true, "null": true, "true": true, "false": true, "case": true, "when": true, "then": true, "else": true,
	"end": true, "cast": true, "from": true}

// Parse reads a statement. An error is an *Error.
func Parse(src string) (s *Statement, err error) {
	if len(src) > MaxSize {
		return nil, &Error{Pos{1, 1}, fmt.Sprintf("statement is longer than %d bytes", MaxSize)}
	}
	tokens, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	defer func() { // the parser's own errors travel as panics, to keep its functions short; others go on
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

func (p *parser) is(s string) bool {
	t := p.peek()
	return t.kind == symbol && t.text == s || t.kind == word && strings.EqualFold(t.text, s)
}

func (p *parser) take(s string) bool {
	if p.is(s) {
		p.i++
		return true
	}
	return false
}

func (p *parser) want(s string) {
	if !p.take(s) {
		p.fail(p.peek(), s)
	}
}

func (p *parser) fail(t token, expected string) {
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
	if p.take("where") {
		s.Where = p.expr(0)
	}
	if t := p.peek(); t.kind != end {
		p.fail(t, "end of statement")
	}
	return s
}

func (p *parser) column(n int) Column {
	if p.take("*") {
		return Column{Star: true}
	}
	begin := p.i
	if t := p.peek(); t.kind == quoted || t.kind == word && !reserved[strings.ToLower(t.text)] { // a.* ?
		if steps, star := p.path(true); star {
			return Column{Star: true, Path: steps}
		}
		p.i = begin
	}
	c := Column{Expr: p.expr(0)}
	if p.take("as") {
		c.As = append(c.As, p.name())
		for p.take(".") {
			c.As = append(c.As, p.name())
		}
		return c
	}
	switch e := c.Expr.(type) {
	case Path:
		for i := len(e.Steps) - 1; i >= 0 && c.As == nil; i-- {
			if k := e.Steps[i].Key; k != nil {
				c.As = []string{*k}
			}
		}
	case Call:
		c.As = []string{e.Name}
	default:
		c.As = []string{"column" + strconv.Itoa(n)}
	}
	return c
}

func (p *parser) name() string {
	t := p.next()
	if t.kind != quoted && t.kind != word {
		p.fail(t, "a name")
	}
	return t.text
}

// path reads a.b[0].c, and with star also a.*.
func (p *parser) path(star bool) ([]Step, bool) {
	first := p.name()
	steps := []Step{{Key: &first}}
	for {
		switch {
		case p.take("."):
			if star && p.take("*") {
				return steps, true
			}
			if star && p.peek().kind != word && p.peek().kind != quoted {
				return steps, false
			}
			k := p.name()
			steps = append(steps, Step{Key: &k})
		case p.take("["):
			t := p.next()
			n, err := strconv.Atoi(t.text)
			if t.kind != number || err != nil {
				p.fail(t, "an index, a whole number from 0")
			}
			p.want("]")
			steps = append(steps, Step{Index: n})
		default:
			return steps, false
		}
	}
}

// Binding powers; not binds between and and the comparisons.
var power = map[string]int{"or": 1, "and": 2, "=": 4, "<>": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4, "in": 4, "between": 4, "like": 4,
	"is": 4, "not": 4, "||": 5, "+": 6, "-": 6, "*": 7, "/": 7, "%": 7}

func (p *parser) expr(min int) Expr {
	if p.depth++; p.depth > MaxDepth {
		panic(&Error{p.peek().pos, fmt.Sprintf("nested deeper than %d", MaxDepth)})
	}
	defer func() { p.depth-- }()
	left := p.prefix()
	// A chain a+b+c nests to the left as it grows, so it counts for the depth too.
	for n := p.depth; ; n++ {
		t := p.peek()
		op := strings.ToLower(t.text)
		bp := power[op]
		if t.kind != symbol && t.kind != word || bp == 0 || bp <= min {
			return left
		}
		if n > 10*MaxDepth {
			panic(&Error{t.pos, fmt.Sprintf("more than %d operators in a row", 10*MaxDepth)})
		}
		p.next()
		left = p.infix(left, op, bp, t.pos)
	}
}

func (p *parser) infix(left Expr, op string, bp int, pos Pos) Expr {
	not := op == "not"
	if not {
		t := p.next()
		if op = strings.ToLower(t.text); t.kind != word || op != "in" && op != "between" && op != "like" {
			p.fail(t, "in, between or like")
		}
	}
	var e Expr
	switch op {
	case "in":
		p.want("(")
		e = In{left, p.list(")")}
	case "between":
		low := p.expr(bp)
		p.want("and")
		e = Binary{"and", Binary{">=", left, low, pos}, Binary{"<=", left, p.expr(bp), pos}, pos}
	case "like":
		l := Like{X: left, Pattern: p.expr(bp)}
		if p.take("escape") {
			l.Escape = p.expr(bp)
		}
		e = l
	case "is":
		not = p.take("not")
		switch {
		case p.take("null"):
			e = Is{left, nil}
		case p.take("true"):
			e = Is{left, true}
		case p.take("false"):
			e = Is{left, false}
		default:
			p.fail(p.peek(), "null, true or false")
		}
	case "!=":
		e = Binary{"<>", left, p.expr(bp), pos}
	default:
		e = Binary{op, left, p.expr(bp), pos}
	}
	if not {
		return Unary{"not", e, pos}
	}
	return e
}

func (p *parser) list(close string) []Expr {
	l := []Expr{p.expr(0)}
	for p.take(",") {
		l = append(l, p.expr(0))
	}
	p.want(close)
	return l
}

func (p *parser) prefix() Expr {
	t := p.peek()
	switch {
	case t.kind == text:
		p.next()
		return Literal{t.text}
	case t.kind == number:
		p.next()
		if n := strings.TrimLeft(t.text, "0"); n == "" || n[0] < '0' || n[0] > '9' {
			return Literal{json.Number("0" + n)}
		} else {
			return Literal{json.Number(n)}
		}
	case p.take("null"):
		return Literal{nil}
	case p.take("true"):
		return Literal{true}
	case p.take("false"):
		return Literal{false}
	case p.take("("):
		e := p.expr(0)
		p.want(")")
		return e
	case p.take("-"):
		return Unary{"-", p.expr(7), t.pos}
	case p.take("not"):
		return Unary{"not", p.expr(3), t.pos}
	case p.take("case"):
		return p.caseOf()
	case p.take("cast"):
		p.want("(")
		x := p.expr(0)
		p.want("as")
		n := p.next()
		typ := types[strings.ToLower(n.text)]
		if n.kind != word || typ == "" {
			p.fail(n, "a type: integer, double, string or boolean")
		}
		p.want(")")
		return Cast{x, typ, t.pos}
	case t.kind == word && p.tokens[p.i+1].kind == symbol && p.tokens[p.i+1].text == "(" && !reserved[strings.ToLower(t.text)]:
		p.i += 2
		c := Call{Name: strings.ToLower(t.text), Pos: t.pos}
		if !p.take(")") {
			c.Args = p.list(")")
		}
		return c
	case t.kind == quoted || t.kind == word && !reserved[strings.ToLower(t.text)]:
		steps, _ := p.path(false)
		return Path{steps}
	}
	p.fail(t, "an expression")
	return nil
}

func (p *parser) caseOf() Expr {
	c := Case{}
	if !p.is("when") {
		c.Of = p.expr(0)
	}
	p.want("when")
	for {
		w := When{If: p.expr(0)}
		p.want("then")
		w.Then = p.expr(0)
		c.Whens = append(c.Whens, w)
		if !p.take("when") {
			break
		}
	}
	if p.take("else") {
		c.Else = p.expr(0)
	}
	p.want("end")
	return c
}
