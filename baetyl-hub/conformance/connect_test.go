package conformance_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

const (
	cleanFlag = 0x02
	willFlag  = 0x04
	auth      = 0xc0 // user name and password
)

func TestConnectRefusedWithCode(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	user, pass, id := str("test"), str("hahaha"), str("x")
	const login, will = cleanFlag | auth, cleanFlag | auth | willFlag
	connect := func(flags byte, fields ...[]byte) []byte { return connectBytes("MQTT", 4, flags, fields...) }
	for code, list := range map[packet.ConnackCode]map[string][]byte{
		packet.InvalidProtocolVersion: {
			"level 5":                 connectBytes("MQTT", 5, login, id, user, pass),
			"bridge of level 5":       connectBytes("MQTT", 0x85, login, id, user, pass),
			"level 0":                 connectBytes("MQTT", 0, login, id, user, pass),
			"level of the other name": connectBytes("MQTT", 3, login, id, user, pass),
			"3.1 name with level 4":   connectBytes("MQIsdp", 4, login, id, user, pass),
		},
		packet.IdentifierRejected: {
			"empty id, kept session": connect(auth, str(""), user, pass),
			"id with U+0000":         connect(login, str("a\x00"), user, pass),
			"id of 129 characters":   connect(login, str(strings.Repeat("a", 129)), user, pass),
		},
		packet.BadUsernameOrPassword: {
			"no user name":              connect(cleanFlag, id),
			"empty user name":           connect(login, id, str(""), pass),
			"unknown user":              connect(login, id, str("tess"), pass),
			"user name that has U+0000": connect(login, id, str("test\x00"), pass),
			"wrong password":            connect(login, id, user, str("hahah")),
			"empty password":            connect(login, id, user, str("")),
			"no password":               connect(cleanFlag|0x80, id, user),
			"password before the id":    connect(login, str("a/b"), user, str("no")),
		},
		packet.NotAuthorized: {
			"user without permissions": connect(login, id, str("nobody"), pass),
			"will topic not permitted": connect(will, id, str("bob/w"), str("m"), str("ann"), str("ann")),
			"will topic with wildcard": connect(will, id, str("a/#"), str("m"), user, pass),
			"will topic of the server": connect(will, id, str("$SYS/x"), str("m"), user, pass),
			"will topic of ten levels": connect(will, id, str("a/b/c/d/e/f/g/h/i/j"), str("m"), user, pass),
			"will topic that is empty": connect(will, id, str(""), str("m"), user, pass),
			"will topic with U+0000":   connect(will, id, str("a\x00"), str("m"), user, pass),
			"will topic not UTF-8":     connect(will, id, str("\xff"), str("m"), user, pass),
		},
	} {
		for name, bytes := range list {
			t.Run(name, func(t *testing.T) {
				p := b.dial()
				p.t = t
				p.raw(bytes)
				p.expect(&packet.Connack{ReturnCode: code}) // session present is 0
				p.end()
			})
		}
	}
	b.clean("still-there").quiet()
}

func TestConnectClosedWithoutAnswer(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	user, pass, id := str("test"), str("hahaha"), str("x")
	const will = cleanFlag | auth | willFlag
	good := connectBytes("MQTT", 4, cleanFlag|auth, id, user, pass)
	for name, bytes := range map[string][]byte{
		"unknown protocol name":       connectBytes("MQTX", 4, cleanFlag|auth, id, user, pass),
		"name in small letters":       connectBytes("mqtt", 4, cleanFlag|auth, id, user, pass),
		"empty name":                  connectBytes("", 4, cleanFlag|auth, id, user, pass),
		"reserved flag":               connectBytes("MQTT", 4, cleanFlag|auth|1, id, user, pass),
		"will QoS 3":                  connectBytes("MQTT", 4, will|0x18, id, str("w"), str("m"), user, pass),
		"will QoS without will":       connectBytes("MQTT", 4, cleanFlag|auth|0x08, id, user, pass),
		"will retain without will":    connectBytes("MQTT", 4, cleanFlag|auth|0x20, id, user, pass),
		"password without user name":  connectBytes("MQTT", 4, cleanFlag|0x40, id, pass),
		"user name missing":           connectBytes("MQTT", 4, cleanFlag|auth, id),
		"password missing":            connectBytes("MQTT", 4, cleanFlag|auth, id, user),
		"will payload missing":        connectBytes("MQTT", 4, cleanFlag|willFlag, id, str("w")),
		"bytes behind the end":        connectBytes("MQTT", 4, cleanFlag|auth, id, user, pass, []byte{0}),
		"string longer than packet":   connectBytes("MQTT", 4, cleanFlag|auth, []byte{0xff, 0xff, 'x'}),
		"flags in the fixed header":   append([]byte{0x11}, good[1:]...),
		"id that is not UTF-8":        connectBytes("MQTT", 4, cleanFlag|auth, str("\xff"), user, pass),
		"user name that is not UTF-8": connectBytes("MQTT", 4, cleanFlag|auth, id, str("\xc3\x28"), pass),
		"user name with a surrogate":  connectBytes("MQTT", 4, cleanFlag|auth, id, str("\xed\xa0\x80"), pass),
		"empty body":                  {0x10, 0},
		"first packet PINGREQ":        {0xc0, 0},
		"first packet DISCONNECT":     {0xe0, 0},
		"first packet PUBLISH":        frame(0x30, str("t"), []byte("m")),
		"first packet SUBSCRIBE":      frame(0x82, []byte{0, 1}, str("t"), []byte{0}),
		"first packet of type 0":      {0x00, 0},
		"first packet of type 15":     {0xf0, 0},
		"remaining length of 5 bytes": {0x10, 0xff, 0xff, 0xff, 0xff, 0x01},
		"first packet too large":      {0x10, 0xff, 0xff, 0xff, 0x7f},
		"HTTP":                        []byte("GET / HTTP/1.1\r\nAccept: " + strings.Repeat("x", 100) + "\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			p := b.dial()
			p.t = t
			p.raw(bytes)
			p.end()
		})
	}
	b.clean("still-there").quiet()
}

func TestConnectAccepted(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	user, pass := str("test"), str("hahaha")
	const will = cleanFlag | auth | willFlag
	each := str("0123456789-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	for name, bytes := range map[string][]byte{
		"MQTT 3.1.1":             connectBytes("MQTT", 4, cleanFlag|auth, str("v4"), user, pass),
		"bridge":                 connectBytes("MQTT", 0x84, cleanFlag|auth, str("host.name"), user, pass),
		"bridge of MQTT 3.1":     connectBytes("MQIsdp", 0x83, cleanFlag|auth, str("host.old"), user, pass),
		"MQTT 3.1":               connectBytes("MQIsdp", 3, cleanFlag|auth, str("v3"), user, pass),
		"empty id":               connectBytes("MQTT", 4, cleanFlag|auth, str(""), user, pass),
		"id of 128 characters":   connectBytes("MQTT", 4, cleanFlag|auth, str(strings.Repeat("a", 128)), user, pass),
		"each character":         connectBytes("MQTT", 4, cleanFlag|auth, each, user, pass),
		"id with a dot":          connectBytes("MQTT", 4, cleanFlag|auth, str("host.name"), user, pass),
		"id of any text":         connectBytes("MQTT", 4, cleanFlag|auth, str("a/b \"世界\" +#$\n"), user, pass),
		"id of 128 runes":        connectBytes("MQTT", 4, cleanFlag|auth, str(strings.Repeat("世", 128)), user, pass),
		"id of one character":    connectBytes("MQTT", 4, cleanFlag|auth, str("1"), user, pass),
		"will with empty text":   connectBytes("MQTT", 4, will|0x30, str("w"), str("w"), str(""), user, pass),
		"will of binary content": connectBytes("MQTT", 4, will, str("w2"), str("w"), str("\xff\x00"), user, pass),
	} {
		t.Run(name, func(t *testing.T) {
			p := b.dial()
			p.t = t
			p.raw(bytes)
			p.expect(packet.NewConnack())
			p.quiet()
		})
	}
}

// Clients without id get sessions of their own.
func TestEmptyClientIDIsUnique(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	one, two, by := b.clean(""), b.clean(""), b.clean("by")
	one.sub(0, "one")
	two.sub(0, "two")
	by.pub("one", "1", 0)
	by.pub("two", "2", 0)
	one.want("one", "1", 0)
	two.want("two", "2", 0)
	one.quiet()
	two.quiet()
}

// A client may send packets before it has received CONNACK. They are handled after CONNECT.
func TestPacketsBehindConnect(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	p := b.dial()
	p.send(hello("x", true), &packet.Subscribe{ID: 7, Subscriptions: []packet.Subscription{{Topic: "t"}}},
		&packet.Publish{Message: message("t", "m", 0)}, packet.NewPingreq())
	p.expect(packet.NewConnack(), &packet.Suback{ID: 7, ReturnCodes: []packet.QOS{0}},
		&packet.Publish{Message: message("t", "m", 0)}, packet.NewPingresp())
}

// The hub ignores packets after a CONNECT that it refuses.
func TestNothingIsDoneAfterRefusedConnect(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	watch, by := b.clean("watch"), b.clean("by")
	watch.sub(0, "#")
	good := hello("x", true)
	for code, c := range map[packet.ConnackCode]*packet.Connect{
		packet.BadUsernameOrPassword: as("tess", "x", true),
		packet.IdentifierRejected:    hello(strings.Repeat("x", 200), true),
		packet.NotAuthorized:         as("nobody", "x", true),
	} {
		if c.Username == "nobody" {
			c.Password = good.Password
		}
		p := b.dial()
		p.send(c, good, &packet.Publish{Message: message("t", "m", 0)}, packet.NewPingreq())
		for { // the code may be lost with the connection: the hub closes what it has not read
			x, err := p.read()
			if err != nil {
				require.True(t, gone(err), "%v", err)
				break
			}
			require.Equal(t, (&packet.Connack{ReturnCode: code}).String(), x.String())
		}
	}
	watch.fence(by, "f")
}

// A second CONNECT closes the connection, with the same client id and with another one.
func TestSecondConnect(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	for _, id := range []string{"same", "other"} {
		p := b.clean("same")
		p.send(hello(id, true))
		p.end()
	}
	eventually(t, "both sessions gone", func() bool { return b.stat("sessions") == 0 })
}

func TestNoConnectInTime(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"connection: {connect: {timeout: 4s}}")
	whole := connectBytes("MQTT", 4, cleanFlag|auth, str("x"), str("test"), str("hahaha"))
	begin := time.Now()
	silent, slow, in := b.dial(), b.dial(), b.clean("in")
	go func() { // a byte now and then does not help
		for _, c := range whole[:len(whole)-1] {
			if _, err := slow.conn.Write([]byte{c}); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond) // the pace of the slow client
		}
	}()
	silent.end()
	slow.end()
	require.GreaterOrEqual(t, time.Since(begin), 4*time.Second)
	eventually(t, "only the client left that connected", func() bool { return b.stat("connections") == 1 })
	in.quiet() // the limit does not apply after CONNECT
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	watch := b.clean("watch")
	watch.sub(0, "will/#")
	alive := func(id string, seconds uint16) *packet.Connect {
		c := hello(id, true)
		c.KeepAlive = seconds
		c.Will = &packet.Message{Topic: "will/" + id, Payload: []byte("gone")}
		return c
	}
	begin := time.Now()
	silent := b.login(alive("silent", 1))
	forever := b.login(alive("forever", 0))
	pinging := b.login(alive("pinging", 3))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		silent.end()
	}()
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for running := true; running || time.Since(begin) < 5*time.Second; { // longer than the pinging one may be silent
		select {
		case <-ended:
			if running {
				require.GreaterOrEqual(t, time.Since(begin), 1500*time.Millisecond) // one and a half times the keep-alive
			}
			running, ended = false, nil
		case <-tick.C:
			pinging.quiet()
		}
	}
	watch.want("will/silent", "gone", 0)
	pinging.quiet()
	forever.quiet()
	watch.quiet()
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"connection: {max: 2}")
	one, two := b.clean("one"), b.clean("two")
	b.dial().end()
	eventually(t, "connections_rejected", func() bool { return b.stat("connections_rejected") == 1 })
	one.bye()
	eventually(t, "room", func() bool { return b.stat("connections") == 1 })
	b.clean("three").quiet()
	two.quiet()
}

// A connection that never logged in leaves nothing on the disk.
func TestRefusedConnectionsWriteNothing(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	b.clean("x").bye()
	eventually(t, "the connection's end", func() bool { return b.stat("connections") == 0 })
	before := b.stat("store_batches")
	for range 6 {
		c := hello("x", false)
		c.Password = "no"
		c.Will = &packet.Message{Topic: "w", Payload: []byte("w")}
		b.refused(c, packet.BadUsernameOrPassword)
		b.dial().close()
	}
	eventually(t, "the connections' end", func() bool { return b.stat("connections") == 0 })
	require.Equal(t, before, b.stat("store_batches"))
	require.EqualValues(t, 6, b.stat("logins_refused"))
}

func TestDisconnectEndsTheConnection(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	watch, p := b.clean("watch"), b.clean("p")
	watch.sub(0, "#")
	p.send(packet.NewDisconnect(), &packet.Publish{Message: message("t", "late", 0)})
	p.end()
	watch.fence(b.clean("by"), "f")
}

// After stop no connection is open, and the port is closed.
func TestStopClosesListenersAndConnections(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	p := b.clean("x")
	b.stop()
	p.end()
	_, err := net.DialTimeout("tcp", b.addrs[0], time.Second)
	require.Error(t, err)
}
