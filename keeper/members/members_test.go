package members

import (
	"slices"
	"testing"
)

func FuzzParsePIDs(f *testing.F) {
	f.Add("12\n0\n-1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if slices.ContainsFunc(parsePIDs(text), func(n int) bool { return n <= 0 }) {
			t.Errorf("%q", text)
		}
	})
}
