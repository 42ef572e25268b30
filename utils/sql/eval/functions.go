package eval

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/baetyl/baetyl/utils/sql/parse"
	"github.com/baetyl/baetyl/utils/sql/value"
)

// function describes a function of the dialect. args has a letter for each argument; those after a ? may be missing,
// and a + repeats the last one.
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
// Compile converts literal arguments, so a wrong one is an error before a message comes.
//
// call gets the values of the arguments, of these types. If one of them is null, the result is null and call does not
// run. lazy, in place of call, gets the arguments themselves and decides which of them are computed.
type function struct {
	args string
	call func(r *row, a []any) (any, error)
	lazy func(pos parse.Pos, a []expr) expr
}

var functions = map[string]function{
	// the message
	"qos":       {args: "", call: func(r *row, _ []any) (any, error) { return int64(r.QOS), nil }},
	"topic":     {args: "?i", call: topic},
	"payload":   {args: "", call: func(r *row, _ []any) (any, error) { return r.root, nil }},
	"timestamp": {args: "", call: func(r *row, _ []any) (any, error) { return r.Now.UnixMilli(), nil }},
	"now":       {args: "", call: func(r *row, _ []any) (any, error) { return r.Now.UTC().Format(isoLayout), nil }},
	"uuid":      {args: "", call: uuid},

	// choices
	"coalesce": {args: "v+", lazy: coalesce},
	"nullif":   {args: "vv", lazy: nullif},
	"if":       {args: "vvv", lazy: choose},

	// text
	"upper":            {args: "t", call: onText(strings.ToUpper)},
	"lower":            {args: "t", call: onText(strings.ToLower)},
	"reverse":          {args: "t", call: onText(reverse)},
	"trim":             {args: "t?t", call: trim(strings.Trim)},
	"ltrim":            {args: "t?t", call: trim(strings.TrimLeft)},
	"rtrim":            {args: "t?t", call: trim(strings.TrimRight)},
	"length":           {args: "t", call: length},
	"char_length":      {args: "t", call: length},
	"character_length": {args: "t", call: length},
	"octet_length":     {args: "t", call: func(_ *row, a []any) (any, error) { return int64(len(a[0].(string))), nil }},
	"concat":           {args: "t+", call: concat},
	"replace":          {args: "ttt", call: replace},
	"substring":        {args: "ti?i", call: substring},
	"substr":           {args: "ti?i", call: substring},
	"position":         {args: "tt", call: position},
	"split_part":       {args: "tti", call: splitPart},
	"left":             {args: "ti", call: leftPart},
	"right":            {args: "ti", call: rightPart},
	"lpad":             {args: "ti?t", call: pad(true)},
	"rpad":             {args: "ti?t", call: pad(false)},
	"starts_with":      {args: "tt", call: testText(strings.HasPrefix)},
	"ends_with":        {args: "tt", call: testText(strings.HasSuffix)},
	"contains":         {args: "tt", call: testText(strings.Contains)},

	// numbers
	"abs":      {args: "n", call: abs},
	"ceil":     {args: "n", call: round(value.Ceil)},
	"ceiling":  {args: "n", call: round(value.Ceil)},
	"floor":    {args: "n", call: round(value.Floor)},
	"round":    {args: "n?i", call: round(value.HalfUp)},
	"trunc":    {args: "n?i", call: round(value.Truncate)},
	"truncate": {args: "n?i", call: round(value.Truncate)},
	"mod":      {args: "nn", call: func(_ *row, a []any) (any, error) { return value.Arith('%', a[0], a[1]) }},
	"div":      {args: "nn", call: div},
	"power":    {args: "nn", call: func(_ *row, a []any) (any, error) { return value.Power(a[0], a[1]) }},
	"sign":     {args: "n", call: sign},
	"sqrt":     {args: "n", call: onFloat(math.Sqrt)},
	"exp":      {args: "n", call: onFloat(math.Exp)},
	"ln":       {args: "n", call: onFloat(math.Log)},
	"log10":    {args: "n", call: onFloat(math.Log10)},
	"least":    {args: "vv+", call: extreme(-1)},
	"greatest": {args: "vv+", call: extreme(1)},

	// time
	"unix_timestamp": {args: "?d", call: unixTimestamp},
	"from_unixtime":  {args: "n?fz", call: fromUnixtime},
	"date_format":    {args: "df?z", call: dateFormat},
	"to_timestamp":   {args: "v?fz", call: toTimestamp},
	"extract":        {args: "ed?z", call: extract},

	// digests and codings
	"md5":         {args: "t", call: onText(md5Hex)},
	"sha1":        {args: "t", call: onText(sha1Hex)},
	"sha256":      {args: "t", call: onText(sha256Hex)},
	"sha512":      {args: "t", call: onText(sha512Hex)},
	"crc32":       {args: "t", call: crc},
	"to_base64":   {args: "t", call: onText(toBase64)},
	"from_base64": {args: "t", call: fromBase64},
	"hex":         {args: "t", call: onText(toHex)},
	"unhex":       {args: "t", call: fromHex},

	// structure
	"json_value":     {args: "vp", call: jsonValue},
	"json_parse":     {args: "t", call: jsonParse},
	"to_json":        {args: "v", call: toJSON},
	"key_value":      {args: "tttt", call: keyValue},
	"array_length":   {args: "l", call: arrayLength},
	"array_contains": {args: "lv", call: arrayContains},
	"array_get":      {args: "li", call: arrayGet},
	"array_join":     {args: "lt", call: arrayJoin},
	"typeof":         {args: "v", call: func(_ *row, a []any) (any, error) { return value.Type(a[0]), nil }},
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

// done is the letter of an argument that needs no conversion, like that of any value.
const done = 'v'

// convert makes v, which is not null, what the letter of an argument says.
func convert(v any, to byte) (any, error) {
	switch to {
	case 't':
		text := value.Text(v)
		if value.HasHalf(text) {
			return nil, errors.New("the text has half of a surrogate pair, which is no character")
		}
		return text, nil
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
