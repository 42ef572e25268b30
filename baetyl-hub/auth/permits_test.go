package auth_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/utils/topic"
)

func permitting(t *testing.T, name string, permits ...string) (*auth.Book, *auth.User) {
	b, err := auth.New([]auth.Principal{{Username: name, Permissions: []auth.Permission{
		{Action: "pub", Permit: permits}, {Action: "sub", Permit: permits},
	}}}, topic.DefaultLimits)
	require.NoError(t, err)
	return b, b.User(name)
}

// %u and %c stand for names as whole levels, and for nothing elsewhere.
func TestNamesInPermits(t *testing.T) {
	for _, x := range []struct{ user, client, permit, may, mayNot string }{
		{"ann", "c1", "dev/%u/#", "dev/ann dev/ann/x dev/ann/#", "dev/bob/x dev/%u dev/+/x dev/# dev/Ann/x"},
		{"ann", "c1", "%c", "c1", "c2 %c ann +"},
		{"ann", "c1", "%u/%c/+", "ann/c1/x ann/c1/+", "ann/c2/x c1/ann/x ann/c1/x/y"},
		{"ann", "c1", "x%u", "x%u", "xann"},
		{"ann", "c1", "%uc/%c", "%uc/c1", "annc/c1"},
		{"ann", "\uff0b", "d/%c", "d/\uff0b", "d/x d/+"}, // it only looks like +
		{"%u", "c1", "d/%u", "d/%u", "d/c1"},
		{"%c", "c1", "d/%u", "d/%c", "d/c1"}, // what stands in a name is not looked at again
		{"%c", "%u", "%u/%c", "%c/%u", "%u/%c %u/%u"},
		{"ann", "%u", "d/%c", "d/%u", "d/ann"},
		{"ann", "ANN", "d/%c", "d/ANN", "d/ann"},
		{strings.Repeat("n", 250), "c", "devices/%u/#", "", "devices/#"}, // longer than a topic may be
	} {
		_, u := permitting(t, x.user, x.permit)
		for _, f := range strings.Fields(x.may) {
			require.True(t, u.As(x.client).MaySubscribe(f), "%+v: %s", x, f)
			require.True(t, u.As(x.client).MayPublish(f), "%+v: %s", x, f)
		}
		for _, f := range strings.Fields(x.mayNot) {
			require.False(t, u.As(x.client).MaySubscribe(f), "%+v: %s", x, f)
			require.False(t, u.As(x.client).MayPublish(f), "%+v: %s", x, f)
		}
	}
}

// Whatever the names are, a permit with %u and %c allows no more than one with + in their place.
func FuzzPermits(f *testing.F) {
	f.Add("d/%u/#", "ann", "c", "d/ann/x")
	f.Add("%c/%u", "%c", "%u", "%c/%u")
	f.Add("%u/#", "$SYS", "+", "$SYS/x")
	f.Add("%c", "u", "#", "#")
	limits := topic.DefaultLimits
	f.Fuzz(func(t *testing.T, permit, user, client, filter string) {
		if user == "" || limits.CheckFilter(permit) != nil || limits.CheckFilter(filter) != nil {
			return
		}
		_, u := permitting(t, user, permit)
		levels := strings.Split(permit, "/")
		for i, x := range levels {
			if x == "%u" || x == "%c" {
				levels[i] = "+"
			}
		}
		if u.As(client).MaySubscribe(filter) {
			wide := strings.Join(levels, "/")
			require.True(t, topic.Covers(wide, filter), "%q as %q, %q: %q", permit, user, client, filter)
		}
	})
}

// A name that is no level, or would widen a right, gives none; the other permits of the user stay.
func TestNamesThatWidenNothing(t *testing.T) {
	topics := strings.Fields("x a a/x a/b/x # + +/x #/x $SYS $SYS/x $SYS/# $x/x / /x a/#")
	for _, name := range []string{"#", "+", "a/b", "a+", "a#", "/", "$SYS", "$share", "$x", "a\x00", "a/"} {
		b, u := permitting(t, name, "%u", "%u/x", "%u/#", "d/%u/#", "own")
		require.Len(t, b.Warnings(), 8, name)
		require.Contains(t, b.Warnings()[0], "principals[0].permissions[0].permit[0]: \"%u\" gives no right")
		_, v := permitting(t, "v", "%c", "%c/x", "%c/#", "d/%c/#", "own")
		require.True(t, v.As(name).Lacks())
		for _, f := range append(topics, name, name+"/x", "d/"+name+"/x") {
			require.False(t, u.As("c").MaySubscribe(f) || u.As("c").MayPublish(f), "%q: %s", name, f)
			require.False(t, v.As(name).MaySubscribe(f) || v.As(name).MayPublish(f), "%q: %s", name, f)
		}
		require.True(t, u.As("c").MayPublish("own") && v.As(name).MayPublish("own"))
		_, u = permitting(t, name, "%u")
		require.False(t, u.MayAnything())
	}
	for _, client := range []string{"", "\x001"} { // the hub assigns them
		_, u := permitting(t, "u", "%c", "%c/#")
		require.True(t, u.MayAnything() && u.As(client).Lacks())
		require.False(t, u.As(client).MayPublish("x") || u.As(client).MayPublish(client))
	}
	b, _ := permitting(t, "u", "x%c/%u")
	require.Contains(t, b.Warnings()[0], `"x%c/%u" has %u or %c beside other characters`)
}
