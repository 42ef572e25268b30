package conformance_test

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/utils/conf"
)

// matches is the matching of the standard, written for clarity, not speed.
func matches(filter, name string) bool {
	f, n := strings.Split(filter, "/"), strings.Split(name, "/")
	for i, level := range f {
		switch {
		case level == "#":
			return true
		case i == len(n):
			return false
		case level != "+" && level != n[i]:
			return false
		}
	}
	return len(f) == len(n)
}

// within tells whether one of the permits matches every topic of world that the filter matches.
func within(permits []string, filter string, world []string) bool {
	for _, p := range permits {
		inside := true
		for _, n := range world {
			inside = inside && (!matches(filter, n) || matches(p, n))
		}
		if inside && (filter != "#" || p == "#") { // # is granted to # alone
			return true
		}
	}
	return false
}

// Random permits, random filters, all topics of three names: no client gets a message, live or retained, that none of
// its permits covers, and each client gets all messages that its granted filters match.
func TestPermissionsThroughTheHub(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewSource(4))
	levels := []string{"a", "b", "z"}
	var world []string // z is in no filter: it stands for all other names
	for _, x := range levels {
		world = append(world, x)
		for _, y := range levels {
			world = append(world, x+"/"+y)
			for _, z := range levels {
				world = append(world, x+"/"+y+"/"+z)
			}
		}
	}
	filter := func() string {
		var f []string
		for range 1 + r.Intn(3) {
			f = append(f, []string{"a", "b", "+"}[r.Intn(3)])
		}
		if r.Intn(4) == 0 {
			f[len(f)-1] = "#"
		}
		return strings.Join(f, "/")
	}
	const users = 25
	var permits [users][]string
	yml := anyone
	for i := range users {
		for range 1 + r.Intn(3) {
			permits[i] = append(permits[i], filter())
		}
		yml += fmt.Sprintf("- username: u%d\n  password: u%d\n  permissions: [{action: sub, permit: ['%s']}]\n",
			i, i, strings.Join(permits[i], "', '"))
	}
	b := start(t, yml)
	by := b.clean("by")
	for i, n := range world {
		by.retain(n, "old", packet.QOS(i%3))
	}
	var peers [users]*peer
	var wanted [users]map[string]bool // topics of granted filters
	refused := 0
	for i := range users {
		peers[i] = b.login(as(fmt.Sprint("u", i), fmt.Sprint("u", i), i%2 == 0))
		wanted[i] = map[string]bool{}
		for range 6 {
			s := &packet.Subscribe{ID: 1}
			old := map[string]bool{}
			var codes []packet.QOS
			for range 1 + r.Intn(3) {
				f, code := filter(), packet.QOS(r.Intn(2))
				s.Subscriptions = append(s.Subscriptions, packet.Subscription{Topic: f, QOS: code})
				if !within(permits[i], f, world) {
					code = packet.QOSFailure
					refused++
				}
				codes = append(codes, code)
				for _, n := range world {
					if code != packet.QOSFailure && matches(f, n) {
						old[n], wanted[i][n] = true, true
					}
				}
			}
			peers[i].send(s)
			want := &packet.Suback{ID: 1, ReturnCodes: codes}
			require.Equal(t, want.String(), peers[i].recv().String(), "permits %q: %s", permits[i], s)
			for range len(old) {
				m := peers[i].take()
				require.True(t, m.Message.Retain)
				require.True(t, old[m.Message.Topic], "permits %q: %s brought %s", permits[i], s, m)
				delete(old, m.Message.Topic)
			}
			peers[i].settle()
		}
	}
	require.Greater(t, refused, 50)
	for i, n := range world {
		by.pub(n, "new", packet.QOS(i%3))
	}
	for i := range users {
		for range len(wanted[i]) {
			m := peers[i].take()
			require.True(t, wanted[i][m.Message.Topic], "permits %q brought %s", permits[i], m)
			delete(wanted[i], m.Message.Topic)
		}
		peers[i].settle()
	}
}

// A refused filter brings no retained message, for whatever reason it is refused.
func TestRefusedFilterBringsNothing(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"session: {subscriptions: {max: 2}}")
	by := b.clean("by")
	by.retain("secret/x", "m", 1)
	by.retain("ann/x", "mine", 0)
	for _, clean := range []bool{true, false} {
		ann := b.login(as("ann", "ann", clean))
		for _, f := range []string{"secret/x", "#", "+/x", "secret/#", "$share/g/secret/x", "ann/#"} {
			require.Equal(t, []packet.QOS{packet.QOSFailure}, ann.trySub(1, f))
			ann.quiet()
		}
		ann.sub(1, "shared", "any/open")
		require.Equal(t, []packet.QOS{packet.QOSFailure}, ann.trySub(1, "ann/x")) // one too many
		ann.quiet()
		by.pub("secret/x", "live", 1)
		by.pub("ann/x", "live", 1)
		ann.fence(by, "shared")
		ann.bye()
	}
}

// The permit # does not cover topics below $SYS.
func TestPermissionForSys(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+`
- username: all
  password: all
  permissions: [{action: sub, permit: ['#']}]
`)
	require.Equal(t, []packet.QOS{packet.QOSFailure, packet.QOSFailure},
		b.login(as("all", "all", true)).trySub(0, "$SYS/#", "$SYS/broker/uptime"))
	require.Equal(t, []packet.QOS{0}, b.clean("p").trySub(0, "$SYS/never/there"))
}

func TestHashedPassword(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("hidden"), bcrypt.MinCost)
	require.NoError(t, err)
	b := start(t, anyone+fmt.Sprintf(`
- username: hidden
  password: '%s'
  permissions: [{action: pub, permit: [x]}]
`, hash))
	b.login(as("hidden", "x", true)).pub("x", "m", 1)
	c := as("hidden", "x", true)
	c.Password = string(hash)
	b.refused(c, packet.BadUsernameOrPassword)
	c.Password = ""
	b.refused(c, packet.BadUsernameOrPassword)
}

// A permission that a reload removes is gone at once, also for a session whose client is not connected, and for a route
// that a publisher remembers.
func TestReloadTakesPermissionsAway(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	away, here := b.login(as("ann", "away", false)), b.login(as("ann", "here", false))
	away.sub(1, "ann/x", "shared")
	here.sub(1, "ann/x", "shared")
	away.close()
	eventually(t, "the end of the connection", func() bool { return b.stat("connections") == 2 })
	var cfg config.Config
	less := strings.Replace(anyone, "'ann/+', '+/open', 'shared'", "'shared'", 1)
	require.NoError(t, conf.Parse("service.yml", []byte(less), &cfg))
	require.NoError(t, b.Reload(cfg))
	here.end()
	by.pub("ann/x", "secret", 1)
	by.pub("shared", "m", 1)
	for _, id := range []string{"away", "here"} {
		p := b.login(as("ann", id, false))
		p.want("shared", "m", 1)
		require.Equal(t, []packet.QOS{packet.QOSFailure}, p.trySub(1, "ann/x"))
		p.quiet()
	}
}
