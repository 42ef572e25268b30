package value

import (
	"math"
	"math/big"
	"math/bits"
)

// quotientDigits is how many significant digits a quotient has at least when it does not end, as in PostgreSQL.
const quotientDigits = 20

// Arith computes a op b, op being one of + - * / %. Numbers are exact unless one of them is a float64. Sums have the
// larger number of digits behind the point, products the sum of both, as SQL-92 says; the quotient of 7 and 2 is 3.5.
// The remainder, a % b, has the sign of a.
func Arith(op byte, a, b any) (any, error) {
	a, err := Number(a)
	if err != nil {
		return nil, err
	}
	if b, err = Number(b); err != nil {
		return nil, err
	}
	x, wholeA := a.(int64)
	y, wholeB := b.(int64)
	if wholeA && wholeB {
		if n, ok := whole(op, x, y); ok {
			return n, nil
		}
	}
	_, floatA := a.(float64)
	_, floatB := b.(float64)
	if floatA || floatB {
		return floating(op, float(a), float(b))
	}
	return decimals(op, decimal(a), decimal(b))
}

// whole is the fast path for int64. It returns false when the result is not an int64, or not certain to be one.
func whole(op byte, x, y int64) (int64, bool) {
	switch op {
	case '+':
		return x + y, (x+y > x) == (y > 0)
	case '-':
		return x - y, (x-y < x) == (y > 0)
	case '*':
		hi, lo := bits.Mul64(magnitude(x), magnitude(y))
		return x * y, hi == 0 && lo <= math.MaxInt64
	case '/':
		if y == 0 || y == -1 || x%y != 0 {
			return 0, false
		}
		return x / y, true
	case '%':
		if y == 0 || y == -1 {
			return 0, false
		}
		return x % y, true
	}
	return 0, false
}

func magnitude(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

func floating(op byte, x, y float64) (any, error) {
	switch op {
	case '+':
		return finite(x + y)
	case '-':
		return finite(x - y)
	case '*':
		return finite(x * y)
	}
	if y == 0 {
		return nil, ErrZero
	}
	if op == '/' {
		return finite(x / y)
	}
	return finite(math.Mod(x, y))
}

func decimals(op byte, a, b *Decimal) (any, error) {
	if op == '*' {
		return exact(new(big.Int).Mul(a.coef, b.coef), a.scale+b.scale)
	}
	x, y, scale := align(a, b)
	switch op {
	case '+':
		return exact(new(big.Int).Add(x, y), scale)
	case '-':
		return exact(new(big.Int).Sub(x, y), scale)
	}
	if y.Sign() == 0 {
		return nil, ErrZero
	}
	if op == '%' {
		return exact(new(big.Int).Rem(x, y), scale)
	}
	return quotient(x, y)
}

// quotient divides to quotientDigits, rounds, and drops zeros at the end.
func quotient(x, y *big.Int) (any, error) {
	scale := max(quotientDigits+len(y.Text(10))-len(x.Text(10)), quotientDigits/2)
	q := divideHalfUp(new(big.Int).Mul(x, pow10(scale)), y)
	for scale > 0 {
		next, rest := new(big.Int).QuoRem(q, ten, new(big.Int))
		if rest.Sign() != 0 {
			break
		}
		q, scale = next, scale-1
	}
	return exact(q, scale)
}

// divideHalfUp rounds half away from zero.
func divideHalfUp(x, y *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(x, y, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(y) >= 0 {
		q.Add(q, big.NewInt(int64(x.Sign()*y.Sign())))
	}
	return q
}

// A Rounding says how Round drops digits.
type Rounding int

// Roundings.
const (
	HalfUp   Rounding = iota // to the nearest; 5 away from zero
	Truncate                 // towards zero
	Floor                    // down
	Ceil                     // up
)

// Round returns v with places digits behind the point; negative places round to tens, hundreds and so on. The result
// is exact.
func Round(v any, places int, how Rounding) (any, error) {
	n, err := Number(v)
	if err != nil {
		return nil, err
	}
	if places > MaxDigits || places < -MaxDigits {
		return nil, ErrRange
	}
	d := decimal(n)
	if _, ok := n.(int64); ok && places >= 0 || d.scale <= places {
		return exact(d.coef, d.scale)
	}
	unit := pow10(d.scale - places)
	q, r := new(big.Int).QuoRem(d.coef, unit, new(big.Int))
	switch {
	case how == HalfUp:
		q = divideHalfUp(d.coef, unit)
	case how == Floor && r.Sign() < 0:
		q.Sub(q, big.NewInt(1))
	case how == Ceil && r.Sign() > 0:
		q.Add(q, big.NewInt(1))
	}
	if places < 0 {
		return exact(q.Mul(q, pow10(-places)), 0)
	}
	return exact(q, places)
}

// Scaled returns v with exactly places digits behind the point, rounded.
func Scaled(v any, places int) (any, error) {
	n, err := Round(v, places, HalfUp)
	if err != nil {
		return nil, err
	}
	d := decimal(n)
	return exact(new(big.Int).Mul(d.coef, pow10(places-d.scale)), places)
}

// Power returns a to the power of b: exact where b is a whole number that is not negative and the result is not too
// long.
func Power(a, b any) (any, error) {
	a, err := Number(a)
	if err != nil {
		return nil, err
	}
	if b, err = Number(b); err != nil {
		return nil, err
	}
	e, ok := b.(int64)
	if _, approximate := a.(float64); ok && !approximate && e >= 0 && e <= MaxDigits {
		d := decimal(a)
		if d.coef.BitLen()*int(e) <= MaxDigits*10/3 && d.scale*int(e) <= MaxDigits {
			return exact(new(big.Int).Exp(d.coef, big.NewInt(e), nil), d.scale*int(e))
		}
	}
	return finite(math.Pow(float(a), float(b)))
}

// Float applies f, a function of package math.
func Float(v any, f func(float64) float64) (any, error) {
	n, err := Number(v)
	if err != nil {
		return nil, err
	}
	return finite(f(float(n)))
}

// Sign returns -1, 0 or 1.
func Sign(v any) (int, error) {
	n, err := Number(v)
	if err != nil {
		return 0, err
	}
	return decimal(n).coef.Sign(), nil
}

// Whole returns v as an int; ErrForm if it is not a whole number, ErrRange if it is too large for 64 bits. A number
// that is too large for 32 bits becomes the largest or smallest of those, so that statements have the same result on
// every processor; such numbers are positions and lengths, and no text is as long.
func Whole(v any) (int, error) {
	n, err := Number(v)
	if err != nil {
		return 0, err
	}
	t, err := Round(n, 0, Truncate)
	if err != nil {
		return 0, err
	}
	if c, _ := Compare(n, t); c != 0 {
		return 0, ErrForm
	}
	i, ok := t.(int64)
	if !ok {
		return 0, ErrRange
	}
	return int(max(min(i, math.MaxInt32), -math.MaxInt32)), nil
}
