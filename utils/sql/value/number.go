package value

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// MaxDigits is the most digits of a number that Arith and the like take. Longer ones can be copied, nothing else.
const MaxDigits = 1000

// Errors of arithmetic.
var (
	ErrRange = errors.New("the number is out of range")
	ErrZero  = errors.New("division by zero")
	ErrForm  = errors.New("it is not a number")
)

// Decimal is an exact number, coef / 10^scale; it is never changed. The scale is not negative.
type Decimal struct {
	coef  *big.Int
	scale int
}

var ten = big.NewInt(10)

func pow10(n int) *big.Int { return new(big.Int).Exp(ten, big.NewInt(int64(n)), nil) }

// exact returns the smallest type for coef / 10^scale, or ErrRange.
func exact(coef *big.Int, scale int) (any, error) {
	if scale == 0 && coef.IsInt64() {
		return coef.Int64(), nil
	}
	if scale > MaxDigits || coef.BitLen() > MaxDigits*10/3 {
		return nil, ErrRange
	}
	return &Decimal{coef, scale}, nil
}

// String returns all digits, scale of them behind the point.
func (d *Decimal) String() string {
	s := d.coef.String()
	if d.scale == 0 {
		return s
	}
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if n := d.scale + 1 - len(s); n > 0 {
		s = strings.Repeat("0", n) + s
	}
	return sign + s[:len(s)-d.scale] + "." + s[len(s)-d.scale:]
}

// Number returns v as int64, *Decimal or float64. A string is taken if it has the form of a number. A number with an
// exponent is a float64, as SQL-92 has it; every other one is exact.
func Number(v any) (any, error) {
	switch v := v.(type) {
	case int64, *Decimal, float64:
		return v, nil
	case Raw:
		return parse(string(v))
	case string:
		s := strings.TrimSpace(v)
		if !numeric(s) {
			return nil, ErrForm
		}
		return parse(s)
	}
	return nil, ErrForm
}

// numeric tells whether s is [sign] digits [. digits] [e [sign] digits]; on one side of the point the digits may be
// missing.
func numeric(s string) bool {
	d := decoder{s: strings.TrimLeft(s, "+-")}
	if len(s)-len(d.s) > 1 {
		return false
	}
	found := d.digits()
	if d.i < len(d.s) && d.s[d.i] == '.' {
		d.i++
		found = d.digits() || found
	}
	if found && d.i < len(d.s) && (d.s[d.i] == 'e' || d.s[d.i] == 'E') {
		d.i++
		if d.i < len(d.s) && (d.s[d.i] == '+' || d.s[d.i] == '-') {
			d.i++
		}
		found = d.digits()
	}
	return found && d.i == len(d.s)
}

// parse reads a text that is known to be a number.
func parse(s string) (any, error) {
	if len(s) < 19 {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
	}
	if strings.ContainsAny(s, "eE") {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, ErrRange
		}
		return f, nil
	}
	if len(strings.TrimLeft(s, "+-")) > MaxDigits {
		return nil, ErrRange
	}
	scale := 0
	if whole, fraction, ok := strings.Cut(s, "."); ok {
		s, scale = whole+fraction, len(fraction)
	}
	coef, _ := new(big.Int).SetString(s, 10)
	return exact(coef, scale)
}

// decimal returns the exact value of n, which is int64, *Decimal or float64. The float64 counts as its shortest text.
func decimal(n any) *Decimal {
	switch n := n.(type) {
	case int64:
		return &Decimal{big.NewInt(n), 0}
	case *Decimal:
		return n
	}
	text := strconv.FormatFloat(n.(float64), 'f', -1, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	coef, _ := new(big.Int).SetString(whole+fraction, 10)
	return &Decimal{coef, len(fraction)}
}

// float returns the nearest float64; too large ones are infinite.
func float(n any) float64 {
	switch n := n.(type) {
	case int64:
		return float64(n)
	case float64:
		return n
	}
	f, _ := strconv.ParseFloat(n.(*Decimal).String(), 64)
	return f
}

// finite returns f, or ErrRange for what JSON cannot write.
func finite(f float64) (any, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, ErrRange
	}
	return f, nil
}

// appendFloat writes f as short as it can be, as JavaScript does.
func appendFloat(b []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	if f == 0 {
		return append(b, '0') // -0 too
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// align returns the coefficients of both at the larger scale.
func align(a, b *Decimal) (x, y *big.Int, scale int) {
	x, y = a.coef, b.coef
	switch {
	case a.scale < b.scale:
		x = new(big.Int).Mul(x, pow10(b.scale-a.scale))
	case b.scale < a.scale:
		y = new(big.Int).Mul(y, pow10(a.scale-b.scale))
	}
	return x, y, max(a.scale, b.scale)
}
