package conn_test

import (
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// A client that says DISCONNECT, closes the connection and is back at once leaves no will, also when the hub has not
// got to its DISCONNECT yet.
func TestNoWillOfAClientThatIsBackAtOnce(t *testing.T) {
	for range 20 {
		g := newRig(t)
		watcher := g.tcp().login("watcher", true).sub("w", 0)
		release := g.store.hold()
		p := g.tcp()
		x := connectAs("u", "p")
		x.ClientID, x.Will = "a", &packet.Message{Topic: "w", Payload: []byte("gone")}
		p.send(x)
		g.storing()
		release()
		p.expect(&packet.Connack{})
		release = g.store.hold()
		m := publish(1, []byte("x"), 1)
		m.Message.Retain = true
		p.send(m) // its reader stores it
		g.storing()
		p.send(packet.NewDisconnect())
		require.NoError(t, p.conn.Close())
		again := g.tcp()
		x.Will = nil
		again.send(x)
		go func() {
			defer release()
			for end := time.Now().Add(100 * time.Millisecond); g.Stats().TakenOver == 0 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
		}()
		again.expect(&packet.Connack{})
		m.Message.Topic, m.Message.Payload = "w", []byte("back")
		again.send(m)
		for {
			if m, ok := watcher.recv().(*packet.Publish); ok {
				require.Equal(t, "back", string(m.Message.Payload))
				break
			}
		}
		g.stop()
	}
}
