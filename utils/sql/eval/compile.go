package eval

import (
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/utils/sql/parse"
	"github.com/baetyl/baetyl/utils/sql/value"
)

func constant(v any) expr { return func(*row) (any, error) { return v, nil } }

func isLiteral(e parse.Expr) bool {
	switch e.(type) {
	case parse.Bool, parse.Text, parse.Number:
		return true
	}
	return false
}

// at adds the place to an error that has none.
func at(pos parse.Pos, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if inner := new(parse.Error); errors.As(err, &inner) {
		return err
	}
	return &parse.Error{Pos: pos, Text: err.Error()}
}

func compile(e parse.Expr) (expr, error) {
	switch e := e.(type) {
	case parse.Null:
		return constant(nil), nil
	case parse.Bool:
		return constant(e.Value), nil
	case parse.Text:
		return constant(e.Value), nil
	case parse.Number:
		return constant(value.Raw(e.Value)), nil
	case parse.Path:
		return path(e.Steps), nil
	case parse.Call:
		return call(e)
	}
	parts, err := compileAll(operands(e)...)
	if err != nil {
		return nil, err
	}
	numbers(operands(e), parts, e)
	switch e := e.(type) {
	case parse.Unary:
		if e.Op == "-" {
			return arithmetic('-', constant(int64(0)), parts[0], e.Pos), nil
		}
		return not(logical(parts[0], e.Pos, "not")), nil
	case parse.Binary:
		return binary(e, parts[0], parts[1]), nil
	case parse.Between:
		return between(parts[0], parts[1], parts[2], comparison{e.X.Position(), "between"}), nil
	case parse.In:
		return in(parts[0], parts[1:], comparison{e.X.Position(), "in"}), nil
	case parse.Like:
		return like(e, parts)
	case parse.Is:
		return is(parts[0], e.What), nil
	case parse.Cast:
		return cast(e, parts[0]), nil
	case parse.Case:
		return caseOf(e, parts), nil
	}
	panic(fmt.Sprintf("eval: %T is not an expression", e))
}

// numbers reads the literal numbers of an operator that computes or compares, once for all messages. The others copy
// them as they are written.
func numbers(list []parse.Expr, parts []expr, of parse.Expr) {
	switch of := of.(type) {
	case parse.Between, parse.In:
	case parse.Binary:
		if of.Op == "||" {
			return
		}
	default:
		return
	}
	for i, e := range list {
		if n, ok := e.(parse.Number); ok {
			if v, err := value.Number(value.Raw(n.Value)); err == nil {
				parts[i] = constant(v)
			}
		}
	}
}

// operands are the parts of an operator, in their order.
func operands(e parse.Expr) []parse.Expr {
	switch e := e.(type) {
	case parse.Unary:
		return []parse.Expr{e.X}
	case parse.Binary:
		return []parse.Expr{e.L, e.R}
	case parse.Between:
		return []parse.Expr{e.X, e.Low, e.High}
	case parse.In:
		return append([]parse.Expr{e.X}, e.List...)
	case parse.Like:
		if e.Escape != nil {
			return []parse.Expr{e.X, e.Pattern, e.Escape}
		}
		return []parse.Expr{e.X, e.Pattern}
	case parse.Is:
		return []parse.Expr{e.X}
	case parse.Cast:
		return []parse.Expr{e.X}
	case parse.Case:
		var list []parse.Expr
		for _, w := range e.Whens {
			list = append(list, w.If, w.Then)
		}
		if e.Else == nil {
			e.Else = parse.Null{}
		}
		list = append(list, e.Else)
		if e.Of != nil {
			list = append(list, e.Of)
		}
		return list
	}
	return nil
}

func compileAll(list ...parse.Expr) ([]expr, error) {
	out := make([]expr, len(list))
	for i, e := range list {
		var err error
		if out[i], err = compile(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func path(steps []parse.Step) expr {
	if len(steps) == 1 {
		key := *steps[0].Key
		return func(r *row) (any, error) { return r.root.Get(key), nil }
	}
	return func(r *row) (any, error) {
		return lookup(r.root, steps), nil
	}
}

// lookup is null where the path leads nowhere.
func lookup(v any, steps []parse.Step) any {
	for _, s := range steps {
		if s.Key != nil {
			o, _ := v.(value.Object)
			v = o.Get(*s.Key)
		} else if a, _ := v.([]any); s.Index < len(a) {
			v = a[s.Index]
		} else {
			return nil
		}
	}
	return v
}

func binary(e parse.Binary, l, r expr) expr {
	is := comparison{e.Pos, e.Op}
	switch e.Op {
	case "and":
		return both(false, logical(l, e.Pos, "and"), logical(r, e.Pos, "and"))
	case "or":
		return both(true, logical(l, e.Pos, "or"), logical(r, e.Pos, "or"))
	case "=":
		return equals(l, r, is)
	case "<>":
		return not(equals(l, r, is))
	case "<":
		return ordered(l, r, is, func(c int) bool { return c < 0 })
	case "<=":
		return ordered(l, r, is, func(c int) bool { return c <= 0 })
	case ">":
		return ordered(l, r, is, func(c int) bool { return c > 0 })
	case ">=":
		return ordered(l, r, is, func(c int) bool { return c >= 0 })
	case "||":
		return two(l, r, func(_ *row, a, b any) (any, error) {
			s, err := limited(value.Text(a), value.Text(b))
			if err != nil {
				return nil, at(e.Pos, "||: %w", err)
			}
			return s, nil
		})
	}
	return arithmetic(e.Op[0], l, r, e.Pos)
}

// two computes both sides; null makes null.
func two(l, r expr, f func(r *row, a, b any) (any, error)) expr {
	return func(row *row) (any, error) {
		a, err := l(row)
		if err != nil || a == nil {
			return nil, err
		}
		b, err := r(row)
		if err != nil || b == nil {
			return nil, err
		}
		return f(row, a, b)
	}
}

func arithmetic(op byte, l, r expr, pos parse.Pos) expr {
	return two(l, r, func(_ *row, a, b any) (any, error) {
		v, err := value.Arith(op, a, b)
		switch {
		case errors.Is(err, value.ErrForm):
			if _, wrong := value.Number(a); wrong == nil {
				a = b
			}
			return nil, at(pos, "%c needs numbers, not %s", op, article(a))
		case err != nil:
			return nil, at(pos, "%c: %w", op, err)
		}
		return v, nil
	})
}

func cast(e parse.Cast, x expr) expr {
	return func(r *row) (any, error) {
		v, err := x(r)
		if err != nil || v == nil {
			return nil, err
		}
		out, err := castTo(e, v)
		if err != nil {
			return nil, at(e.Pos, "cast to %s: %w", e.Type, err)
		}
		return out, nil
	}
}

// caseOf gets the parts in the order of operands. The value of a simple case is computed once.
func caseOf(e parse.Case, parts []expr) expr {
	n, is := len(e.Whens), comparison{e.Pos, "case"}
	for i, w := range e.Whens {
		if e.Of == nil {
			parts[2*i] = logical(parts[2*i], w.If.Position(), "when")
		}
	}
	return func(r *row) (any, error) {
		var of any
		if e.Of != nil {
			var err error
			if of, err = parts[2*n+1](r); err != nil {
				return nil, err
			}
		}
		for i := range n {
			v, err := parts[2*i](r)
			if err != nil {
				return nil, err
			}
			if e.Of != nil {
				v = is.equal(r, of, v)
			}
			if v == true {
				return parts[2*i+1](r)
			}
		}
		return parts[2*n](r)
	}
}
