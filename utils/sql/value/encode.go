package value

import (
	"fmt"
	"strconv"
	"strings"
)

// Append appends v as compact JSON with sorted keys.
func Append(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return appendString(b, v)
	case Raw:
		return append(b, v...)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendFloat(b, v)
	case *Decimal:
		return append(b, v.String()...)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = Append(b, e)
		}
		return append(b, ']')
	case Object:
		b = append(b, '{')
		for i := range v {
			if i > 0 {
				b = append(b, ',')
			}
			m := &v[i]
			b = append(appendString(b, m.Key), ':')
			if m.plain {
				b = append(b, m.text...)
			} else {
				b = rewrite(b, m)
			}
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("value: %T is not a value", v))
}

// rewrite appends the value of a member that Append would not write as its text has it.
func rewrite(b []byte, m *Member) []byte {
	if m.text == "" {
		return Append(b, m.value)
	}
	w := writers.Get().(*writer)
	w.decoder, w.b = decoder{s: m.text}, b
	w.value()
	b = w.b
	w.decoder, w.b = decoder{}, nil
	writers.Put(w)
	return b
}

// appendString writes s, which is UTF-8, without the escapes that HTML would need.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	begin := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c != 0xed {
			continue
		}
		if c == 0xed {
			if r := half(s[i:]); r != 0 {
				b = fmt.Appendf(append(b, s[begin:i]...), `\u%04x`, r)
				i += 2
				begin = i + 1
			}
			continue
		}
		b = append(b, s[begin:i]...)
		begin = i + 1
		if short := strings.IndexByte("\"\\\b\f\n\r\t", c); short >= 0 {
			b = append(b, '\\', `"\bfnrt`[short])
		} else {
			b = fmt.Appendf(b, `\u%04x`, c)
		}
	}
	return append(append(b, s[begin:]...), '"')
}
