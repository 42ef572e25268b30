package parse

import (
	"fmt"
	"strings"
)

// Binding powers, weakest first. The prefix not stands between and and the comparisons; a sign binds strongest.
const (
	orPower = iota + 1
	andPower
	notPower
	comparePower
	concatPower
	sumPower
	productPower
)

var powers = map[string]int{
	"or": orPower, "and": andPower,
	"=": comparePower, "<>": comparePower, "!=": comparePower,
	"<": comparePower, "<=": comparePower, ">": comparePower, ">=": comparePower,
	"in": comparePower, "between": comparePower, "like": comparePower, "not": comparePower, "is": comparePower,
	"||": concatPower,
	"+":  sumPower, "-": sumPower,
	"*": productPower, "/": productPower, "%": productPower,
}

// expr reads operators that bind more strongly than floor.
func (p *parser) expr(floor int) Expr {
	p.deeper()
	defer func() { p.depth-- }()
	left := p.prefix()
	last := 0
	for n := 0; ; n++ {
		t := p.peek()
		op := strings.ToLower(t.text)
		power := powers[op]
		if t.kind != symbol && t.kind != word || power <= floor {
			return left
		}
		if n == MaxChain {
			panic(&Error{t.pos, fmt.Sprintf("more than %d operators in a row", MaxChain)})
		}
		if power == comparePower && last == comparePower && op != "is" {
			fail(t, "'and' or 'or': comparisons have no chains")
		}
		p.next()
		left, last = p.infix(left, op, power, t.pos), power
	}
}

func (p *parser) deeper() {
	if p.depth++; p.depth > MaxDepth {
		panic(&Error{p.peek().pos, fmt.Sprintf("nested deeper than %d", MaxDepth)})
	}
}

func (p *parser) infix(left Expr, op string, power int, pos Pos) Expr {
	switch op {
	case "not":
		t := p.next()
		op = strings.ToLower(t.text)
		if t.kind != word || op != "in" && op != "between" && op != "like" {
			fail(t, "'in', 'between' or 'like'")
		}
		return Unary{pos, "not", p.infix(left, op, power, t.pos)}
	case "in":
		p.want("(")
		return In{pos, left, p.list()}
	case "between":
		low := p.expr(power)
		p.want("and")
		return Between{pos, left, low, p.expr(power)}
	case "like":
		l := Like{Pos: pos, X: left, Pattern: p.expr(power)}
		if p.take("escape") {
			l.Escape = p.expr(power)
		}
		return l
	case "is":
		not := p.take("not")
		t := p.next()
		what := strings.ToLower(t.text)
		if t.kind != word || what != "null" && what != "true" && what != "false" && what != "unknown" {
			fail(t, "'null', 'true', 'false' or 'unknown'")
		}
		e := Is{pos, left, what}
		if not {
			return Unary{pos, "not", e}
		}
		return e
	case "!=":
		op = "<>"
	}
	return Binary{pos, op, left, p.expr(power)}
}

// list reads expressions up to the closing parenthesis.
func (p *parser) list() []Expr {
	l := []Expr{p.expr(0)}
	for p.take(",") {
		l = append(l, p.expr(0))
	}
	if !p.take(")") {
		fail(p.peek(), "an operator, ',' or ')'")
	}
	return l
}

func (p *parser) prefix() Expr {
	t := p.peek()
	switch {
	case t.kind == text:
		p.next()
		return Text{t.pos, t.text}
	case t.kind == number:
		p.next()
		return Number{t.pos, jsonNumber(t.text)}
	case p.take("null"):
		return Null{t.pos}
	case p.take("true"):
		return Bool{t.pos, true}
	case p.take("false"):
		return Bool{t.pos, false}
	case p.take("("):
		e := p.expr(0)
		if !p.take(")") {
			fail(p.peek(), "an operator or ')'")
		}
		return e
	case p.take("-"):
		return Unary{t.pos, "-", p.expr(productPower)}
	case p.take("+"):
		return p.expr(productPower)
	case p.take("not"):
		return Unary{t.pos, "not", p.expr(notPower)}
	case p.take("case"):
		return p.caseOf(t.pos)
	case t.is("cast") && p.tokens[p.i+1].is("("):
		p.i += 2
		return p.cast(t.pos)
	case t.isName() && t.kind == word && p.tokens[p.i+1].is("("):
		p.i += 2
		return p.call(strings.ToLower(t.text), t.pos)
	case t.isName():
		return p.path()
	}
	if t.kind == word {
		fail(t, fmt.Sprintf("an expression (a field of that name needs quotes: \"%s\")", t.text))
	}
	fail(t, "an expression")
	return nil
}

// jsonNumber is a number as JSON has it: 007 is 7, .5 is 0.5.
func jsonNumber(s string) string {
	s = strings.TrimLeft(s, "0")
	if !isDigit(s, 0) {
		s = "0" + s
	}
	return s
}

func (p *parser) caseOf(pos Pos) Expr {
	c := Case{Pos: pos}
	if !p.peek().is("when") {
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

// cast reads what follows cast(.
func (p *parser) cast(pos Pos) Expr {
	c := Cast{Pos: pos, X: p.expr(0), Size: -1, Scale: -1}
	p.want("as")
	t := p.next()
	name := strings.ToLower(t.text)
	c.Type = types[name]
	if t.kind != word || c.Type == "" {
		fail(t, "a type: integer, bigint, double, decimal, varchar, char or boolean")
	}
	if name == "double" {
		p.take("precision")
	}
	if (c.Type == Decimal || c.Type == Varchar || c.Type == Char) && p.take("(") {
		c.Size = p.size()
		if c.Type == Decimal {
			c.Scale = 0
			if p.take(",") {
				c.Scale = p.size()
			}
		}
		p.want(")")
	}
	p.want(")")
	return c
}

// maxSize is the largest n of char(n) and varchar(n), and the most digits of a decimal.
const maxSize = 1000

func (p *parser) size() int {
	t := p.peek()
	n := p.whole("a size, a whole number")
	if n > maxSize {
		panic(&Error{t.pos, fmt.Sprintf("the size %s is more than %d", t.text, maxSize)})
	}
	return n
}
