package out

import "unicode"

// wide are the scripts whose characters take two columns of a terminal.
var wide = []*unicode.RangeTable{unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana}

// Width is how many columns a harmless text takes.
func Width(text string) (n int) {
	for _, r := range text {
		switch {
		case r < 0x300:
			n++
		case unicode.In(r, unicode.Mn, unicode.Me):
		case r >= 0x1f300 && r <= 0x1faff, r >= 0xff01 && r <= 0xff60, r >= 0x3001 && r <= 0x303e, unicode.In(r, wide...):
			n += 2
		default:
			n++
		}
	}
	return n
}

// Cut returns a harmless text that takes at most width columns; … stands for what is left out.
func Cut(text string, width int) string {
	if Width(text) <= width {
		return text
	}
	n := 0
	for at, r := range text {
		if n += Width(string(r)); n >= width {
			return text[:at] + "…"
		}
	}
	return text
}
