package conn_test

import (
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/conn"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/topic"
)

func connectAs(user, password string) *packet.Connect {
	return &packet.Connect{ClientID: "c-" + user, CleanSession: true, Username: user, Password: password, Version: 4}
}

func (p *peer) refused(code packet.ConnackCode) {
	p.t.Helper()
	require.Equal(p.t, code, p.recv().(*packet.Connack).ReturnCode)
	p.end()
}

// A refused login is logged with user, client id, address and reason; a few of an address a minute, the others count.
// The answers to further ones wait, those of logins that are right don't.
func TestRefusedLogins(t *testing.T) {
	out := &mqtttest.Output{}
	g := newRig(t, func(o *options) {
		o.conn.Log, o.core.Log = log.NewTo(out, log.Config{}), log.NewTo(out, log.Config{})
		o.conn.LoginDelay = time.Millisecond
	})
	for _, name := range []string{"u", "u", "u", "nobody", strings.Repeat("x", 1000), "u", "u"} {
		p := g.tcp()
		p.send(connectAs(name, "wrong"))
		p.refused(packet.BadUsernameOrPassword)
	}
	require.Equal(t, conn.Logins{Delayed: 3}, g.Logins())
	text := out.String()
	require.Equal(t, 5, strings.Count(text, "login refused"), text)
	require.NotContains(t, text, "connection closed")
	for _, part := range []string{"user=u\n", "clientid=c-u ", `address="127.0.0.1:`, "wrong password",
		"no principal has this name", strings.Repeat("x", 120) + "…"} {
		require.Contains(t, text, part)
	}
	g.tcp().login("c", true)
}

// Close does not wait for the answers to refused logins.
func TestCloseEndsDelays(t *testing.T) {
	g := newRig(t, func(o *options) { o.conn.LoginDelay = time.Hour })
	for range 20 {
		g.tcp().send(connectAs("u", "wrong"))
	}
	eventually(t, "delays", func() bool { return g.Logins().Delayed == 18 })
	g.tcp().login("c", true) // the same user, from the same address
	g.stop()
}

// A hash is checked once for many logins that are right.
func TestLoginWithHash(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("p"), bcrypt.MinCost)
	require.NoError(t, err)
	g := newRig(t)
	users, err := auth.New([]auth.Principal{{Username: "u", Password: conf.Secret(hash),
		Permissions: []auth.Permission{{Action: "pub", Permit: []string{"#"}}}}}, topic.DefaultLimits)
	require.NoError(t, err)
	g.SetUsers(users)
	for range 3 {
		g.tcp().login("c", true)
	}
	p := g.tcp()
	p.send(connectAs("u", "wrong"))
	p.refused(packet.BadUsernameOrPassword)
}

// A CONNECT that names nobody is the question whether a broker is there: hundreds of them are answered at once, stand
// in no log, and delay no other refusal.
func TestProbes(t *testing.T) {
	out := &mqtttest.Output{}
	g := newRig(t, func(o *options) {
		o.conn.Log, o.core.Log = log.NewTo(out, log.Config{}), log.NewTo(out, log.Config{})
		o.conn.LoginDelay = time.Hour
	})
	for range 100 {
		p := g.tcp()
		p.send(&packet.Connect{CleanSession: true, Version: 4, KeepAlive: 60})
		p.refused(packet.BadUsernameOrPassword)
	}
	require.Zero(t, g.Logins())
	require.NotContains(t, out.String(), "refused")
	p := g.tcp()
	p.send(connectAs("u", "wrong"))
	p.refused(packet.BadUsernameOrPassword)
	require.Equal(t, 1, strings.Count(out.String(), "login refused"))
}
