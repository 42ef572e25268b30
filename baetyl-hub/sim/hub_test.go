package sim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/conn"
	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/internal/sim"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/topic"
)

const (
	retention = 48 * time.Hour
	cleanup   = time.Minute // between two searches for old messages
	packetMax = 32 << 10
)

// process is one life of the hub: what package hub connects, without listeners and metrics.
type process struct {
	st     *store.Store
	server *conn.Server
	cancel func()
	parts  sync.WaitGroup

	mu    sync.Mutex
	conns []*sim.Conn // of the hub's ends
	dead  bool
}

// startHub opens the store on the disk and starts the hub. Its limits are small, so that they are met.
func startHub(disk *sim.Disk, users *auth.Book, l log.Logger) (*process, error) {
	d := disk.Open()
	st, err := store.Open(store.Options{
		Dir: "/hub", Log: l, FreeSpace: disk.Free, MinFree: 64 << 10, SegmentSize: 16 << 10, Disk: d,
		Storage: func() (storage.Storage, error) { return sim.Storage(d, "/hub/state") },
	})
	if err != nil {
		return nil, err
	}
	k := core.New(core.Options{
		Log: l, Topic: topic.Limits{Length: 255, Levels: 8}, ClientIDMax: 128, PacketMax: packetMax,
		ConnectionsMax: 100, SubscriptionsMax: 100, Ingress: 20, EgressQOS0: 100, EgressBytes: 1 << 20, Window: 10,
		QueueMax: 1000000, FetchMax: 5, Retry: 20 * time.Second, WillDelay: 3 * time.Second, Retention: retention,
		Hub: budget.Values{budget.Memory: 400 << 10}, Principal: budget.Values{budget.Memory: 200 << 10},
		Client:     budget.Values{budget.Memory: 140 << 10},
		ClientRate: budget.Rate{Messages: 20, Bytes: 20 << 10}, PrincipalRate: budget.Rate{Messages: 60},
	}, users)
	k.At(time.Now())
	err = st.Load(store.Visitor{
		Session:  func(x store.Session) { k.LoadSession(core.StoredSession(x)) },
		Retained: k.LoadRetained, Will: k.LoadWill, Number: k.LoadNumber,
	})
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	k.Loaded()
	p := &process{st: st, server: conn.New(conn.Options{
		Log: l, PacketMax: packetMax, ConnectTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
	}, k, st, users)}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.parts.Go(func() { _ = p.server.Run(ctx) })
	p.parts.Go(func() { _ = st.Run(ctx) })
	p.parts.Go(func() {
		_ = st.RunExpiry(ctx, retention, cleanup, func(oldest map[uint64]uint64) {
			p.server.Do(func(k *core.Core) { k.Expired(oldest) })
		})
	})
	return p, nil
}

// serve runs a connection.
func (p *process) serve(c *sim.Conn) {
	p.mu.Lock()
	p.conns = append(p.conns, c)
	dead := p.dead
	p.mu.Unlock()
	if dead {
		_ = c.Close()
		return
	}
	p.server.Serve(c, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = slices.DeleteFunc(p.conns, func(x *sim.Conn) bool { return x == c })
}

func (p *process) setUsers(users *auth.Book) { p.server.SetUsers(users) }

// checkBudget tells whether the accounts of the hub are what a recount says, and not above their limits.
func (p *process) checkBudget() (err error) {
	p.server.Do(func(k *core.Core) {
		err = k.Recount()
		for _, u := range k.Usage() {
			if err == nil && u.Limit > 0 && u.Used > u.Limit {
				err = fmt.Errorf("account %q has %d of %s, limit %d", u.Principal, u.Used, u.Resource, u.Limit)
			}
		}
	})
	return err
}

// stop is a clean stop, in the order of package hub.
func (p *process) stop() {
	p.server.Close()
	p.cancel()
	p.parts.Wait()
	_ = p.st.Close()
}

// kill ends the hub after its disk is gone: its connections break.
func (p *process) kill() {
	p.mu.Lock()
	p.dead = true
	for _, c := range p.conns {
		c.Cut()
	}
	p.mu.Unlock()
	p.stop()
}
