package session

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/internal/faultldb"
)

// device is a client that follows the standard, over as many connections as it needs.
type device struct {
	t    *testing.T
	g    *rig
	id   string
	p    *peer // nil: not connected
	open map[packet.ID]bool
	seen map[string]int // messages, by payload
}

func newDevice(t *testing.T, g *rig, id string) *device {
	return &device{t: t, g: g, id: id, open: map[packet.ID]bool{}, seen: map[string]int{}}
}

// tries is the largest number of connections for one exchange: a fault may close more than one of them.
const tries = 4

// do sends x until it gets the answer want, and handles other packets meanwhile. It tells whether the answer came.
func (d *device) do(x, want packet.Generic) bool {
	d.t.Helper()
	for range tries {
		if d.p == nil && !d.connect() {
			continue
		}
		d.send(x)
		if d.until(want) {
			return true
		}
		if m, ok := x.(*packet.Publish); ok {
			m.Dup = true
		}
	}
	return false
}

// send writes a packet. It ignores errors: if the hub has closed the connection, read notices it.
func (d *device) send(x packet.Generic) {
	d.t.Helper()
	b := make([]byte, x.Len())
	_, err := x.Encode(b)
	require.NoError(d.t, err)
	_, _ = d.p.conn.Write(b)
}

func (d *device) connect() bool {
	d.t.Helper()
	d.p = d.g.dial()
	d.send(&packet.Connect{ClientID: d.id, Username: "u", Password: "p", Version: 4, Will: &packet.Message{Topic: "will"}})
	x := d.read()
	if ack, ok := x.(*packet.Connack); !ok || ack.ReturnCode != packet.ConnectionAccepted {
		d.p = nil
		return false
	}
	return true
}

// read returns the next packet, nil if the hub has closed the connection. It fails if neither happens.
func (d *device) read() packet.Generic {
	d.t.Helper()
	_ = d.p.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	x, err := d.p.in.Read()
	require.NotErrorIs(d.t, err, os.ErrDeadlineExceeded, "the hub neither answers nor closes the connection")
	if err != nil {
		_ = d.p.conn.Close()
		return nil
	}
	return x
}

func (d *device) until(want packet.Generic) bool {
	d.t.Helper()
	for {
		x := d.read()
		if x == nil {
			d.p = nil
			return false
		}
		if x.String() == want.String() {
			return true
		}
		switch x := x.(type) {
		case *packet.Publish:
			if x.Message.QOS == 1 {
				d.seen[string(x.Message.Payload)]++
				d.send(&packet.Puback{ID: x.ID})
				continue
			}
			if !d.open[x.ID] {
				d.seen[string(x.Message.Payload)]++
			}
			d.open[x.ID] = true
			d.send(&packet.Pubrec{ID: x.ID})
		case *packet.Pubrel:
			delete(d.open, x.ID)
			d.send(&packet.Pubcomp{ID: x.ID})
		default:
			require.Fail(d.t, "unexpected answer", "%s instead of %s", x, want)
		}
	}
}

// take handles all packets that have come.
func (d *device) take() { d.do(packet.NewPingreq(), packet.NewPingresp()) }

// publish sends messages and returns those that were acknowledged.
func (d *device) publish(acked map[string]bool) {
	for i := range 6 {
		id, payload := packet.ID(i%2+1), fmt.Sprint("message ", i)
		x := &packet.Publish{
			ID:      id,
			Message: packet.Message{Topic: "t", Payload: []byte(payload), QOS: packet.QOS(1 + i/2%2), Retain: i == 3},
		}
		if x.Message.QOS == 1 {
			acked[payload] = d.do(x, &packet.Puback{ID: id})
			continue
		}
		acked[payload] = d.do(x, &packet.Pubrec{ID: id})
		if !acked[payload] || !d.do(&packet.Pubrel{ID: id}, &packet.Pubcomp{ID: id}) {
			return // the id is not free
		}
	}
}

// A publisher and a subscriber work while one operation of the disk fails; each operation in one run. Each of their
// packets is answered, or the connection is closed. Afterwards, on a disk that works, the subscriber gets each message
// that was acknowledged, and QoS 2 messages once.
func TestFaultsSeenByClients(t *testing.T) {
	for name, c := range map[string]struct {
		always bool
		after  func(*faultldb.Disk)
	}{
		"fails once, killed":         {false, (*faultldb.Disk).Kill},
		"fails once, power cut":      {false, (*faultldb.Disk).Cut},
		"fails from then on, killed": {true, (*faultldb.Disk).Kill},
		"power cut":                  {true, (*faultldb.Disk).Cut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 1
			for clientsAt(t, n, c.always, c.after) {
				n++
			}
			require.Greater(t, n, 20)
		})
	}
}

// clientsAt is one run, with a fault at operation n. It tells whether there were so many operations.
func clientsAt(t *testing.T, n int, always bool, after func(*faultldb.Disk)) (hit bool) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("fault at operation %d", n)
		}
	}()
	disk := faultldb.New()
	disk.Fail(func(op faultldb.Op) error {
		if op.N == n || always && op.N > n {
			hit = true // the disk's mutex guards it
			return syscall.EIO
		}
		return nil
	})
	on := store.Options{Storage: disk.Storage, WriteBuffer: 64 << 10}
	acked := map[string]bool{}
	sub := newDevice(t, nil, "sub")
	subscribed := false
	if g, err := openRig(t, on); err == nil {
		sub.g = g
		subscribed = sub.do(&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "t", QOS: 2}}},
			&packet.Suback{ID: 1, ReturnCodes: []packet.QOS{2}})
		newDevice(t, g, "pub").publish(acked)
		sub.take()
		after(disk)
		disk.Fail(nil)
		_ = g.close()
	} else {
		after(disk)
		disk.Fail(nil)
	}
	g, err := openRig(t, on)
	require.NoError(t, err)
	sub.g, sub.p = g, nil
	missing := func() (list []string) {
		for payload, ok := range acked {
			if ok && subscribed && sub.seen[payload] == 0 {
				list = append(list, payload)
			}
		}
		return list
	}
	for end := time.Now().Add(20 * time.Second); ; {
		sub.take()
		if len(missing()) == 0 && len(sub.open) == 0 {
			break
		}
		require.True(t, time.Now().Before(end), "missing: %s, not released: %v", missing(), sub.open)
	}
	for i := range 6 {
		if i/2%2 == 1 {
			require.LessOrEqual(t, sub.seen[fmt.Sprint("message ", i)], 1, "QoS 2 message %d came more than once", i)
		}
	}
	require.NoError(t, g.close())
	return hit
}
