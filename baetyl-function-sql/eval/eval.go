// Package eval runs a parsed statement on one message: message in, message out, no side effect.
//
// A missing field is null, a comparison with null is not true, and numbers that are only copied keep their text.
package eval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/baetyl/baetyl/baetyl-function-sql/parse"
)

// Message is what a statement sees of an MQTT message.
type Message struct {
	Topic   string
	QOS     uint32
	Payload []byte
}

// Check tells what is wrong with the function calls of expressions before any message comes: an unknown name, a wrong count.
func Check(s *parse.Statement) error {
	for _, c := range s.Columns {
		if err := check(c.Expr); err != nil {
			return err
		}
	}
	return check(s.Where)
}

func check(e parse.Expr) error {
	var parts []parse.Expr
	switch e := e.(type) {
	case parse.Call:
		f, ok := functions[e.Name]
		if !ok {
			return &parse.Error{Pos: e.Pos, Text: fmt.Sprintf("unknown function %q", e.Name)}
		}
		if len(e.Args) < f.min || len(e.Args) > f.max {
			return &parse.Error{Pos: e.Pos, Text: fmt.Sprintf("%s takes %d to %d arguments, not %d", e.Name, f.min, f.max, len(e.Args))}
		}
		parts = e.Args
	case parse.Unary:
		parts = []parse.Expr{e.X}
	case parse.Binary:
		parts = []parse.Expr{e.L, e.R}
	case parse.In:
		parts = append([]parse.Expr{e.X}, e.List...)
	case parse.Is:
		parts = []parse.Expr{e.X}
	case parse.Like, parse.Case, parse.Cast:
		return fmt.Errorf("like, case and cast are not supported yet")
	}
	for _, p := range parts {
		if err := check(p); err != nil {
			return err
		}
	}
	return nil
}

// Run returns the result as compact JSON with sorted keys, nil if the condition does not hold. The statement has passed Check.
func Run(s *parse.Statement, m Message) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(m.Payload))
	d.UseNumber()
	var root map[string]any
	if err := d.Decode(&root); err != nil || root == nil || d.More() {
		return nil, fmt.Errorf("payload is not a JSON object")
	}
	r := run{m, root}
	if s.Where != nil {
		if v, err := r.eval(s.Where); err != nil || v != true {
			return nil, err
		}
	}
	out := map[string]any{}
	for _, c := range s.Columns {
		if c.Star {
			from, _ := r.path(c.Path).(map[string]any)
			for k, v := range from {
				out[k] = v
			}
		}
	}
	for _, c := range s.Columns { // after the stars: an explicit column wins
		if c.Star {
			continue
		}
		v, err := r.eval(c.Expr)
		if err != nil {
			return nil, err
		}
		to := out
		for _, k := range c.As[:len(c.As)-1] {
			old, _ := to[k].(map[string]any)
			in := make(map[string]any, len(old)+1) // a copy: the old one is part of the message
			for k, v := range old {
				in[k] = v
			}
			to[k], to = in, in
		}
		to[c.As[len(c.As)-1]] = v
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

type run struct {
	msg  Message
	root map[string]any
}

func (r run) path(steps []parse.Step) any {
	var v any = r.root
	for _, s := range steps {
		if s.Key != nil {
			m, _ := v.(map[string]any)
			v = m[*s.Key]
		} else if l, _ := v.([]any); s.Index < len(l) {
			v = l[s.Index]
		} else {
			return nil
		}
	}
	return v
}

func (r run) eval(e parse.Expr) (any, error) {
	switch e := e.(type) {
	case parse.Literal:
		return e.Value, nil
	case parse.Path:
		return r.path(e.Steps), nil
	case parse.Call:
		args, err := r.all(e.Args)
		if err != nil {
			return nil, err
		}
		return functions[e.Name].call(r.msg, args), nil
	case parse.Unary:
		v, err := r.eval(e.X)
		if err != nil || v == nil {
			return nil, err
		}
		if e.Op == "-" {
			return arithmetic("-", json.Number("0"), v, e.Pos)
		}
		if b, ok := v.(bool); ok {
			return !b, nil
		}
		return nil, nil
	case parse.Is:
		v, err := r.eval(e.X)
		if _, composite := v.(bool); !composite && v != nil {
			return false, err
		}
		return v == e.What, err
	case parse.In:
		x, err := r.eval(e.X)
		if err != nil {
			return nil, err
		}
		l, err := r.all(e.List)
		var known any = false
		for _, v := range l {
			switch compare("=", x, v) {
			case true:
				return true, err
			case nil:
				known = nil
			}
		}
		return known, err
	case parse.Binary:
		args, err := r.all([]parse.Expr{e.L, e.R})
		if err != nil {
			return nil, err
		}
		a, b := args[0], args[1]
		switch e.Op {
		case "and", "or":
			stop := e.Op == "or" // the value that decides alone
			if a == any(stop) || b == any(stop) {
				return stop, nil
			}
			if a == any(!stop) && b == any(!stop) {
				return !stop, nil
			}
			return nil, nil
		case "+", "-", "*", "/", "%":
			return arithmetic(e.Op, a, b, e.Pos)
		case "||":
			if a == nil || b == nil {
				return nil, nil
			}
			return str(a) + str(b), nil
		}
		return compare(e.Op, a, b), nil
	}
	return nil, fmt.Errorf("expression %T is not supported", e)
}

func (r run) all(list []parse.Expr) ([]any, error) {
	out := make([]any, len(list))
	for i, e := range list {
		v, err := r.eval(e)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func integer(n json.Number) (*big.Int, bool) {
	if strings.ContainsAny(string(n), ".eE") {
		return nil, false
	}
	return new(big.Int).SetString(string(n), 10)
}

// compare is true, false or nil; values of different types are not comparable, which is nil.
func compare(op string, a, b any) any {
	c := 0
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return nil
		}
		x, okx := integer(a)
		y, oky := integer(b)
		if okx && oky {
			c = x.Cmp(y)
			break
		}
		f, _ := a.Float64()
		g, _ := b.Float64()
		c = big.NewFloat(f).Cmp(big.NewFloat(g))
	case string:
		b, ok := b.(string)
		if !ok {
			return nil
		}
		c = strings.Compare(a, b)
	case bool:
		b, ok := b.(bool)
		if !ok || op != "=" && op != "<>" {
			return nil
		}
		if a != b {
			c = 1
		}
	default:
		return nil
	}
	return map[string]bool{"=": c == 0, "<>": c != 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}[op]
}

// arithmetic is exact for integers, in float64 otherwise; a division by zero is null.
func arithmetic(op string, a, b any, pos parse.Pos) (any, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	n, okn := a.(json.Number)
	k, okk := b.(json.Number)
	if !okn || !okk {
		return nil, &parse.Error{Pos: pos, Text: op + " needs numbers"}
	}
	x, okx := integer(n)
	y, oky := integer(k)
	f, _ := n.Float64()
	g, _ := k.Float64()
	if (op == "/" || op == "%") && g == 0 {
		return nil, nil
	}
	z := new(big.Int)
	whole := okx && oky
	switch {
	case op == "+":
		f += g
		if whole {
			z.Add(x, y)
		}
	case op == "-":
		f -= g
		if whole {
			z.Sub(x, y)
		}
	case op == "*":
		f *= g
		if whole {
			z.Mul(x, y)
		}
	case op == "%" && !whole:
		return nil, &parse.Error{Pos: pos, Text: "% needs whole numbers"}
	case whole:
		q, rest := new(big.Int).QuoRem(x, y, new(big.Int))
		if z = q; op == "%" {
			z = rest
		} else {
			whole = rest.Sign() == 0 // 7/2 is 3.5
		}
		f /= g
	default:
		f /= g
	}
	if whole {
		return json.Number(z.String()), nil
	}
	text, err := json.Marshal(f)
	if err != nil {
		return nil, &parse.Error{Pos: pos, Text: "result of " + op + " is out of range"}
	}
	return json.Number(text), nil
}
