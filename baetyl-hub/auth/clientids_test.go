package auth_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/utils/topic"
)

func ids(name string, patterns ...string) auth.Principal {
	return auth.Principal{Username: name, ClientIDs: patterns}
}

func TestClientIDs(t *testing.T) {
	b, err := auth.New([]auth.Principal{
		ids("cloud", "cloud", "cloud-*-x*"), ids("dev", "%u", "%u/*"), ids("a*b", "%u-%%"), ids("%u", "is-%u"),
		ids("star", "%*%**"), ids("twin", "cloud"), ids("free"), ids("empty", []string{}...),
	}, topic.DefaultLimits)
	require.NoError(t, err)
	for id, who := range map[string]string{
		"":      "cloud dev a*b %u star twin free empty",
		"other": "free empty", "Cloud": "free empty", "cloud ": "free empty", "cl\u043eud": "free empty", "clou": "free empty",
		"cloud": "cloud twin", "cloud-x": "free empty", "cloud--x": "cloud", "cloud-1-2-x-y": "cloud",
		"dev": "dev", "dev/": "dev", "dev/a/b": "dev", "dev2": "free empty",
		"a*b-%": "a*b", "axb-%": "free empty", "a*b-%%": "free empty",
		"is-%u": "%u", "is-free": "free empty", "%u": "free empty",
		"**": "star", "**x": "star", "*x": "free empty",
	} {
		var got []string
		for _, name := range strings.Fields("cloud dev a*b %u star twin free empty") {
			if b.CheckClientID(b.User(name), id) == nil {
				got = append(got, name)
			}
		}
		require.Equal(t, who, strings.Join(got, " "), "%q", id)
	}
	long := strings.Repeat("a", 65535)
	b, err = auth.New([]auth.Principal{ids("u", long+"*"), ids("v", strings.Repeat("*a", 2000)+"*b"), ids("w")},
		topic.DefaultLimits)
	require.NoError(t, err)
	require.Error(t, b.CheckClientID(b.User("w"), long))
	require.NoError(t, b.CheckClientID(b.User("w"), long[1:]))
}

func TestClientIDErrors(t *testing.T) {
	for text, want := range map[string]string{
		"": "leave out clientids", "*": "would reserve all client ids, or none", "**": "leave out clientids", "a\x00": "U+0000",
		"50%": "write %% for a %", "%c": "only u (the user name), % and * are allowed", "%U": "only u", "x%": "only u",
	} {
		_, err := auth.New([]auth.Principal{ids("u"), ids("v", "ok", text)}, topic.DefaultLimits)
		require.ErrorContains(t, err, "principals[1].clientids[1]: ", "%q", text)
		require.ErrorContains(t, err, want, "%q", text)
	}
}

// A pattern matches what the same regular expression matches.
func FuzzClientIDs(f *testing.F) {
	for _, x := range [][3]string{
		{"%u-*", "dev", "dev-1"}, {"*a*a", "u", "aba"}, {"%%%*", "u", "%*"}, {"a**b", "%u", "ab"}, {"%u", "*", "x"},
		{"x*y*z", "u", "xyyz"}, {"%", "u", ""}, {"a*a", "u", "a"},
	} {
		f.Add(x[0], x[1], x[2])
	}
	f.Fuzz(func(t *testing.T, pattern, user, id string) {
		if user == "" || id == "" || user == "other" {
			return
		}
		b, err := auth.New([]auth.Principal{ids(user, pattern), ids("other")}, topic.DefaultLimits)
		if err != nil {
			require.ErrorContains(t, err, "principals[0].clientids[0]: ")
			return
		}
		expression := "(?s)^"
		for i := 0; i < len(pattern); i++ {
			switch c := pattern[i]; {
			case c == '*':
				expression += ".*"
			case c != '%':
				expression += regexp.QuoteMeta(pattern[i : i+1])
			default:
				if i++; pattern[i] == 'u' {
					expression += regexp.QuoteMeta(user)
				} else {
					expression += regexp.QuoteMeta(pattern[i : i+1])
				}
			}
		}
		x, err := regexp.Compile(expression + "$")
		if err != nil || !isUTF8(pattern, user, id) { // the configuration and the protocol are UTF-8
			return
		}
		want := x.MatchString(id)
		require.Equal(t, want, b.CheckClientID(b.User(user), id) == nil, "%q %q %q", pattern, user, id)
		require.Equal(t, want, b.CheckClientID(b.User("other"), id) != nil, "%q %q %q", pattern, user, id)
		require.Equal(t, want, b.User(user).Reserves(id))
	})
}

func isUTF8(list ...string) bool {
	for _, s := range list {
		if strings.ToValidUTF8(s, "") != s {
			return false
		}
	}
	return true
}
