package eval_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/sql/eval"
)

// condition is a tree of a random condition: the reference for the three values true, false and unknown (nil).
type condition struct {
	op          string // "true", "false", "null", "and", "or", "not", "is true" …
	left, right *condition
}

var leaves = []string{"true", "false", "null"}

func random(r *rand.Rand, depth int) *condition {
	if depth == 0 || r.IntN(4) == 0 {
		return &condition{op: leaves[r.IntN(3)]}
	}
	c := &condition{left: random(r, depth-1)}
	switch n := r.IntN(12); {
	case n < 4:
		c.op, c.right = "and", random(r, depth-1)
	case n < 8:
		c.op, c.right = "or", random(r, depth-1)
	case n < 10:
		c.op = "not"
	default:
		c.op = []string{"is true", "is false", "is unknown", "is not true", "is not false", "is not null"}[r.IntN(6)]
	}
	return c
}

// truth orders the values: false 0, unknown 1, true 2. Then and is the smaller, or the larger one, and not the mirror
// image (Kleene).
func (c *condition) truth() int {
	switch c.op {
	case "false":
		return 0
	case "null":
		return 1
	case "true":
		return 2
	case "and":
		return min(c.left.truth(), c.right.truth())
	case "or":
		return max(c.left.truth(), c.right.truth())
	case "not":
		return 2 - c.left.truth()
	}
	asked := map[string]int{"true": 2, "false": 0, "unknown": 1, "null": 1}[c.op[strings.LastIndex(c.op, " ")+1:]]
	if (asked == c.left.truth()) != strings.HasPrefix(c.op, "is not") {
		return 2
	}
	return 0
}

var strength = map[string]int{"or": 1, "and": 2, "not": 3}

// text writes the condition with as few parentheses as precedence allows.
func (c *condition) text(floor int) string {
	var s string
	own := strength[c.op]
	switch {
	case c.left == nil:
		return c.op
	case c.right != nil:
		s = c.left.text(own) + " " + c.op + " " + c.right.text(own+1)
	case c.op == "not":
		s = "not " + c.left.text(own)
	default:
		own = 4
		s = c.left.text(own) + " " + c.op
	}
	if own < floor {
		return "(" + s + ")"
	}
	return s
}

func TestThreeValuedLogic(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 3000 {
		c := random(r, 5)
		text := c.text(0)
		q, err := compile(fmt.Sprintf("select %s as x", text))
		require.NoError(t, err, text)
		out, err := q.Run(eval.Message{Payload: []byte("{}")})
		require.NoError(t, err, text)
		want := []string{`{"x":false}`, `{"x":null}`, `{"x":true}`}[c.truth()]
		require.Equal(t, want, string(out), "%s, seed %d", text, seed)

		q, err = compile("select 1 where " + text)
		require.NoError(t, err, text)
		out, err = q.Run(eval.Message{Payload: []byte("{}")})
		require.NoError(t, err, text)
		require.Equal(t, c.truth() == 2, out != nil, "where %s, seed %d", text, seed)
	}
}
