//go:build !race

package hub_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/spec"
)

// This file is not built with -race: gomqtt's client, which the suite uses, has data races.

// TestSpec runs gomqtt's test suite for brokers, over tcp and WebSocket.
func TestSpec(t *testing.T) {
	addrs := start(t, open)
	for i, scheme := range []string{"tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			c := spec.AllFeatures()
			c.URL = fmt.Sprintf("%s://test:hahaha@%s", scheme, addrs[i])
			c.DenyURL = fmt.Sprintf("%s://nobody:hahaha@%s", scheme, addrs[i])
			c.ProcessWait = 500 * time.Millisecond // the suite waits for no answer: a busy machine needs that long
			c.NoMessageWait = 50 * time.Millisecond
			c.MessageRetainWait = 500 * time.Millisecond
			spec.Run(t, c)
		})
	}
}
