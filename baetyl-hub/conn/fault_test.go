package conn_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/internal/faultldb"
)

// hubOn runs a server on a real store, which may fail. stop ends both.
func hubOn(t *testing.T, o store.Options) (g *rig, stop func() error, err error) {
	t.Helper()
	st, err := store.Open(o)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	g, end := serveOn(t, st, func(k *core.Core) error {
		return st.Load(store.Visitor{
			Session:  func(x store.Session) { k.LoadSession(core.StoredSession(x)) },
			Retained: k.LoadRetained, Will: k.LoadWill, Number: k.LoadNumber,
		})
	})
	if g != nil {
		tasks.Go(func() { _ = st.Run(ctx) })
	}
	stop = func() error {
		err := end()
		cancel()
		tasks.Wait()
		return errors.Join(err, st.Close())
	}
	if g == nil {
		return nil, nil, stop()
	}
	return g, stop, nil
}

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
		_ = d.p.trySend(x) // if the hub has closed the connection, read notices it
		if d.until(want) {
			return true
		}
		if m, ok := x.(*packet.Publish); ok {
			m.Dup = true
		}
	}
	return false
}

func (d *device) connect() bool {
	d.t.Helper()
	d.p = d.g.unix() // tests of faults would use up all ports of TCP
	will := &packet.Message{Topic: "will"}
	_ = d.p.trySend(&packet.Connect{ClientID: d.id, Username: "u", Password: "p", Version: 4, Will: will})
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
	_ = d.p.conn.SetReadDeadline(time.Now().Add(limit))
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
				_ = d.p.trySend(&packet.Puback{ID: x.ID})
				continue
			}
			if !d.open[x.ID] {
				d.seen[string(x.Message.Payload)]++
			}
			d.open[x.ID] = true
			_ = d.p.trySend(&packet.Pubrec{ID: x.ID})
		case *packet.Pubrel:
			delete(d.open, x.ID)
			_ = d.p.trySend(&packet.Pubcomp{ID: x.ID})
		default:
			require.Fail(d.t, "unexpected answer", "%s instead of %s", x, want)
		}
	}
}

// take handles all packets that have come.
func (d *device) take() { d.do(packet.NewPingreq(), packet.NewPingresp()) }

// publish sends messages and notes those that were acknowledged.
func (d *device) publish(acked map[string]bool) {
	for i := range 6 {
		id, payload := packet.ID(i%2+1), fmt.Sprint("message ", i)
		x := publish(id, []byte(payload), packet.QOS(1+i/2%2))
		x.Message.Retain = i == 3
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

// A publisher and a subscriber work while one operation of the disk fails; each operation in one run, in each way. Each
// of their packets is answered, or the connection is closed. Afterwards, on a disk that works, the subscriber gets each
// message that was acknowledged, and QoS 2 messages once. HUB_FAULTS=1 takes all faults.
func TestFaultsSeenByClients(t *testing.T) {
	faultfs.Each(t, faultfs.Sample("HUB_FAULTS", 5), func(t *testing.T, disk *faultfs.FS) {
		state := faultldb.New()
		on := store.Options{Dir: disk.Dir(), Disk: disk.Disk(), Storage: state.Storage, SegmentSize: 4 << 10}
		acked := map[string]bool{}
		sub := newDevice(t, nil, "sub")
		subscribed := false
		disk.Start()
		if g, stop, err := hubOn(t, on); err == nil {
			sub.g = g
			subscribed = sub.do(&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "t", QOS: 2}}},
				&packet.Suback{ID: 1, ReturnCodes: []packet.QOS{2}})
			newDevice(t, g, "pub").publish(acked)
			sub.take()
			if disk.Fault().Kind.Ends() {
				disk.Reboot()
			}
			_ = stop()
		}
		disk.Reboot()
		on.Disk.FS = nil
		g, stop, err := hubOn(t, on)
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
		for end := time.Now().Add(limit); ; {
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
		require.NoError(t, stop())
	})
}
