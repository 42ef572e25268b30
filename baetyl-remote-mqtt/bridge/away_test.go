package bridge_test

import (
	"net"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/config"
	"github.com/baetyl/baetyl/internal/mqtttest"
)

// C3: a far side that is away holds up neither the connection to the hub, nor another rule, nor, when it is back,
// anything.
func TestRemoteThatIsAway(t *testing.T) {
	near, far, other := mqtttest.Mosquitto(t), mqtttest.Mosquitto(t), mqtttest.Mosquitto(t)
	l := link(near.Address, far.Address, "up", "down")
	l.Near.KeepAlive = 3 * time.Second // a busy machine may be silent for one
	b := start(t, l, letters(t), 5)
	b.connected(t)
	l2 := link(near.Address, other.Address, "up", "down2")
	l2.Near.ClientID = "second"
	b2 := start(t, l2, letters(t), 5)
	b2.connected(t)
	atFar, atOther := subscribe(t, far.Address, "up"), subscribe(t, other.Address, "up")
	far.Stop()
	mqtttest.Until(t, "the outage is noticed", func() bool { return b.Stats().Far.Since.IsZero() })
	began := b.Stats().Hub.Since
	want := numbers(0, 500)
	publish(t, client(t, near.Address), "up", 1, want...)
	mqtttest.Until(t, "the other rule passes all on", func() bool { return len(atOther.payloads()) >= 500 })
	require.Less(t, b.Stats().Up.Queue, 100)
	mqtttest.Until(t, "more than two keep-alives pass", func() bool { return time.Since(began) > 8*time.Second })
	require.Equal(t, began, b.Stats().Hub.Since, "the connection to the hub lives on")
	near.Stop() // and now both are away
	mqtttest.Until(t, "that is noticed", func() bool { return b.Stats().Hub.Since.IsZero() })
	near.Start()
	far.Start()
	mqtttest.Until(
		t,
		"everything came",
		func() bool { absent, _ := missing(atFar.payloads(), want); return len(absent) == 0 },
	)
	_, twice := missing(atFar.payloads(), want)
	require.LessOrEqual(t, twice, 100, "copies of what was in flight, nothing else")
}

// C3: both sides go and come while both directions are full.
func TestBothSidesComeAndGo(t *testing.T) {
	near, far := mqtttest.Mosquitto(t), mqtttest.Mosquitto(t)
	b := start(t, link(near.Address, far.Address, "up", "down"), letters(t), 5)
	b.connected(t)
	atFar, atNear := subscribe(t, far.Address, "up"), subscribe(t, near.Address, "down")
	toNear, toFar := client(t, near.Address), client(t, far.Address)
	want := numbers(0, 1500)
	for round := range 3 {
		part := want[round*500 : round*500+500]
		near.Stop()
		publish(t, toFar, "down", 1, part...)
		mqtttest.Until(t, "the way down is full", func() bool { return b.Stats().Down.Queue > 10 })
		far.Stop()
		near.Start()
		publish(t, toNear, "up", 1, part...)
		mqtttest.Until(t, "the way up is full", func() bool { return b.Stats().Up.Queue > 10 })
		near.Stop()
		far.Start()
		near.Start()
	}
	mqtttest.Until(t, "everything came, both ways", func() bool {
		up, _ := missing(atFar.payloads(), want)
		down, _ := missing(atNear.payloads(), want)
		return len(up)+len(down) == 0
	})
}

// A shorter outage than that of `make outage`: what the hub kept comes when the far side is back.
func TestOutage(t *testing.T) {
	near, far := mqtttest.Mosquitto(t), mqtttest.Mosquitto(t)
	b := start(t, link(near.Address, far.Address, "up", ""), letters(t), 5)
	b.connected(t)
	at := subscribe(t, far.Address, "up")
	far.Stop()
	const n = 20000
	want := numbers(0, n)
	publish(t, client(t, near.Address), "up", 1, want...)
	far.Start()
	began := time.Now()
	mqtttest.Until(t, "everything came", func() bool { return len(at.payloads()) >= n })
	t.Logf("%d messages in %v", n, time.Since(began))
	absent, twice := missing(at.payloads(), want)
	require.Empty(t, absent)
	require.Zero(t, twice)
}

// A bridge whose sides are both away, or hang, ends all the same.
func TestEndsWhateverTheSidesDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	require.NoError(t, err)
	defer l.Close()
	near, far := mqtttest.Mosquitto(t), mqtttest.NewFake(t)
	far.Judge(func(*packet.Publish) mqtttest.Outcome { return mqtttest.Mute })
	for _, c := range []config.Link{
		link("tcp://127.0.0.1:1", "tcp://127.0.0.1:1", "up", "down"),
		link("tcp://"+l.Addr().String(), "tcp://"+l.Addr().String(), "up", "down"),
		link(near.Address, far.Address, "up", ""),
	} {
		b := start(t, c, letters(t), 5)
		if c.Near.Address == near.Address {
			b.connected(t)
			publish(t, client(t, near.Address), "up", 1, numbers(0, 200)...)
			mqtttest.Until(t, "the queue is full", func() bool { return b.Stats().Up.Queue > 10 })
		}
		began := time.Now()
		b.stop()
		require.Less(t, time.Since(began), 25*time.Second, "%s %s", c.Near.Address, c.Far.Address)
	}
}
