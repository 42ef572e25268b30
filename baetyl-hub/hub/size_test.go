package hub_test

import (
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// The limits of memory may be larger than what an int of 32 bits holds: they are no limits then, and not negative ones.
func TestLimitsAbove32Bits(t *testing.T) {
	addrs := start(t, `
listen: ['tcp://127.0.0.1:0']
metrics: {address: ''}
message:
  egress: {qos0: {buffer: {bytes: 4g}}}
principals:
- {username: all, password: p, permissions: [{action: sub, permit: ['#']}, {action: pub, permit: ['#']}]}
`)
	c, messages := connect(t, "tcp://all:p@"+addrs[0], "all")
	f, err := c.Subscribe("t", 1)
	require.NoError(t, err)
	require.NoError(t, f.Wait(time.Minute))
	for _, qos := range []packet.QOS{0, 1} {
		_, err = c.Publish("t", []byte("x"), qos, false)
		require.NoError(t, err)
		select {
		case m := <-messages:
			require.NotNil(t, m, "the hub has ended the connection")
			require.Equal(t, "x", string(m.Payload))
		case <-time.After(time.Minute):
			t.Fatal("no message")
		}
	}
	require.NoError(t, c.Close())
}
