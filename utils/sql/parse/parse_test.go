package parse_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/sql/parse"
)

// Statements that are too long or too deep are refused, quickly and without exhausting the stack.
func TestBounds(t *testing.T) {
	for name, c := range map[string]struct{ statement, want string }{
		"size":        {"select " + strings.Repeat("a", parse.MaxSize), "1:1: the statement is longer than 65536 bytes"},
		"parentheses": {"select " + strings.Repeat("(", 101) + "a", "1:108: nested deeper than 100"},
		"signs":       {"select " + strings.Repeat("- ", 5000) + "a", "nested deeper than 100"},
		"not":         {"select " + strings.Repeat("not ", 5000) + "a", "nested deeper than 100"},
		"calls":       {"select " + strings.Repeat("f(", 5000) + "a", "nested deeper than 100"},
		"cases":       {"select " + strings.Repeat("case when ", 5000) + "a", "nested deeper than 100"},
		"trims":       {"select " + strings.Repeat("trim(", 5000) + "a", "nested deeper than 100"},
		"positions":   {"select " + strings.Repeat("position(", 5000) + "a", "nested deeper than 100"},
		"chain":       {"select a" + strings.Repeat("+a", 1001), "more than 1000 operators in a row"},
		"path":        {"select a" + strings.Repeat(".a", 200), "the path has more than 100 steps"},
		"indexes":     {"select a" + strings.Repeat("[0]", 200), "the path has more than 100 steps"},
		"alias":       {"select a as a" + strings.Repeat(".a", 200), "the path has more than 100 steps"},
		"index": {"select a[99999999999999999999]", `1:10: unexpected "99999999999999999999", ` +
			"expected an index, a whole number from 0"},
		"bytes": {"select \xff", "1:1: the statement is not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse.Parse(c.statement)
			require.ErrorContains(t, err, c.want)
		})
	}
	deep := strings.Repeat("(", 99) + "a" + strings.Repeat(")", 99)
	_, err := parse.Parse("select a" + strings.Repeat("+a", 1000) + " where " + deep)
	require.NoError(t, err)
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"select a.*, -b[0].\"c d\" as c.e, 'it''s' x where x is not null;",
		"select trim(both 'x' from a), position('x' in a), substring(a from 1 for 2), extract(year from a), " +
			"cast(a as decimal(3, 1))",
		"select case a when 1 then .5e-3 else 007 end where a not between 1 and 2 or b like '%' escape '!' -- c\n/* d */",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		s, err := parse.Parse(src)
		if wrong := new(parse.Error); err != nil && !errors.As(err, &wrong) {
			t.Fatalf("%q: %v has no place", src, err)
		}
		if err == nil && len(s.Columns) == 0 {
			t.Fatalf("%q has no columns", src)
		}
	})
}
