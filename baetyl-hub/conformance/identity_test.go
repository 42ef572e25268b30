package conformance_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/utils/conf"
)

// people is a configuration with users whose password is their name; rights are their further keys.
func people(rights ...[2]string) string {
	yml := "metrics: {address: ''}\nlisten: ['tcp://127.0.0.1:0']\nsession: {will: {delay: 1s}}\nprincipals:\n"
	for _, x := range rights {
		yml += fmt.Sprintf("- {username: '%s', password: '%s', %s}\n", x[0], x[0], x[1])
	}
	return yml
}

const everything = "permissions: [{action: pub, permit: ['#']}, {action: sub, permit: ['#']}]"

func (b *broker) reload(yml string) {
	b.t.Helper()
	var cfg config.Config
	require.NoError(b.t, conf.Parse("service.yml", []byte(yml), &cfg))
	require.NoError(b.t, b.Reload(cfg))
}

// Client ids that principals[].clientids reserve are refused to others, before their owner has ever been there too, and
// a user with such patterns gets no other ids. Clients without id go on.
func TestReservedClientIDs(t *testing.T) {
	t.Parallel()
	b := start(t, people([2]string{"cloud", "clientids: [cloud, 'cloud-*'], " + everything},
		[2]string{"dev1", "clientids: ['%u', '%u/*'], " + everything},
		[2]string{"dev2", "clientids: ['%u'], " + everything}, [2]string{"free", everything}))
	for _, x := range []struct {
		user, id string
		ok       bool
	}{
		{"cloud", "cloud", true}, {"cloud", "cloud-2", true}, {"cloud", "dev1", false}, {"cloud", "free", false},
		{"cloud", "", true}, {"dev1", "dev1", true}, {"dev1", "dev1/x", true}, {"dev1", "dev2", false},
		{"dev1", "cloud", false}, {"dev1", "", true}, {"dev2", "dev1/y", false}, {"dev2", "Dev2", false},
		{"free", "cloud", false}, {"free", "cloud-3", false}, {"free", "dev1", false}, {"free", "dev2", false},
		{"free", "CLOUD", true}, {"free", "free", true}, {"free", "", true},
	} {
		refused := b.stat("clientids_refused")
		for _, clean := range []bool{true, false} {
			c := as(x.user, x.id, clean || x.id == "")
			if x.ok {
				b.login(c).bye()
			} else {
				b.refused(c, packet.IdentifierRejected)
				refused++
			}
		}
		require.Equal(t, refused, b.stat("clientids_refused"))
	}
}

// A reload that reserves a client id closes who uses it, and the session that this one kept gives way, unread, to the
// user for whom it is reserved: nobody can occupy the id of a device. It does not give way to others.
func TestReloadReservesClientIDs(t *testing.T) {
	t.Parallel()
	free := [2]string{"free", everything}
	other := [2]string{"other", everything}
	dir := t.TempDir()
	open := people(free, other, [2]string{"dev1", everything})
	reserved := people(free, other, [2]string{"dev1", "clientids: ['%u'], " + everything})
	b := startIn(t, dir, open)
	p := b.login(as("free", "dev1", false))
	p.sub(1, "secret")
	stays := b.login(as("free", "x", true))
	b.refused(as("dev1", "dev1", false), packet.IdentifierRejected)
	b.reload(reserved)
	p.end()
	stays.quiet()
	b.login(as("other", "by", true)).pub("secret", "m", 1)
	b.refused(as("other", "dev1", true), packet.IdentifierRejected)
	b.refused(as("free", "dev1", false), packet.IdentifierRejected)
	b.stop()
	b = startIn(t, dir, reserved)
	p, present := b.session(as("dev1", "dev1", false))
	require.False(t, present)
	b.login(as("other", "by", true)).pub("secret", "m", 1)
	p.quiet()
	b.reload(open)
	p.end() // its rights have changed
	b.refused(as("free", "dev1", false), packet.IdentifierRejected)
	b.login(as("dev1", "dev1", false)).quiet()
}

// A permit with %u or %c holds for the topics of one user or client, also after a reload and for kept sessions.
func TestPermitsWithNames(t *testing.T) {
	t.Parallel()
	own := "permissions: [{action: pub, permit: ['d/%u/#', 'up/%u/%c']}, {action: sub, permit: ['d/%u/#', 'to/%c']}]"
	root := [2]string{"root", everything}
	yml := people(root, [2]string{"ann", own}, [2]string{"bob", own}, [2]string{"#", own}, [2]string{"+", own})
	dir := t.TempDir()
	b := startIn(t, dir, yml)
	watch := b.login(as("root", "watch", true))
	watch.sub(0, "#")
	for _, user := range []string{"ann", "bob"} {
		p := b.login(as(user, "c", user == "bob"))
		require.Equal(t, []packet.QOS{1, 1, 0x80, 0x80, 0x80, 0x80, 0x80},
			p.trySub(1, "d/"+user+"/x", "to/c", "to/d", "to/+", "d/+/x", "d/#", "d/%u/x"))
		p.pub("up/"+user+"/c", "m", 1)
		watch.want("up/"+user+"/c", "m", 0)
		p.send(&packet.Publish{Message: packet.Message{Topic: "up/" + user + "/d"}})
		p.end()
		if user == "ann" {
			b.refused(as("bob", "c", true), packet.IdentifierRejected)
			b.login(as("ann", "c", true)).bye()
			eventually(t, "the session's end", func() bool { return b.stat("sessions") == 1 })
		}
	}
	for _, user := range []string{"#", "+"} {
		p := b.login(as(user, "to", true))
		require.Equal(t, []packet.QOS{0x80, 0x80, 0x80, 0x80, 0}, p.trySub(0, "d/x", "d/"+user, "d/#", "d/+/x", "to/to"))
		p.send(&packet.Publish{Message: packet.Message{Topic: "d/x/y"}})
		p.end()
	}
	for _, id := range []string{"#", "+", "$SYS", "a/b", ""} {
		p := b.login(as("ann", id, true))
		require.Equal(t, []packet.QOS{0x80, 0x80, 0x80, 0x80}, p.trySub(0, "to/x", "to/"+id, "to/#", "to/+"))
		p.close()
	}
	p := b.login(as("ann", "kept", false))
	p.sub(1, "to/kept", "d/ann/x")
	p.close()
	less := "permissions: [{action: sub, permit: ['to/%c']}]"
	for restart := range 2 {
		if restart == 0 {
			b.reload(strings.Replace(yml, own, less, 2))
		} else {
			b.stop()
			b = startIn(t, dir, strings.Replace(yml, own, less, 2))
		}
		by := b.login(as("root", "by", true))
		by.pub("to/kept", "m", 1)
		by.pub("d/ann/x", "m", 1)
		p = b.login(as("ann", "kept", false))
		p.want("to/kept", "m", 1)
		p.quiet()
		p.close()
	}
}

// A will is published only if its user may do so when it is published: after a reload and after a restart. Nobody else
// voids it, with whatever client id, and with none.
func TestWillsBelongToUsers(t *testing.T) {
	t.Parallel()
	root, bob := [2]string{"root", everything}, [2]string{"bob", everything}
	ann := [2]string{"ann", everything}
	less := [2]string{"ann", "permissions: [{action: pub, permit: [x]}]"}
	die := func(id string, clean bool) *packet.Connect {
		c := as("ann", id, clean)
		c.Will = &packet.Message{Topic: "w", Payload: []byte("of ann"), QOS: 1}
		return c
	}
	for i, after := range [][][2]string{{root, bob, ann}, {root, bob, less}, {root, bob}} {
		for _, clean := range []bool{true, false} {
			dir := t.TempDir()
			b := startIn(t, dir, people(root, bob, ann))
			watch := b.login(as("root", "watch", false))
			watch.sub(1, "w", "f")
			p := b.login(die("a", clean))
			b.refused(as("bob", "a", true), packet.IdentifierRejected) // it changes nothing
			b.reload(people(after...))
			if i == 0 {
				p.quiet()
				p.close()
				watch.want("w", "of ann", 1)
				p = b.login(die("a", clean))
			} else {
				p.end()
				watch.fence(b.login(as("root", "by", true)), "f")
				b.reload(people(root, bob, ann))
				p = b.login(die("a", clean))
			}
			b.stop()
			p.end()
			b = startIn(t, dir, people(after...))
			if clean {
				b.login(as("bob", "a", true)).bye()
			} else {
				b.refused(as("bob", "a", true), packet.IdentifierRejected)
			}
			watch = b.login(as("root", "watch", false))
			if i == 0 {
				watch.want("w", "of ann", 1)
			} else {
				eventually(t, "the will's end", func() bool { return b.stat("forbidden") == 1 })
			}
			watch.fence(b.login(as("root", "by", true)), "f")
			watch.quiet() // what it has acknowledged has arrived
			b.stop()
			b = startIn(t, dir, people(root, bob, ann)) // each once
			watch = b.login(as("root", "watch", false))
			other := as("root", "last", true)
			other.Will = &packet.Message{Topic: "w", Payload: []byte("last"), QOS: 1}
			b.login(other).close()
			watch.want("w", "last", 1)
			watch.quiet()
		}
	}
}
