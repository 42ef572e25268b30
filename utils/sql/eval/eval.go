// Package eval runs statements: message in, message out.
//
//	parse.Statement ──Compile──► Query ──Run(Message)──► result
//
// Compile resolves functions and literals, so that what can be wrong without a message is an error before one comes. It
// promises that a Query may be run from any goroutine, that the result is compact JSON with sorted keys, and that no
// message makes it panic or use memory out of proportion. Only uuid() makes two runs differ. It does not know where
// messages come from.
//
// Rules of the dialect: a missing field is null; a comparison with null is unknown, and only what is true is selected;
// what is not true since values have no order is an error;
// a column that is named wins over *; an error of an expression names its place in the statement.
package eval

import (
	"fmt"
	"sync"
	"time"

	"github.com/baetyl/baetyl/utils/sql/parse"
	"github.com/baetyl/baetyl/utils/sql/value"
)

// Message is what a statement sees of an MQTT message.
type Message struct {
	Topic   string
	QOS     uint32
	Payload []byte
	Now     time.Time // the result of timestamp() and now()
}

// Query is a statement that is ready to run.
type Query struct {
	stars   []expr // nil: the message
	columns []column
	where   expr
}

type column struct {
	as    []string
	value expr
}

// expr computes a value of package value for a message. An error is an *parse.Error.
type expr func(r *row) (any, error)

// row is one message.
type row struct {
	Message
	root  value.Object
	out   value.Object // room for the result
	clash error        // the first comparison that was not possible
}

// Compile makes a Query. An error is an *parse.Error.
func Compile(s *parse.Statement) (*Query, error) {
	q := &Query{}
	for _, c := range s.Columns {
		if c.Star && c.Expr == nil {
			q.stars = append(q.stars, nil)
			continue
		}
		e, err := compile(c.Expr)
		if err != nil {
			return nil, err
		}
		if c.Star {
			q.stars = append(q.stars, e)
		} else {
			q.columns = append(q.columns, column{c.As, e})
		}
	}
	if s.Where != nil {
		condition, err := compile(s.Where)
		if err != nil {
			return nil, err
		}
		q.where = logical(condition, s.Where.Position(), "where")
	}
	return q, nil
}

// Run returns the result, nil if the condition does not hold. An error is an *parse.Error, or says that the payload is
// not a JSON object. A condition that does not hold since values of the message could not be compared is an error.
func (q *Query) Run(m Message) ([]byte, error) {
	r := rows.Get().(*row)
	defer r.free()
	v, err := value.DecodeInto(r.root, m.Payload)
	if err != nil {
		return nil, fmt.Errorf("the payload is not a JSON object: %w", err)
	}
	root, ok := v.(value.Object)
	if !ok {
		return nil, fmt.Errorf("the payload is not a JSON object: it is %s", article(v))
	}
	r.Message, r.root = m, root
	if q.where != nil {
		holds, err := q.where(r)
		switch {
		case err != nil:
			return nil, err
		case holds != true: // a message must not vanish because it could not be compared
			return nil, r.clash
		}
	}
	out, err := q.project(r)
	if err != nil {
		return nil, err
	}
	r.out = out
	return value.Append(make([]byte, 0, len(m.Payload)+64), out), nil
}

// rows are kept for the room that their objects have.
var rows = sync.Pool{New: func() any { return new(row) }}

// kept is the most members for which room is kept.
const kept = 256

func (r *row) free() {
	for _, o := range []*value.Object{&r.root, &r.out} {
		if cap(*o) > kept {
			*o = nil
		}
		clear((*o)[:cap(*o)])
		*o = (*o)[:0]
	}
	r.Message, r.clash = Message{}, nil
	rows.Put(r)
}

// project builds the result: first the fields that stars copy, then the columns, which replace fields of the same name.
func (q *Query) project(r *row) (value.Object, error) {
	out := r.out[:0]
	for _, star := range q.stars {
		from := r.root
		if star != nil {
			v, err := star(r)
			if err != nil {
				return nil, err
			}
			from, _ = v.(value.Object)
		}
		if len(out) == 0 {
			out = append(out, from...)
			continue
		}
		for _, m := range from {
			out.Put(m)
		}
	}
	for _, c := range q.columns {
		v, err := c.value(r)
		if err != nil {
			return nil, err
		}
		put(&out, c.as, v)
	}
	return out, nil
}

// put sets the value at the path as. It copies the objects on the path, since they may be part of the message, and
// replaces other values there by objects.
func put(o *value.Object, as []string, v any) {
	if len(as) == 1 {
		o.Set(as[0], v)
		return
	}
	old, _ := o.Get(as[0]).(value.Object)
	inner := append(make(value.Object, 0, len(old)+1), old...)
	put(&inner, as[1:], v)
	o.Set(as[0], inner)
}

func article(v any) string {
	switch t := value.Type(v); t {
	case "null":
		return t
	case "array", "object":
		return "an " + t
	default:
		return "a " + t
	}
}
