package value

import "strings"

// Compare orders a and b: numbers by size, texts by character code, false before true. A text beside a number counts
// as the number that it spells. ok is false where there is no order: null, an object, an array, other pairs of types.
func Compare(a, b any) (c int, ok bool) {
	switch x := a.(type) {
	case nil, Object, []any:
		return 0, false
	case bool:
		y, ok := b.(bool)
		if !ok {
			return 0, false
		}
		return number(x) - number(y), true
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), true
		}
	}
	x, err := Number(a)
	if err != nil {
		return 0, false
	}
	y, err := Number(b)
	if err != nil {
		return 0, false
	}
	return compareNumbers(x, y), true
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func compareNumbers(a, b any) int {
	if x, ok := a.(int64); ok {
		if y, ok := b.(int64); ok {
			return order(x, y)
		}
	}
	_, floatA := a.(float64)
	_, floatB := b.(float64)
	if floatA || floatB {
		return order(float(a), float(b))
	}
	x, y, _ := align(decimal(a), decimal(b))
	return x.Cmp(y)
}

func order[T int64 | float64](x, y T) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// Equal tells whether a and b are equal; known is false where that is unknown: one of them is null, or they are of
// different types. Objects and arrays are equal if all that is in them is; nulls in them equal each other.
func Equal(a, b any) (equal, known bool) {
	switch x := a.(type) {
	case Object:
		y, ok := b.(Object)
		return ok && same(x, y), ok
	case []any:
		y, ok := b.([]any)
		return ok && same(x, y), ok
	}
	c, ok := Compare(a, b)
	return ok && c == 0, ok
}

// same is Equal for what is in objects and arrays: always known.
func same(a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case Object:
		y, ok := b.(Object)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if x[i].Key != y[i].Key || !same(x[i].Value(), y[i].Value()) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	_, textA := a.(string)
	_, textB := b.(string)
	c, ok := Compare(a, b)
	return ok && c == 0 && textA == textB // in an object "1" is not 1
}

// Text returns v as text: a string as it is, everything else as its JSON.
func Text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case Raw:
		return string(v)
	}
	return string(Append(nil, v))
}

// Type names the type of v for people.
func Type(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case Object:
		return "object"
	case []any:
		return "array"
	}
	return "number"
}
