package core

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// endWill publishes the will of a connection that has ended [MQTT-3.1.2-8], or deletes it after DISCONNECT
// [MQTT-3.1.2-10]. When the hub stops, the will stays in the store: it is published after the next start if the client
// does not connect again in time.
func (c *Core) endWill(client string, m *record.Message, disconnected bool) {
	switch {
	case m == nil || c.stopping:
	case disconnected:
		c.deleteWill(client)
	default:
		c.publishWill(client, m, true)
	}
}

// publishWill publishes a will. If recorded is set it is also the client's will in the store, which is removed with it.
func (c *Core) publishWill(client string, m *record.Message, recorded bool) {
	x := c.publication(m, c.match(m.Topic, 0))
	x.owner = client
	if recorded {
		x.will = client
	}
	c.submit(x, true)
}

// deleteWill removes the will of a client from the store.
func (c *Core) deleteWill(client string) {
	c.later(func(b *record.Batch) { b.DeleteWill(client) }, func(err error) {
		if err != nil { // after a restart it would be published
			c.timers.add(c.now.Add(oweAgain), func() {
				if c.ownsStored(client) {
					c.deleteWill(client)
				}
			})
		}
	})
}

// oweAgain is the time after which a will is published or deleted again that could not be.
const oweAgain = time.Second

// owe keeps a will that could not be stored, and tries again: one for each client, the newest.
func (c *Core) owe(client string, m *record.Message) {
	if len(c.owed) == 0 {
		c.timers.add(c.now.Add(oweAgain), c.pay)
	}
	c.owed[client] = *m
}

// pay publishes the wills that could not be stored.
func (c *Core) pay() {
	owed := c.owed
	c.owed = map[string]record.Message{}
	for _, client := range slices.Sorted(maps.Keys(owed)) {
		m := owed[client]
		c.publishWill(client, &m, c.ownsStored(client))
	}
}

// ownsStored tells whether the stored will of a client is that of an earlier connection.
func (c *Core) ownsStored(client string) bool {
	_, changing := c.changing[client]
	s := c.sessions[client]
	return !changing && (s == nil || s.client == nil || s.client.will == nil)
}

// LoadWill adds the will of a client that was connected when the hub ended last time. New clients without id get higher
// keys than the old ones, so that they do not delete each other's wills.
func (c *Core) LoadWill(client string, m record.Message) {
	c.wills[client] = m
	if number, ok := strings.CutPrefix(client, anonymous); ok {
		if n, err := strconv.ParseUint(number, 10, 64); err == nil {
			c.anonymous = max(c.anonymous, n)
		}
	}
}

// Loaded ends the start: Options.WillDelay later the wills are published of clients that were connected when the hub
// ended last time and have not come back.
func (c *Core) Loaded() {
	c.timers.add(c.now.Add(c.o.WillDelay), func() {
		wills := c.wills
		c.wills = nil
		for _, client := range slices.Sorted(maps.Keys(wills)) {
			m := wills[client]
			c.publishWill(client, &m, true)
		}
	})
}

// putBack undoes that a client has come back: its CONNECT could not be stored.
func (c *Core) putBack(client string, m *record.Message) {
	if c.wills != nil {
		c.wills[client] = *m
	} else {
		c.publishWill(client, m, true)
	}
}
