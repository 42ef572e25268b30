package value_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/sql/value"
)

// randomNumber is exact, with up to digits digits.
func randomNumber(r *rand.Rand, digits int) string {
	var b strings.Builder
	if r.IntN(2) == 0 {
		b.WriteByte('-')
	}
	n, point := 1+r.IntN(digits), r.IntN(digits)
	for i := range n {
		if i > 0 && i == point {
			b.WriteByte('.')
		}
		d := byte('0' + r.IntN(10))
		if i == 0 && d == '0' {
			d = '1'
		}
		b.WriteByte(d)
	}
	return b.String()
}

// Arithmetic has the results of exact fractions; a quotient is wrong by 1e-18 of its value at most.
func TestArithmeticIsExact(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 4000 {
		a, b := randomNumber(r, 25), randomNumber(r, 25)
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		for op, want := range map[byte]*big.Rat{
			'+': new(big.Rat).Add(x, y),
			'-': new(big.Rat).Sub(x, y),
			'*': new(big.Rat).Mul(x, y),
			'/': new(big.Rat).Quo(x, y),
		} {
			v, err := value.Arith(op, value.Raw(a), value.Raw(b))
			require.NoError(t, err)
			text := value.Text(v)
			got, ok := new(big.Rat).SetString(text)
			require.True(t, ok, text)
			difference := new(big.Rat).Sub(got, want)
			if op == '/' {
				limit := new(big.Rat).Abs(want)
				limit.Mul(limit, big.NewRat(1, 1e18))
				require.LessOrEqual(t, difference.Abs(difference).Cmp(limit), 0, "%s / %s is %s, seed %d", a, b, text, seed)
				continue
			}
			require.Zero(t, difference.Sign(), "%s %c %s is %s, seed %d", a, op, b, text, seed)
		}
		c, ok := value.Compare(value.Raw(a), value.Raw(b))
		require.True(t, ok)
		require.Equal(t, x.Cmp(y), c, "%s and %s", a, b)
		rest, err := value.Arith('%', value.Raw(a), value.Raw(b))
		require.NoError(t, err)
		n, _ := new(big.Rat).SetString(value.Text(rest))
		require.Negative(t, new(big.Rat).Abs(n).Cmp(new(big.Rat).Abs(y)), "%s %% %s, seed %d", a, b, seed)
		times := new(big.Rat).Quo(new(big.Rat).Sub(x, n), y)
		require.True(t, times.IsInt(), "%s %% %s is %s, seed %d", a, b, value.Text(rest), seed)
	}
}

// Numbers at the edge of int64, where the fast path ends.
func TestArithmeticAtTheEdge(t *testing.T) {
	edge := []string{
		"0", "1", "-1", "2", "4294967296", "-4294967296", "3037000500",
		"9223372036854775807", "-9223372036854775808", "9223372036854775808",
	}
	for _, a := range edge {
		for _, b := range edge {
			x, _ := new(big.Int).SetString(a, 10)
			y, _ := new(big.Int).SetString(b, 10)
			for op, want := range map[byte]*big.Int{
				'+': new(big.Int).Add(x, y),
				'-': new(big.Int).Sub(x, y),
				'*': new(big.Int).Mul(x, y),
			} {
				v, err := value.Arith(op, value.Raw(a), value.Raw(b))
				require.NoError(t, err)
				require.Equal(t, want.String(), value.Text(v), "%s %c %s", a, op, b)
			}
		}
	}
}

// A number that is too long can be copied. To compute with it is an error, at once.
func TestNumbersThatAreTooLong(t *testing.T) {
	long := value.Raw(strings.Repeat("9", 1<<20))
	v, err := value.Decode([]byte(long))
	require.NoError(t, err)
	require.Equal(t, v, long)
	_, err = value.Arith('+', long, int64(1))
	require.ErrorIs(t, err, value.ErrRange)
	_, ok := value.Compare(long, int64(1))
	require.False(t, ok)
	for _, n := range []value.Raw{"1e400", "-1e400", "1e999999999999"} {
		_, err = value.Arith('+', n, int64(1))
		require.ErrorIs(t, err, value.ErrRange, n)
	}
	most := any(value.Raw(strings.Repeat("9", value.MaxDigits)))
	_, err = value.Arith('*', most, most)
	require.ErrorIs(t, err, value.ErrRange)
	for _, sign := range []string{"", "-"} { // which is no digit
		for digits, want := range map[int]bool{value.MaxDigits: true, value.MaxDigits + 1: false} {
			_, ok = value.Compare(value.Raw(sign+strings.Repeat("9", digits)), int64(1))
			require.Equal(t, want, ok, "%s, %d digits", sign, digits)
		}
	}
}

func TestDepth(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	_, err := value.Decode(nested(value.MaxDepth))
	require.NoError(t, err)
	_, err = value.Decode(nested(value.MaxDepth + 1))
	require.EqualError(t, err, fmt.Sprintf("byte %d: nested deeper than %d", value.MaxDepth+1, value.MaxDepth))
	_, err = value.Decode(bytes.Repeat([]byte(`{"a":`), 1<<20))
	require.ErrorContains(t, err, "nested deeper")
}

func TestObjectSet(t *testing.T) {
	var o value.Object
	for _, k := range []string{"b", "a", "c", "b"} {
		o.Set(k, k+"!")
	}
	require.Equal(t, `{"a":"a!","b":"b!","c":"c!"}`, value.Text(o))
	require.Nil(t, o.Get("d"))

	for n := range 100 { // of each size
		o.Set(fmt.Sprint(n), n)
		for k := range n + 1 {
			require.Equal(t, k, o.Get(fmt.Sprint(k)))
			require.Nil(t, o.Get(fmt.Sprintf("%d.", k)))
		}
	}
}

// FuzzDecode compares Decode and Append with encoding/json.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"b":1.10,"a":[true,null,-0e-5,"\u00fc\ud83d\ude00\n"],"b":{}}`,
		`[1,2`, `"\ud83d"`, "{\"a\":\"\x7f\u2028\"}", `01`, ` {} `, `1.`, `-`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := value.Decode(data)
		valid := json.Valid(data) && utf8.Valid(data)
		if err != nil {
			if valid && !strings.Contains(err.Error(), "nested deeper") {
				t.Fatalf("refused %q: %v", data, err)
			}
			return
		}
		if !valid {
			t.Fatalf("accepted %q", data)
		}
		decode := func(text []byte) (out any) {
			d := json.NewDecoder(bytes.NewReader(text))
			d.UseNumber()
			if err := d.Decode(&out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		again := value.Append(nil, v)
		require.Equal(t, decode(data), decode(again), "%q became %q", data, again)
		second, err := value.Decode(again)
		require.NoError(t, err)
		require.Equal(t, string(again), string(value.Append(nil, second)))
	})
}

// FuzzNumber: what Number takes of a text is a number that JSON can write.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1", "-1.5e3", " .5 ", "+7", "1.", "1e999", "0x1", "", "--1", "1_0", "inf"} {
		f.Add(s, "2")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, op := range []byte("+-*/%") {
			if v, err := value.Arith(op, a, b); err == nil && !json.Valid(value.Append(nil, v)) {
				t.Fatalf("%q %c %q is %q", a, op, b, value.Append(nil, v))
			}
		}
		value.Compare(a, int64(1))
		for _, how := range []value.Rounding{value.HalfUp, value.Truncate, value.Floor, value.Ceil} {
			if v, err := value.Round(a, 2, how); err == nil && !json.Valid(value.Append(nil, v)) {
				t.Fatalf("rounded %q is %q", a, value.Append(nil, v))
			}
		}
	})
}
