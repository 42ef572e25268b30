package auth_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/topic"
)

func book(t testing.TB, list ...auth.Principal) *auth.Book {
	t.Helper()
	b, err := auth.New(list, topic.DefaultLimits)
	require.NoError(t, err)
	return b
}

func certificate(cn string, serial int64) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: cn}, SerialNumber: big.NewInt(serial)}
}

func TestLogin(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	require.NoError(t, err)
	b := book(t,
		auth.Principal{Username: "plain", Password: "secret"},
		auth.Principal{Username: "hashed", Password: conf.Secret(hash)},
		auth.Principal{Username: "hashed-y", Password: conf.Secret("$2y" + string(hash[3:]))},
		auth.Principal{Username: "almost", Password: "$2a$not a hash"},
		auth.Principal{Username: "cert"},
		auth.Principal{Username: "cn", CN: "device"},
		auth.Principal{Username: "serial", SerialNumber: "4711"},
		auth.Principal{Username: "both", CN: "device", SerialNumber: "4711"},
	)
	gate := auth.NewGate(b)
	right, other := certificate("device", 4711), certificate("other", 1)
	for _, c := range []struct {
		user, password string
		cert           *x509.Certificate
		want           bool
	}{
		{"plain", "secret", nil, true},
		{"plain", "secret", right, true}, // a certificate is ignored
		{"plain", "Secret", nil, false},
		{"plain", "secret ", nil, false},
		{"plain", "", nil, false},
		{"plain", "", right, false}, // and does not replace the password
		{"hashed", "secret", nil, true},
		{"hashed-y", "secret", nil, true},
		{"hashed", "Secret", nil, false},
		{"hashed", string(hash), nil, false}, // the hash is not a password
		{"hashed", "", right, false},
		{"almost", "$2a$not a hash", nil, true},
		{"cert", "", right, true},
		{"cert", "", other, true},
		{"cert", "", nil, false},
		{"cert", "x", right, false},
		{"cn", "", right, true},
		{"cn", "", other, false},
		{"serial", "", right, true},
		{"serial", "", other, false},
		{"both", "", right, true},
		{"both", "", certificate("device", 4712), false},
		{"both", "", certificate("devicf", 4711), false},
		{"nobody", "secret", right, false},
	} {
		u, err := gate.Login(t.Context(), auth.Attempt{Username: c.user, Password: c.password, Cert: c.cert})
		name := fmt.Sprintf("%s/%s/%v", c.user, c.password, c.cert != nil)
		if c.want {
			require.NoError(t, err, name)
			require.Equal(t, c.user, u.Name)
		} else {
			require.ErrorIs(t, err, auth.ErrRefused, name)
			require.Nil(t, u)
		}
	}
	for _, user := range []string{"", "x"} {
		_, err = auth.NewGate(book(t)).Login(t.Context(), auth.Attempt{Username: user, Cert: right})
		require.ErrorIs(t, err, auth.ErrRefused)
	}
}

func TestPrincipalsAreChecked(t *testing.T) {
	wrongFilter := []auth.Permission{{Action: "pub", Permit: []string{"a", "a#"}}}
	for want, list := range map[string][]auth.Principal{
		`principals[1].username: "a" stands twice; names must be unique`: {
			{Username: "a"}, {Username: "a"},
		},
		`principals[0]: cn and serialnumber are for principals without password; ` +
			`leave out the password or both of them`: {
			{Username: "a", Password: "p", CN: "x"},
		},
		`principals[0].permissions[0].permit[1]: filter "a#": + and # must fill a whole level`: {
			{Username: "a", Permissions: wrongFilter},
		},
	} {
		_, err := auth.New(list, topic.DefaultLimits)
		require.EqualError(t, err, want)
	}
}

// reference is the matching of the standard, written for clarity, not speed.
func reference(filter, name []string, first bool) bool {
	switch {
	case len(filter) > 0 && filter[0] == "#":
		return !(first && len(name) > 0 && strings.HasPrefix(name[0], "$"))
	case len(filter) == 0 || len(name) == 0:
		return len(filter) == 0 && len(name) == 0
	case filter[0] == "+":
		return !(first && strings.HasPrefix(name[0], "$")) && reference(filter[1:], name[1:], false)
	}
	return filter[0] == name[0] && reference(filter[1:], name[1:], false)
}

func matches(filter, name string) bool {
	return reference(strings.Split(filter, "/"), strings.Split(name, "/"), true)
}

// names are all topics with up to four levels of a few names; no filter contains the name z.
func names() (out []string) {
	level := []string{"a", "b", "", "z", "$SYS"}
	for _, a := range level {
		out = append(out, a) // also the empty one: /# would match it
		for _, b := range level[:4] {
			out = append(out, a+"/"+b)
			for _, c := range level[:4] {
				out = append(out, a+"/"+b+"/"+c)
				for _, d := range level[:4] {
					out = append(out, a+"/"+b+"/"+c+"/"+d)
				}
			}
		}
	}
	return out
}

func filter(r *rand.Rand) string {
	levels := []string{"a", "b", "", "+"}
	var f []string
	for range 1 + r.Intn(3) {
		f = append(f, levels[r.Intn(len(levels))])
	}
	switch r.Intn(8) {
	case 0, 1:
		f = append(f, "#")
	case 2:
		f = []string{"#"}
	case 3:
		f[0] = "$SYS"
	}
	if len(f) == 1 && f[0] == "" {
		return "a"
	}
	if s := strings.Join(f, "/"); s != "$SYS" {
		return s
	}
	return "$SYS/#"
}

// No filter is granted that can bring a topic which no permit covers, and none is refused that one permit covers.
func TestPermissionsAgainstReference(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	all := names()
	under := map[string][]string{} // topics that a filter matches
	of := func(f string) []string {
		if under[f] == nil {
			under[f] = []string{}
			for _, n := range all {
				if matches(f, n) {
					under[f] = append(under[f], n)
				}
			}
		}
		return under[f]
	}
	granted := 0
	for range 1000 {
		var permits []string
		for range 1 + r.Intn(3) {
			permits = append(permits, filter(r))
		}
		b := book(t, auth.Principal{Username: "u", Password: "p", Permissions: []auth.Permission{
			{Action: auth.Publish, Permit: permits}, {Action: auth.Subscribe, Permit: permits},
		}})
		u := b.User("u")
		for range 10 {
			f := filter(r)
			byOne := false // one permit covers the filter
			for _, p := range permits {
				inside := true
				for _, n := range of(f) {
					inside = inside && matches(p, n)
				}
				byOne = byOne || inside
			}
			got := u.MaySubscribe(f)
			if got {
				granted++
			}
			// +/# and # are the same set, but the filter # is granted to the permit # alone.
			if f == "#" && !contains(permits, "#") {
				byOne = false
			}
			require.Equal(t, byOne, got, "permits %q filter %q", permits, f)
			n := all[r.Intn(len(all))]
			allowed := false
			for _, p := range permits {
				allowed = allowed || matches(p, n)
			}
			require.Equal(t, allowed, u.MayPublish(n), "permits %q topic %q", permits, n)
		}
	}
	require.Greater(t, granted, 1000)
}

func contains(list []string, x string) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}

// A permit of one level never permits a filter that matches other levels or more topics.
func TestNoEscalation(t *testing.T) {
	for _, c := range []struct {
		permit, filter string
		want           bool
	}{
		{"a/+", "a/#", false}, {"+", "#", false}, {"+", "+", true},
		{"+/b", "#", false}, {"+/b", "+/+", false}, {"+/b", "+/b", true},
		{"a/#", "a", true}, {"a/#", "a/+", true}, {"a/#", "a/+/#", true}, {"a/#", "+/b", false},
		{"#", "#", true}, {"#", "$SYS/#", false}, {"$SYS/#", "$SYS/broker/+", true},
		{"a", "+", false}, {"a/b", "a/+", false},
	} {
		permissions := []auth.Permission{{Action: "sub", Permit: []string{c.permit}}}
		u := book(t, auth.Principal{Username: "u", Permissions: permissions}).User("u")
		require.Equal(t, c.want, u.MaySubscribe(c.filter), "%s for %s", c.permit, c.filter)
		require.False(t, u.MayPublish("a/b"))
	}
}
