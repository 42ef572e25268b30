package conformance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// spoken runs a hub whose log, at level info, the test reads.
func spoken(t *testing.T, yml string) (*broker, *page) {
	var cfg config.Config
	require.NoError(t, conf.Parse("service.yml", []byte(yml), &cfg))
	cfg.Storage.Dir = t.TempDir()
	out := &page{}
	h, err := hub.Open(cfg, log.NewTo(out, log.Config{}))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	b := &broker{Hub: h, t: t}
	for _, a := range h.Addrs() {
		b.addrs = append(b.addrs, a.String())
	}
	return b, out
}

// said waits for a line with all of these texts.
func said(t *testing.T, out *page, parts ...string) {
	t.Helper()
	eventually(t, "a line with "+strings.Join(parts, ", "), func() bool {
	next:
		for _, line := range strings.Split(out.String(), "\n") {
			for _, x := range parts {
				if !strings.Contains(line, x) {
					continue next
				}
			}
			return true
		}
		return false
	})
}

// What happens to clients is in the log at level info, with client and user.
func TestClientsInTheLog(t *testing.T) {
	t.Parallel()
	b, out := spoken(t, anyone+`
connection: {write: {timeout: 1s}}
session: {queue: {max: 1}, expiry: 1s}
limits: {client: {publish: {rate: 20}}}
message: {length: {max: 1m}, egress: {qos0: {buffer: {size: 8}}}}
`)
	for range 50 {
		b.clean("twice")
	}
	said(t, out, "clientid=twice", "user=test", "another connection has taken over the session")
	require.Equal(t, 1, strings.Count(out.String(), "clientid=twice"))
	require.EqualValues(t, 49, b.stat("connections_taken_over"))

	c := hello("silent", true)
	c.KeepAlive = 1
	b.login(c).end()
	said(t, out, "clientid=silent", "user=test", "nothing came from the client for one and a half times its keep-alive")
	require.EqualValues(t, 1, b.stat("connections_silent"))

	away := b.keep("away")
	away.sub(1, "away")
	away.bye()
	by := b.clean("by")
	for range 3 {
		by.pub("away", "x", 1)
	}
	said(t, out, "clientid=away", "user=test", "1 since its queue is full (session.queue.max)")
	said(t, out, "clientid=away", "user=test", "the session is removed: nobody has used it for")

	fast := b.clean("fast")
	fast.send(flood(0, 30, "")...)
	said(t, out, "clientid=fast", "user=test", "since it publishes faster than its rate")

	slow := b.clean("slow") // reads nothing from here on
	slow.sub(0, "large")
	for i := range 100 {
		p := b.clean(fmt.Sprint("by", i))
		for range 2 {
			p.send(&packet.Publish{Message: message("large", strings.Repeat("x", 900<<10), 0)})
		}
	}
	said(t, out, "clientid=slow", "user=test", "since the client reads too slowly (message.egress.qos0.buffer)")
	said(t, out, "clientid=slow", "user=test", "the client took no byte for connection.write.timeout")
	require.EqualValues(t, 1, b.stat("connections_slow"))
}
