// Package out writes what commands say: as a table for people, as JSON or YAML for programs.
//
//	body of the API ─► Printer ─┬ table: aligned, harmless, colours on a terminal
//	                            └ json, yaml: the keys of the API, stable
//
// It promises that no text of a service, a client or a file reaches a terminal as anything but text, and that a write
// that failed is known at the end (Printer.Err).
package out

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Harmless returns text as one line for a terminal: what could move the cursor, colour, ring, reorder or hide is
// written as Go writes it in strings, \x1b or \u202e; so are line breaks and bytes that are not UTF-8. Tabs stay.
func Harmless(text string) string {
	n := strings.IndexFunc(text, func(r rune) bool { return r == utf8.RuneError || harmful(r) })
	if n < 0 {
		return text
	}
	b := make([]byte, 0, len(text)+16)
	b = append(b, text[:n]...)
	for n < len(text) {
		r, size := utf8.DecodeRuneInString(text[n:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\x`...)
			b = append(b, "0123456789abcdef"[text[n]>>4], "0123456789abcdef"[text[n]&15])
		case harmful(r):
			quoted := strconv.AppendQuoteRuneToASCII(nil, r)
			b = append(b, quoted[1:len(quoted)-1]...)
		default:
			b = append(b, text[n:n+size]...)
		}
		n += size
	}
	return string(b)
}

// Block is Harmless for a text of several lines.
func Block(text string) string {
	lines := strings.Split(text, "\n")
	for n := range lines {
		lines[n] = Harmless(lines[n])
	}
	return strings.Join(lines, "\n")
}

// harmful are control characters, also those of 8 bits, and what changes the order of others or is not seen.
func harmful(r rune) bool {
	switch {
	case r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0xfeff:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	}
	return r > 0xffff && unicode.In(r, unicode.Cf)
}
