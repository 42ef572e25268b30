package conformance_test

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// page is a log in memory.
type page struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// Even at level debug the log contains no payload, no will and no password, neither a right nor a wrong one. It names
// clients that are refused, and the reason.
func TestNoSecretsInTheLog(t *testing.T) {
	t.Parallel()
	var cfg config.Config
	require.NoError(t, conf.Parse("service.yml", []byte(anyone+"message: {length: {max: 1k}}"), &cfg))
	cfg.Storage.Dir = t.TempDir()
	var out page
	h, err := hub.Open(cfg, log.NewTo(&out, log.Config{Level: "debug"}))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	b := &broker{Hub: h, t: t, addrs: []string{h.Addrs()[0].String()}}
	const secret = "s3cr3t"
	p := b.keep("p")
	p.sub(2, "t", "r")
	by := b.clean("by")
	for qos := packet.QOS(0); qos <= 2; qos++ {
		by.pub("t", secret, qos)
		p.want("t", secret, qos)
	}
	by.retain("r", secret, 1)
	p.want("r", secret, 1)
	c := hello("refused", true)
	c.Password = secret
	b.refused(c, packet.BadUsernameOrPassword)
	c = hello("will", true)
	c.Will = &packet.Message{Topic: "w", Payload: []byte(secret)}
	b.login(c).close()
	ann := b.login(as("ann", "ann", true))
	require.Equal(t, []packet.QOS{packet.QOSFailure}, ann.trySub(0, "bob/x"))
	ann.send(&packet.Publish{Message: message("bob/x", secret, 0)})
	ann.end()
	by.raw(frame(0x36, str("t"), []byte(secret)))
	by.end()
	big := b.clean("big")
	big.send(&packet.Publish{Message: packet.Message{Topic: "t", Payload: bytes.Repeat([]byte(secret), 1000)}})
	big.end()
	eventually(t, "the ends in the log", func() bool {
		s := out.String()
		return bytes.Contains([]byte(s), []byte("message.length.max")) && bytes.Contains([]byte(s), []byte("not permitted"))
	})
	cancel()
	require.NoError(t, <-ended)
	require.NotContains(t, out.String(), secret)
	require.NotContains(t, out.String(), "hahaha")
	for _, want := range []string{"bob/x", "clientid=ann", "not accepted: wrong password", "listening"} {
		require.Contains(t, out.String(), want)
	}
}
