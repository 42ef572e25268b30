package value

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A text is UTF-8, but that \ud800 alone, half of a surrogate pair, which JSON can write, is in it as the three bytes
// that UTF-8 would have for it. So it can be copied and compared as it is. These bytes come from nowhere else.

// half returns the half of a surrogate pair at the beginning of s, 0 if there is none.
func half(s string) rune {
	if len(s) < 3 || s[0] != 0xed || s[1] < 0xa0 {
		return 0
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f)
}

// HasHalf tells whether a text has half of a surrogate pair in it.
func HasHalf(s string) bool {
	for i := strings.IndexByte(s, 0xed); i >= 0 && i < len(s); i++ {
		if half(s[i:]) != 0 {
			return true
		}
	}
	return false
}

// escaped tells whether the escapes between the quotes of a string of JSON are right.
func escaped(s string) bool {
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			return true
		}
		s = s[i+1:]
		if s == "" {
			return false
		}
		if _, ok := unit(s); !ok && strings.IndexByte(`"\/bfnrt`, s[0]) < 0 {
			return false
		}
		s = s[1:]
	}
}

// unescape reads what stands between the quotes of a string of JSON; false if an escape is wrong.
func unescape(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			return string(append(b, s...)), true
		}
		b, s = append(b, s[:i]...), s[i+1:]
		if s == "" {
			return "", false
		}
		short := strings.IndexByte(`"\/bfnrt`, s[0])
		if short >= 0 {
			b, s = append(b, "\"\\/\b\f\n\r\t"[short]), s[1:]
			continue
		}
		r, ok := unit(s)
		if !ok {
			return "", false
		}
		s = s[5:]
		if utf16.IsSurrogate(r) {
			next, _ := unit(strings.TrimPrefix(s, `\`))
			pair := utf16.DecodeRune(r, next)
			if pair == utf8.RuneError || s[0] != '\\' {
				b = append(b, 0xed, byte(0x80|r>>6&0x3f), byte(0x80|r&0x3f))
				continue
			}
			r, s = pair, s[6:]
		}
		b = utf8.AppendRune(b, r)
	}
}

// unit reads u and four hexadecimal digits at the beginning of s.
func unit(s string) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:5], 16, 16)
	return rune(n), err == nil
}
