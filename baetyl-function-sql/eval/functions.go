package eval

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/baetyl/baetyl/baetyl-function-sql/parse"
	"github.com/baetyl/baetyl/baetyl-function-sql/value"
)

// A function has one line in functions. args has a letter for each argument; those behind a ? may be missing, and a + repeats the last.
//
//	t text: string           a value of another type becomes its JSON
//	n number: what value.Number returns
//	i whole number: int
//	d time: time.Time        milliseconds since 1970, or text
//	l array: []any
//	v any value
//	f layout of times: string, as package time has it
//	z time zone: *time.Location
//	e part of a time: func(time.Time) int64
//	p path: []parse.Step
//
// What is wrong with a literal argument is an error before a message comes.
//
// call gets as many values as there are arguments, of these types. A null among them makes the result null, call is not asked then.
// lazy, in place of call, gets the arguments themselves and decides which of them are computed.
type function struct {
	args string
	call func(r *row, a []any) (any, error)
	lazy func(pos parse.Pos, a []expr) expr
}

var functions = map[string]function{
	// the message
	"qos":       {"", func(r *row, _ []any) (any, error) { return int64(r.QOS), nil }, nil},
	"topic":     {"?i", topic, nil},
	"payload":   {"", func(r *row, _ []any) (any, error) { return r.root, nil }, nil},
	"timestamp": {"", func(r *row, _ []any) (any, error) { return r.Now.UnixMilli(), nil }, nil},
	"now":       {"", func(r *row, _ []any) (any, error) { return r.Now.UTC().Format(isoLayout), nil }, nil},
	"uuid":      {"", uuid, nil},

	// choices
	"coalesce": {"v+", nil, coalesce},
	"nullif":   {"vv", nil, nullif},
	"if":       {"vvv", nil, choose},

	// text
	"upper":            {"t", onText(strings.ToUpper), nil},
	"lower":            {"t", onText(strings.ToLower), nil},
	"reverse":          {"t", onText(reverse), nil},
	"trim":             {"t?t", trim(strings.Trim), nil},
	"ltrim":            {"t?t", trim(strings.TrimLeft), nil},
	"rtrim":            {"t?t", trim(strings.TrimRight), nil},
	"length":           {"t", length, nil},
	"char_length":      {"t", length, nil},
	"character_length": {"t", length, nil},
	"octet_length":     {"t", func(_ *row, a []any) (any, error) { return int64(len(a[0].(string))), nil }, nil},
	"concat":           {"t+", concat, nil},
	"replace":          {"ttt", replace, nil},
	"substring":        {"ti?i", substring, nil},
	"substr":           {"ti?i", substring, nil},
	"position":         {"tt", position, nil},
	"split_part":       {"tti", splitPart, nil},
	"left":             {"ti", leftPart, nil},
	"right":            {"ti", rightPart, nil},
	"lpad":             {"ti?t", pad(true), nil},
	"rpad":             {"ti?t", pad(false), nil},
	"starts_with":      {"tt", testText(strings.HasPrefix), nil},
	"ends_with":        {"tt", testText(strings.HasSuffix), nil},
	"contains":         {"tt", testText(strings.Contains), nil},

	// numbers
	"abs":      {"n", abs, nil},
	"ceil":     {"n", round(value.Ceil), nil},
	"ceiling":  {"n", round(value.Ceil), nil},
	"floor":    {"n", round(value.Floor), nil},
	"round":    {"n?i", round(value.HalfUp), nil},
	"trunc":    {"n?i", round(value.Truncate), nil},
	"truncate": {"n?i", round(value.Truncate), nil},
	"mod":      {"nn", func(_ *row, a []any) (any, error) { return value.Arith('%', a[0], a[1]) }, nil},
	"div":      {"nn", div, nil},
	"power":    {"nn", func(_ *row, a []any) (any, error) { return value.Power(a[0], a[1]) }, nil},
	"sign":     {"n", sign, nil},
	"sqrt":     {"n", onFloat(math.Sqrt), nil},
	"exp":      {"n", onFloat(math.Exp), nil},
	"ln":       {"n", onFloat(math.Log), nil},
	"log10":    {"n", onFloat(math.Log10), nil},
	"least":    {"vv+", extreme(-1), nil},
	"greatest": {"vv+", extreme(1), nil},

	// time
	"unix_timestamp": {"?d", unixTimestamp, nil},
	"from_unixtime":  {"n?fz", fromUnixtime, nil},
	"date_format":    {"df?z", dateFormat, nil},
	"to_timestamp":   {"v?fz", toTimestamp, nil},
	"extract":        {"ed?z", extract, nil},

	// digests and codings
	"md5":         {"t", onText(md5Hex), nil},
	"sha1":        {"t", onText(sha1Hex), nil},
	"sha256":      {"t", onText(sha256Hex), nil},
	"sha512":      {"t", onText(sha512Hex), nil},
	"crc32":       {"t", crc, nil},
	"to_base64":   {"t", onText(toBase64), nil},
	"from_base64": {"t", fromBase64, nil},
	"hex":         {"t", onText(toHex), nil},
	"unhex":       {"t", fromHex, nil},

	// structure
	"json_value":     {"vp", jsonValue, nil},
	"json_parse":     {"t", jsonParse, nil},
	"to_json":        {"v", func(_ *row, a []any) (any, error) { return string(value.Append(nil, a[0])), nil }, nil},
	"key_value":      {"tttt", keyValue, nil},
	"array_length":   {"l", func(_ *row, a []any) (any, error) { return int64(len(a[0].([]any))), nil }, nil},
	"array_contains": {"lv", arrayContains, nil},
	"array_get":      {"li", arrayGet, nil},
	"array_join":     {"lt", arrayJoin, nil},
	"typeof":         {"v", func(_ *row, a []any) (any, error) { return value.Type(a[0]), nil }, nil},
}

// Functions returns the names of all functions.
func Functions() []string {
	var names []string
	for name := range functions {
		names = append(names, name)
	}
	return names
}

// arity returns how many arguments a function takes.
func (f function) arity() (least, most int) {
	types := strings.ReplaceAll(f.args, "?", "")
	least, most = len(types), len(types)
	if i := strings.IndexByte(f.args, '?'); i >= 0 {
		least = i
	}
	if strings.HasSuffix(types, "+") {
		return least - 1, parse.MaxSize
	}
	return least, most
}

// typeOf returns the letter of argument i.
func (f function) typeOf(i int) byte {
	types := strings.TrimSuffix(strings.ReplaceAll(f.args, "?", ""), "+")
	return types[min(i, len(types)-1)]
}

func call(e parse.Call) (expr, error) {
	f, ok := functions[e.Name]
	if !ok {
		return nil, at(e.Pos, "unknown function %s", e.Name)
	}
	if least, most := f.arity(); len(e.Args) < least || len(e.Args) > most {
		return nil, at(e.Pos, "%s takes %s, not %d", e.Name, count(least, most), len(e.Args))
	}
	args, err := compileAll(e.Args...)
	if err != nil {
		return nil, err
	}
	if f.lazy != nil {
		return f.lazy(e.Pos, args), nil
	}
	types := make([]byte, len(args))
	for i, arg := range args {
		types[i] = f.typeOf(i)
		if !isLiteral(e.Args[i]) {
			continue
		}
		if v, _ := arg(nil); v != nil {
			if v, err = convert(v, types[i]); err != nil {
				return nil, at(e.Args[i].Position(), "%s: argument %d: %w", e.Name, i+1, err)
			}
			args[i], types[i] = constant(v), done
		}
	}
	return func(r *row) (any, error) {
		values := make([]any, len(args))
		for i, arg := range args {
			v, err := arg(r)
			if err != nil || v == nil {
				return nil, err
			}
			if values[i], err = convert(v, types[i]); err != nil {
				return nil, at(e.Pos, "%s: argument %d: %w", e.Name, i+1, err)
			}
		}
		v, err := f.call(r, values)
		if text, ok := v.(string); ok && len(text) > maxText {
			err = errLong
		}
		if err != nil {
			return nil, at(e.Pos, "%s: %w", e.Name, err)
		}
		return v, nil
	}, nil
}

func count(least, most int) string {
	switch {
	case least == most && most == 1:
		return "1 argument"
	case least == most:
		return fmt.Sprintf("%d arguments", most)
	case most == parse.MaxSize:
		return fmt.Sprintf("%d arguments or more", least)
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

// done is the letter of an argument that is converted already.
const done = 'v'

// convert makes v, which is not null, what the letter of an argument says.
func convert(v any, to byte) (any, error) {
	switch to {
	case 't':
		return value.Text(v), nil
	case 'n':
		n, err := value.Number(v)
		if err != nil {
			return nil, unreadable(v, err)
		}
		return n, nil
	case 'i':
		n, err := value.Whole(v)
		if err != nil {
			return nil, unreadable(v, errors.New("it is not a whole number"))
		}
		return n, nil
	case 'd':
		return moment(v)
	case 'f':
		return goLayout(value.Text(v))
	case 'z':
		return zone(value.Text(v))
	case 'e':
		return part(value.Text(v))
	case 'p':
		return steps(value.Text(v))
	case 'l':
		if _, ok := v.([]any); !ok {
			return nil, fmt.Errorf("an array is needed, not %s", article(v))
		}
	}
	return v, nil
}
