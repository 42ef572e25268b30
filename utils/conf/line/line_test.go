package line_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/conf/line"
)

func TestLines(t *testing.T) {
	const text = `version: v1
services:
  - name: a
    env:
      X: 1
      a.b: 2
      a: 3
  - {name: b,
     args: [x,
       y]}
base: &base
  k: v
use: *base
`
	lines := line.Read([]byte(text))
	for path, want := range map[string]int{
		"version": 1, "services": 2, "services[0]": 3, "services[0].env.X": 5, "services[0].env.a.b": 6,
		"services[0].env.a": 7, "services[1].name": 8, "services[1].args[1]": 10, "use.k": 12,
		"services[0].env.gone": 4, "services[9].env": 2, "gone": 0, "services[x]": 2, "": 0, "version.x": 1, "services.": 2,
	} {
		require.Equal(t, want, lines.Of(path), path)
	}
	require.Zero(t, line.Read([]byte("{")).Of("version"))
	require.Zero(t, line.Read(nil).Of("version"))
	require.Zero(t, line.Read([]byte("version: "+strings.Repeat("x", 1<<20))).Of("version"))
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a: &x [1, *x]\n"), "a[1][1].b")
	f.Add([]byte("a: {b: c}\n"), "a.b")
	f.Add([]byte("a: &a\n  b: *a\n"), "a.b.b.b")
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		n := line.Read(data).Of(path)
		require.GreaterOrEqual(t, n, 0)
		require.LessOrEqual(t, n, strings.Count(string(data), "\n")+strings.Count(string(data), "\r")+1)
	})
}
