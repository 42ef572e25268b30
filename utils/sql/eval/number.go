package eval

import (
	"fmt"

	"github.com/baetyl/baetyl/utils/sql/value"
)

func onFloat(f func(float64) float64) callFunc {
	return func(_ *row, a []any) (any, error) { return value.Float(a[0], f) }
}

func abs(_ *row, a []any) (any, error) {
	if n, err := value.Sign(a[0]); err != nil || n >= 0 {
		return a[0], err
	}
	return value.Arith('-', int64(0), a[0])
}

func sign(_ *row, a []any) (any, error) {
	n, err := value.Sign(a[0])
	return int64(n), err
}

// round to whole numbers, or to as many digits behind the point as the second argument says.
func round(how value.Rounding) callFunc {
	return func(_ *row, a []any) (any, error) {
		places := 0
		if len(a) == 2 {
			places = a[1].(int)
		}
		return value.Round(a[0], places, how)
	}
}

// div is the whole part of a / b.
func div(_ *row, a []any) (any, error) {
	rest, err := value.Arith('%', a[0], a[1])
	if err != nil {
		return nil, err
	}
	whole, err := value.Arith('-', a[0], rest)
	if err != nil {
		return nil, err
	}
	q, err := value.Arith('/', whole, a[1])
	if err != nil {
		return nil, err
	}
	return value.Round(q, 0, value.HalfUp)
}

// extreme is the largest argument for 1, the smallest for -1.
func extreme(side int) callFunc {
	return func(_ *row, a []any) (any, error) {
		best := a[0]
		for _, v := range a[1:] {
			c, ok := value.Compare(v, best)
			if !ok {
				return nil, fmt.Errorf("%s and %s have no order", article(best), article(v))
			}
			if c == side {
				best = v
			}
		}
		return best, nil
	}
}
