package mqtttest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// Connections of both sides break again and again; what was acknowledged comes, in order, at QoS 2 once. A connection
// ends some time after the broker has answered: mosquitto 2.0 sends a QoS 2 message anew if a connection ends before it
// has sent a PUBREL again. Each QoS has its own clients, since a PUBACK may be lost with the last connection.
func TestPeerOverManyConnections(t *testing.T) {
	const many = 300
	address := strings.TrimPrefix(Mosquitto(t).Address, "tcp://")
	for _, qos := range []packet.QOS{1, 2} {
		var got Numbered
		var acked atomic.Int64
		var known atomic.Bool
		name := fmt.Sprintf("%d", qos)
		to := &Peer{ID: "to" + name, Address: address, Filters: []packet.Subscription{{Topic: "t" + name, QOS: qos}},
			OnMessage: got.Receive}
		from := &Peer{ID: "from" + name, Address: address, Window: 10, OnAck: func(*packet.Message) { acked.Add(1) }}
		ctx, stop := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		visits := func(p *Peer, length time.Duration) {
			for ctx.Err() == nil {
				short, end := context.WithCancel(ctx)
				p.OnReady = func(bool) {
					known.Store(true)
					time.AfterFunc(length, end)
				}
				p.Run(short)
				end()
			}
		}
		wg.Go(func() { visits(to, 20*time.Millisecond) })
		Until(t, "the session is there", known.Load)
		wg.Go(func() { visits(from, 30*time.Millisecond) })
		for n := range many {
			require.NoError(t, from.Publish(ctx, packet.Message{Topic: "t" + name, QOS: qos, Payload: Number(n + 1)}))
		}
		Until(t, "all is acknowledged and has come", func() bool {
			return from.InFlight() == 0 && got.Newest("t"+name) == many
		})
		stop()
		wg.Wait()
		require.EqualValues(t, many, acked.Load())
		require.Empty(t, got.Wrong())
	}
}
