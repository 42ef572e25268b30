package conformance_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// answers connects at once with all of these, and returns the users who were accepted, and what is left of them.
func (b *broker) answers(list ...*packet.Connect) (accepted map[string]bool, peers []*peer) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted = map[string]bool{}
	for _, c := range list {
		p := b.dial()
		wg.Go(func() {
			p.send(c)
			x, err := p.read()
			ack, ok := x.(*packet.Connack)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && ok && ack.ReturnCode == packet.ConnectionAccepted {
				accepted[c.Username] = true
				peers = append(peers, p)
			}
		})
	}
	wg.Wait()
	return accepted, peers
}

// Many connections of two users want one client id at once, kept or not: one user gets it, and only that one. The
// longest ids that there are, ids that look like the hub's own and ids that look alike are ids like others.
func TestUsersClaimOneClientID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	long := fmt.Sprintf("%0128d", 0)
	owners := map[string]string{}
	alike := []string{"a", "A", "\u0430", "e\u0301", "\u00e9"}
	for _, id := range append(alike, "1", "$SYS", "#", "%u", long, long[1:]+"1", " ", "") {
		var list []*packet.Connect
		for k := range 16 {
			list = append(list, as([]string{"ann", "bob"}[k%2], id, id == ""))
		}
		accepted, peers := b.answers(list...)
		if id == "" { // each is another one
			require.Len(t, peers, 16)
			continue
		}
		require.Len(t, accepted, 1, "%q: %v", id, accepted)
		for user := range accepted {
			owners[id] = user
		}
		for _, p := range peers {
			p.close()
		}
	}
	require.Len(t, owners, 12)
	for range 2 {
		for id, owner := range owners {
			for _, user := range []string{"ann", "bob"} {
				c := as(user, id, false)
				if user != owner {
					b.refused(c, packet.IdentifierRejected)
					continue
				}
				p, present := b.session(c)
				require.True(t, present, "%q", id)
				p.close()
			}
		}
		b.stop()
		b = startIn(t, dir, anyone)
	}
}

// While clients come and take over from each other, a reload reserves their id for another user: when it has returned,
// no connection is left, none is accepted any more, and the new owner gets in.
func TestReloadWhileClientsTakeOver(t *testing.T) {
	t.Parallel()
	free := [2]string{"free", everything}
	open := people(free, [2]string{"dev1", everything})
	reserved := people(free, [2]string{"dev1", "clientids: ['%u'], " + everything})
	b := start(t, open)
	for round := range 10 {
		var wg sync.WaitGroup
		var list []*packet.Connect
		for i := range 12 {
			list = append(list, as("free", "dev1", (i+round)%3 == 0))
		}
		var peers []*peer
		wg.Go(func() { _, peers = b.answers(list...) })
		b.reload(reserved)
		b.refused(as("free", "dev1", false), packet.IdentifierRejected)
		wg.Wait()
		for _, p := range peers {
			p.end()
		}
		_, present := b.session(as("dev1", "dev1", true))
		require.False(t, present)
		b.reload(open)
		eventually(t, "the end of the connection", func() bool { return b.stat("connections") == 0 })
	}
}
