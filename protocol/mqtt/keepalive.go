package mqtt

import (
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// keepAlive sends pings and ends a connection whose peer is silent. It returns when the connection has ended.
func (c *Client) keepAlive() {
	var asked, pinged time.Duration // when the last ping was begun, and when it was written
	for {
		now := c.clock()
		by := c.subackBy()
		if by != 0 && now >= by {
			c.fail(ErrSubAck)
			return
		}
		sent, heard := time.Duration(c.sent.Load()), time.Duration(c.heard.Load())
		ping, dead, wait := keepAliveDue(now, sent, heard, asked, pinged, c.cfg.KeepAlive, c.cfg.Timeout)
		switch {
		case dead:
			c.fail(ErrNoPong)
			return
		case ping:
			select {
			case c.writing <- struct{}{}: // a large packet that is being written may take long
			case <-c.done:
				return
			}
			asked = c.clock()
			err := c.send(packet.NewPingreq())
			<-c.writing
			if err != nil {
				return
			}
			pinged = c.clock()
			continue
		}
		if by != 0 {
			wait = min(wait, by-now)
		}
		t := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-t.C:
		case <-c.done:
			t.Stop()
			return
		}
	}
}

// subackBy is the deadline of SUBACK; 0: none is due. A peer may send what waits for the client first: while it does,
// the deadline moves.
func (c *Client) subackBy() time.Duration {
	by := time.Duration(c.subBy.Load())
	if by != 0 {
		by = max(by, time.Duration(c.bulk.Load())+c.cfg.Timeout)
	}
	return by
}

// keepAliveDue decides what keep-alive demands at now: a ping, the end, or nothing for wait. sent is the time of the
// last packet written, heard of the last byte read, asked of the last ping, pinged of the end of writing it. A
// connection on which nothing comes in is pinged also while this side keeps sending: without that, a busy publisher
// would not notice a half-open connection.
func keepAliveDue(
	now, sent, heard, asked, pinged, interval, timeout time.Duration,
) (ping, dead bool, wait time.Duration) {
	if interval <= 0 {
		return false, false, time.Hour
	}
	interval = max(interval, time.Second)
	if asked > heard { // unanswered
		if left := pinged + min(timeout, interval) - now; left > 0 {
			return false, false, left
		}
		return false, true, 0
	}
	// pinged counts as sent; a peer must hear from us within 1.5 intervals [MQTT-3.1.2-24].
	if left := min(max(sent, pinged), max(heard, pinged)) + interval - now; left > 0 {
		return false, false, left
	}
	return true, false, 0
}
