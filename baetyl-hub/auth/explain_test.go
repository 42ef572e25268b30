package auth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/utils/topic"
)

// What Explain says is what MayPublish and MaySubscribe do.
func TestExplain(t *testing.T) {
	b, err := auth.New([]auth.Principal{
		{Username: "a", Permissions: []auth.Permission{{Action: "pub", Permit: []string{"x"}}}},
		{Username: "b", Permissions: []auth.Permission{
			{Action: "sub", Permit: []string{"#"}}, {Action: "pub", Permit: []string{"+/y", "#"}}, {Action: "pub", Permit: []string{"x"}},
		}},
		{Username: "d", Permissions: []auth.Permission{{Action: "pub", Permit: []string{"%c/x", "of/%u", "%%c"}}}},
		{Username: "e/", Permissions: []auth.Permission{{Action: "pub", Permit: []string{"of/%u"}}}},
	}, topic.DefaultLimits)
	require.NoError(t, err)
	for _, x := range []struct{ user, action, name, rule string }{
		{"a", "pub", "x", "principals[0].permissions[0].permit[0]"},
		{"a", "sub", "x", ""},
		{"b", "pub", "x/y", "principals[1].permissions[1].permit[0]"},
		{"b", "pub", "x", "principals[1].permissions[1].permit[1]"},
		{"b", "sub", "a/#", "principals[1].permissions[0].permit[0]"},
		{"b", "sub", "$SYS/#", ""},
		{"c", "pub", "x", ""},
		{"d", "pub", "id/x", "principals[2].permissions[0].permit[0]"},
		{"d", "pub", "of/d", "principals[2].permissions[0].permit[1]"},
		{"d", "pub", "other/x", ""},
		{"e/", "pub", "of/e/", ""},
	} {
		rule, _, err := b.Explain(x.user, "id", x.action, x.name)
		require.Equal(t, x.rule, rule)
		require.Equal(t, x.rule == "", err != nil)
		if u := b.User(x.user); u != nil {
			may := map[string]func(string) bool{"pub": u.As("id").MayPublish, "sub": u.As("id").MaySubscribe}[x.action]
			require.Equal(t, x.rule != "", may(x.name), x.name)
		}
	}
}
