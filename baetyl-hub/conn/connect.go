package conn

import (
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// decodeConnect decodes the first packet of a connection. gomqtt treats an unknown protocol level and an empty client
// id as malformed. The standard requires an answer to them, so they are checked first. It changes frame. A bridge may
// say so in the level: then Version has core.BridgeBit.
func decodeConnect(frame []byte) (*packet.Connect, error) {
	if packet.Type(frame[0]>>4) != packet.CONNECT {
		return nil, fmt.Errorf("%w: first packet is not CONNECT", core.ErrMalformed) // [MQTT-3.1.0-1]
	}
	_, size := binary.Uvarint(frame[1:])
	body := frame[1+size:]
	if len(body) < 2 || len(body) < 2+int(binary.BigEndian.Uint16(body))+4 {
		return nil, core.ErrMalformed
	}
	name := string(body[2 : 2+binary.BigEndian.Uint16(body)])
	rest := body[2+len(name):]
	bridge := rest[0]&core.BridgeBit != 0
	rest[0] &^= core.BridgeBit
	level, flags := rest[0], rest[1]
	switch {
	case name == "MQTT" && level == 4, name == "MQIsdp" && level == 3:
	case name == "MQTT" || name == "MQIsdp":
		text := fmt.Sprintf("protocol level %d is not supported", level)
		return nil, core.Refusal{Code: packet.InvalidProtocolVersion, Text: text} // [MQTT-3.1.2-2]
	default:
		return nil, fmt.Errorf("%w: protocol name %q", core.ErrMalformed, name) // [MQTT-3.1.2-1]
	}
	if id := rest[4:]; len(id) >= 2 && binary.BigEndian.Uint16(id) == 0 && flags&2 == 0 {
		const text = "an empty client id needs a clean session"
		return nil, core.Refusal{Code: packet.IdentifierRejected, Text: text} // [MQTT-3.1.3-8]
	}
	p := packet.NewConnect()
	n, err := p.Decode(frame)
	if err != nil {
		return nil, err
	}
	if n != len(frame) {
		return nil, core.ErrMalformed
	}
	if bridge {
		p.Version |= core.BridgeBit
	}
	if !utf8.ValidString(p.ClientID) || !utf8.ValidString(p.Username) {
		return nil, fmt.Errorf("%w: client id or user name is not UTF-8", core.ErrMalformed) // [MQTT-1.5.3-1]
	}
	return p, nil
}

// errCrowded ends a connection before its login.
var errCrowded = errors.New("the connections that are not logged in have no more memory (limits.queued.memory)")

// mostFree is the size in bytes up to which a CONNECT needs nothing of what all share: see core, Expect.
const mostFree = budget.Allowance / 2

// expect takes memory for a CONNECT, or what comes with it, of n bytes. Not ok: there is none.
func (c *connection) expect(n int) (ok bool) {
	if n <= max(mostFree, c.expected) {
		return true
	}
	c.expected = n
	c.s.Do(func(k *core.Core) { ok = k.Expect(c.client, n) })
	return ok
}

// connect handles the first packet. The core answers it.
func (c *connection) connect(cert *x509.Certificate) error {
	s := c.s
	_ = c.conn.SetReadDeadline(time.Now().Add(s.o.ConnectTimeout))
	var frame []byte
	for frame == nil {
		if size, err := c.in.size(); err == nil && !c.expect(size) {
			return errCrowded
		}
		if err := c.in.read(c.conn); err != nil {
			return fmt.Errorf("wait for CONNECT: %w", err)
		}
		var err error
		if frame, err = c.in.frame(); err != nil {
			return err
		}
	}
	p, user, err := c.login(frame, cert)
	refusal := new(core.Refusal)
	switch {
	case errors.As(err, refusal):
		s.Do(func(k *core.Core) { k.Refuse(c.client, *refusal) })
	case err != nil:
		return fmt.Errorf("refuse CONNECT: %w", err)
	default:
		s.letGo(p.ClientID)
		c.keepAlive = time.Duration(p.KeepAlive) * time.Second * 3 / 2
		c.queue = s.queueOf(user.Name)
		c.queue.Lock()
		defer c.queue.Unlock()
		began, shared := time.Now(), false
		s.Do(func(k *core.Core) {
			shared = s.shared(c.queue)
			k.Connect(c.client, p, user)
		})
		c.queue.work(time.Since(began), shared)
	}
	return nil
}
