package topic_test

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/topic"
)

func TestCheck(t *testing.T) {
	l := topic.DefaultLimits
	for _, s := range []string{"t", "/", "a//b", "/a", " ", "世界/x", "a/b/c/d/e/f/g/h/i",
		"/$x", "$x", "$baidu/iot", "$SYSTEM",
		"$shared/x", strings.Repeat("世", 255)} {
		require.NoError(t, l.CheckName(s), s)
		require.NoError(t, l.CheckFilter(s), s)
	}
	long, deep := strings.Repeat("a", 256), "a/b/c/d/e/f/g/h/i/j"
	for _, s := range []string{"", "a\x00", "\xff", "$SYS/x", "$SYS", "$share", "$share/g/a", "a/+", "#", deep, long} {
		require.Error(t, l.CheckName(s), s)
	}
	for _, s := range []string{"#", "+", "a/#", "+/b/+", "+/#", "$SYS/#"} {
		require.NoError(t, l.CheckFilter(s), s)
	}
	for _, s := range []string{"", "a#", "#/a", "a+", "a/b+/c", "$x+", "$share", "$share/g/a", "a/#/b"} {
		require.Error(t, l.CheckFilter(s), s)
	}
}

func TestShare(t *testing.T) {
	g, f, ok, err := topic.Share("$share/g/a/+")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, []string{"g", "a/+"}, []string{g, f})
	_, f, ok, err = topic.Share("a/b")
	require.NoError(t, err)
	require.False(t, ok)
	require.Equal(t, "a/b", f)
	for _, s := range []string{"$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a"} {
		_, _, ok, err = topic.Share(s)
		require.True(t, ok)
		require.Error(t, err, s)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, name string
		want         bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"#", "$SYS/x", false},
		{"+/x", "$SYS/x", false},
		{"$SYS/#", "$SYS/x", true},
		{"a/b", "a/b/c", false},
		{"a/b/c", "a/b", false},
		{"+", "a", true},
	} {
		require.Equal(t, c.want, topic.Match(c.filter, c.name), "%s %s", c.filter, c.name)
	}
}

func TestCoversIsNeverWiderThanThePermit(t *testing.T) {
	for _, c := range []struct {
		permit, filter string
		want           bool
	}{
		{"a/+", "a/#", false}, {"+", "#", false}, {"+", "+", true}, {"a/#", "a", true}, {"a/#", "a/#", true},
		{"a/#", "a/+/b", true}, {"#", "#", true}, {"#", "$SYS/#", false}, {"$SYS/#", "$SYS/#", true}, {"+/b", "+/+", false},
		{"#", "$baidu/#", true}, {"#", "$x", true}, {"#", "$SYS", false}, {"+/x", "$baidu/x", false}, {"$b/#", "$b/+", true},
		{"a/+", "+/b", false}, {"a/+/#", "a/#", false}, {"a/b", "a/b", true}, {"a/+/#", "a/+", true},
	} {
		require.Equal(t, c.want, topic.Covers(c.permit, c.filter), "%s %s", c.permit, c.filter)
	}
}

// levels makes a random topic of a few level names, so that filters and names often match.
func levels(r *rand.Rand, wild bool) string {
	words := []string{"a", "b", "", "$s"}
	n := 1 + r.Intn(4)
	parts := make([]string, n)
	for i := range parts {
		parts[i] = words[r.Intn(len(words))]
		if wild && r.Intn(3) == 0 {
			parts[i] = "+"
		}
	}
	if wild && r.Intn(3) == 0 {
		parts[n-1] = "#"
	}
	return strings.Join(parts, "/")
}

func TestTreeAgreesWithMatch(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for range 300 {
		var filters, names topic.Tree[string]
		want := map[string]bool{}
		for range 20 {
			f, n := levels(r, true), levels(r, false)
			*filters.Put(f), *names.Put(n) = f, n
			if r.Intn(4) == 0 {
				filters.Delete(f)
				names.Delete(n)
			}
			want[f] = true
		}
		name, filter := levels(r, false), levels(r, true)
		filters.Match(name, func(f *string) {
			require.True(t, topic.Match(*f, name), "%s %s", *f, name)
		})
		for f := range want {
			if filters.Get(f) != nil && topic.Match(f, name) {
				found := 0
				filters.Match(name, func(g *string) {
					if *g == f {
						found++
					}
				})
				require.Equal(t, 1, found, "%s %s", f, name)
			}
		}
		names.Select(filter, func(n *string) bool {
			require.True(t, topic.Match(filter, *n), "%s %s", filter, *n)
			return true
		})
	}
}

// If a random permit covers a random filter, it matches each name that the filter matches.
func TestCoversAgreesWithMatch(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	covered := 0
	for range 200000 {
		permit, filter, name := levels(r, true), levels(r, true), levels(r, false)
		if topic.Covers(permit, filter) {
			covered++
			if topic.Match(filter, name) {
				require.True(t, topic.Covers(permit, name), "permit %s filter %s name %s", permit, filter, name)
			}
		}
		want := topic.Match(permit, name) || permit == "#" && !topic.Reserved(name)
		require.Equal(t, want, topic.Covers(permit, name), "%s %s", permit, name)
	}
	require.Greater(t, covered, 1000)
}

// A Walk finds what Select finds, and survives changes of the tree.
func TestWalkAgreesWithSelect(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	for range 2000 {
		var names topic.Tree[string]
		for range 20 {
			n := levels(r, false)
			*names.Put(n) = n
		}
		filter := levels(r, true)
		var want, got []string
		names.Select(filter, func(n *string) bool { want = append(want, *n); return true })
		w := names.Walk(filter)
		for v, ok := w.Next(); ok; v, ok = w.Next() {
			if v != nil {
				got = append(got, *v)
			}
		}
		require.ElementsMatch(t, want, got, filter)
	}
	var names topic.Tree[string]
	for _, n := range []string{"a/1", "a/2", "a/3", "b"} {
		*names.Put(n) = n
	}
	w, found := names.Walk("#"), 0
	for v, ok := w.Next(); ok; v, ok = w.Next() {
		if v != nil && *v != "b" {
			found++
		}
		names.Delete("b")
		*names.Put("c/d") = "b"
	}
	require.Equal(t, 3, found)
}

func TestTreeForgetsEmptyBranches(t *testing.T) {
	var tr topic.Tree[int]
	for _, f := range []string{"a/b/c", "a/b", "a/+/#"} {
		tr.Put(f)
	}
	for _, f := range []string{"a/b/c", "a/b", "a/+/#", "not/there"} {
		tr.Delete(f)
	}
	require.Zero(t, tr.Len())
	all := 0
	tr.Select("#", func(*int) bool { all++; return true })
	require.Zero(t, all)
}

func BenchmarkTreeMatch(b *testing.B) {
	var tr topic.Tree[int]
	for i := range 10000 {
		tr.Put("device/" + strings.Repeat("x", i%50) + "/+/state")
	}
	b.ReportAllocs()
	for range b.N {
		tr.Match("device/xxxxx/7/state", func(*int) {})
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("a/+/#", "a/b/c")
	f.Add("$share/g/#", "$SYS")
	f.Fuzz(func(t *testing.T, filter, name string) {
		l := topic.DefaultLimits
		_, rest, _, err := topic.Share(filter)
		if err != nil || l.CheckFilter(rest) != nil || l.CheckName(name) != nil {
			return
		}
		var tr topic.Tree[int]
		tr.Put(rest)
		found := false
		tr.Match(name, func(*int) { found = true })
		if found != topic.Match(rest, name) {
			t.Fatalf("tree says %v for %q and %q", found, rest, name)
		}
	})
}

// All finds what is there all the time, whatever is added and removed meanwhile, and stops when it is told.
func TestAll(t *testing.T) {
	var tree topic.Tree[string]
	put := func(key string) { *tree.Put(key) = key }
	want := map[string]bool{}
	for i := range 100 {
		key := fmt.Sprintf("a/%d/b", i)
		put(key)
		want[key] = true
	}
	n := 0
	tree.All(func(v *string) bool {
		n++
		delete(want, *v)
		put(fmt.Sprintf("c/%d", n))
		tree.Delete(fmt.Sprintf("c/%d", n-1))
		return true
	})
	require.Empty(t, want)
	n = 0
	tree.All(func(*string) bool { n++; return n < 5 })
	require.Equal(t, 5, n)
}
