package mqtttest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// Connections of both sides break again and again; what was acknowledged comes, in order, at QoS 2 once.
func TestPeerOverManyConnections(t *testing.T) {
	const many = 300
	address := strings.TrimPrefix(Mosquitto(t).Address, "tcp://")
	for _, qos := range []packet.QOS{1, 2} {
		var got Numbered
		var acked atomic.Int64
		var known atomic.Bool
		to := &Peer{ID: "to", Address: address, Filters: []packet.Subscription{{Topic: "t", QOS: qos}},
			OnMessage: got.Receive, OnReady: func(bool) { known.Store(true) }}
		from := &Peer{ID: "from", Address: address, Window: 10, OnAck: func(*packet.Message) { acked.Add(1) }}
		ctx, stop := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			for ctx.Err() == nil {
				short, end := context.WithTimeout(ctx, 20*time.Millisecond)
				to.Run(short)
				end()
			}
		})
		Until(t, "the session is there", known.Load)
		wg.Go(func() {
			for ctx.Err() == nil {
				short, end := context.WithTimeout(ctx, 30*time.Millisecond)
				from.Run(short)
				end()
			}
		})
		for n := range many {
			require.NoError(t, from.Publish(ctx, packet.Message{Topic: "t", QOS: qos, Payload: Number(n + 1)}))
		}
		Until(t, "all is acknowledged and has come", func() bool {
			return from.InFlight() == 0 && got.Newest("t") == many
		})
		stop()
		wg.Wait()
		require.EqualValues(t, many, acked.Load())
		require.Empty(t, got.Wrong())
	}
}
