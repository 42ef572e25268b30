package conn_test

import (
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// The connections of one user wait for each other, those of another one do not wait for them.
func TestUsersHaveQueues(t *testing.T) {
	g := newRig(t)
	one, other := g.tcp().login("one", true), g.tcp().loginAs("v", "other", true)
	busy := g.QueueOf("u")
	busy.Lock()
	one.send(packet.NewPingreq())
	late := g.tcp()
	late.send(&packet.Connect{ClientID: "late", CleanSession: true, Username: "u", Password: "p", Version: 4})
	for range 100 {
		other.send(packet.NewPingreq())
		other.expect(packet.NewPingresp())
	}
	g.tcp().loginAs("v", "new", true)
	require.Equal(t, 3, connected(g), "a connection of a user went past another one")
	busy.Unlock()
	one.expect(packet.NewPingresp())
	require.Zero(t, late.recv().(*packet.Connack).ReturnCode)
}

// connected is how many clients have a session.
func connected(g *rig) int { return g.Stats().Sessions }
