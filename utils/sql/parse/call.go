package parse

import "strings"

// call reads what follows name(. The forms of SQL-92 with words instead of commas become plain calls:
//
//	position(a in b)            position(a, b)
//	substring(a from b for c)   substring(a, b, c)
//	trim(leading a from b)      ltrim(b, a)
//	extract(year from a)        extract('year', a)
func (p *parser) call(name string, pos Pos) Expr {
	p.deeper()
	defer func() { p.depth-- }()
	c := Call{Pos: pos, Name: name}
	switch {
	case p.take(")"):
		return c
	case name == "position":
		c.Args = append(c.Args, p.expr(comparePower)) // not further: in is an operator too
		if p.take("in") {
			return p.last(c)
		}
	case name == "extract":
		if t := p.peek(); t.kind == word && p.tokens[p.i+1].is("from") {
			p.i += 2
			c.Args = append(c.Args, Text{t.pos, strings.ToLower(t.text)})
			return p.last(c)
		}
		c.Args = append(c.Args, p.expr(0))
	case name == "trim":
		return p.trim(c)
	default:
		c.Args = append(c.Args, p.expr(0))
	}
	if (name == "substring" || name == "substr") && p.take("from") {
		c.Args = append(c.Args, p.expr(0))
		if !p.take("for") {
			p.want(")")
			return c
		}
		return p.last(c)
	}
	return p.rest(c)
}

// last reads the last argument.
func (p *parser) last(c Call) Expr {
	c.Args = append(c.Args, p.expr(0))
	if !p.take(")") {
		fail(p.peek(), "an operator or ')'")
	}
	return c
}

// rest reads further arguments.
func (p *parser) rest(c Call) Expr {
	if p.take(",") {
		c.Args = append(c.Args, p.list()...)
		return c
	}
	if !p.take(")") {
		fail(p.peek(), "an operator, ',' or ')'")
	}
	return c
}

// trim reads [leading | trailing | both] [characters] from text, or text alone, or text, characters.
func (p *parser) trim(c Call) Expr {
	side := false
	if t := p.peek(); t.kind == word && !p.tokens[p.i+1].is(".") {
		name, ok := map[string]string{"leading": "ltrim", "trailing": "rtrim", "both": "trim"}[strings.ToLower(t.text)]
		if after := p.tokens[p.i+1]; ok && !after.is(")") && !after.is(",") {
			p.next()
			c.Name, side = name, true
		}
	}
	if side && p.take("from") {
		return p.last(c)
	}
	first := p.expr(0)
	if p.take("from") {
		c := p.last(c).(Call)
		c.Args = append(c.Args, first)
		return c
	}
	if side {
		fail(p.peek(), "'from'")
	}
	c.Args = append(c.Args, first)
	return p.rest(c)
}
