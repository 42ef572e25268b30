// Package hub is the broker: it connects the parts of baetyl-hub.
//
//	listener ─► conn ─► core ─► store
package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/conn"
	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/listener"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/listen"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/metrics"
	"github.com/baetyl/baetyl/utils/run"
)

// Hub is an open broker. Make it with Open, run it once with Run.
type Hub struct {
	cfg       config.Config
	plan      config.Plan
	log       log.Logger
	store     *store.Store
	server    *conn.Server
	listeners *listener.Set
	tls       atomic.Pointer[secrets] // of new connections; nil: no certificate is configured
	started   time.Time
	passwords chan []*auth.User // one slot: for warnOfPasswords, of the newest configuration
	page      http.Handler      // of the numbers
}

// Open opens the store, loads sessions and messages, and opens the listeners. Connections are accepted in Run.
func Open(cfg config.Config, l log.Logger) (*Hub, error) {
	users, err := cfg.Users()
	if err != nil {
		return nil, err
	}
	st, err := openStore(store.Options{
		Dir:       cfg.Storage.Dir,
		Sync:      cfg.Storage.Sync,
		Interval:  cfg.Storage.Interval,
		MaxBytes:  int64(cfg.Storage.Max),
		MinFree:   uint64(cfg.Storage.Free),
		FreeSpace: file.Free,
		Log:       l,
	}, l)
	if err != nil {
		return nil, err
	}
	h := &Hub{cfg: cfg, log: l, store: st, started: time.Now(), passwords: make(chan []*auth.User, 1)}
	h.page = metrics.Page(collector{h})
	h.expect(users)
	for _, w := range append(cfg.Warnings(), users.Warnings()...) {
		l.Warnf("%s", w)
	}
	if err := h.open(users); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return h, nil
}

func (h *Hub) open(users *auth.Book) error {
	h.plan = plan(&h.cfg, h.store.Stats().Bytes, h.log)
	h.cfg.Connection.Max = connectionsMax(h.plan.Connections, h.log)
	k := core.New(coreOptions(&h.cfg, &h.plan, h.log), users)
	k.At(h.started)
	k.SetRoutes(h.cfg.Routes())
	err := h.store.Load(store.Visitor{
		Session:  func(x store.Session) { k.LoadSession(core.StoredSession(x)) },
		Retained: k.LoadRetained, Will: k.LoadWill, Number: k.LoadNumber,
	})
	if err != nil {
		return err
	}
	k.Loaded()
	h.server = conn.New(connOptions(&h.cfg, h.log), k, h.store, users)
	o := listener.Options{
		Handshake: h.cfg.Connection.Connect.Timeout, Origins: h.cfg.Connection.Origins, Log: h.log,
		Store: listen.Inherited(), Limits: h.cfg.Connection.Limits(),
	}
	secure, err := readSecrets(h.cfg.Certificate)
	if err != nil {
		return err
	}
	if secure != nil {
		h.tls.Store(secure)
		o.TLS = &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return h.tls.Load().Config, nil
			},
		}
	}
	h.listeners, err = listener.Listen(h.cfg.Listen, o, h.server.Serve)
	return err
}

// Addrs returns the bound addresses, one for each port, in the order of `listen`.
func (h *Hub) Addrs() []net.Addr { return h.listeners.Addrs() }

// Run serves until ctx ends. Then it closes the connections, writes what is queued and closes the store. It returns an
// error if a part fails.
func (h *Hub) Run(ctx context.Context) error {
	var g run.Group
	g.Add("store", func(ctx context.Context) error {
		return errors.Join(h.store.Run(ctx), h.store.Close())
	})
	g.Add("batches", h.server.Run)
	cleanup := h.cfg.Message.Ingress.QOS1.Cleanup
	g.Add("expiry", func(ctx context.Context) error {
		return h.store.RunExpiry(ctx, cleanup.Retention, cleanup.Interval, h.expired)
	})
	g.Add("connections", func(ctx context.Context) error {
		<-ctx.Done()
		return h.closeConnections()
	})
	g.Add("passwords", h.warnOfPasswords)
	if h.tls.Load() != nil {
		g.Add("certificates", h.watchCertificates)
	}
	if h.cfg.Metrics.Address != "" {
		m := metrics.Server{
			Address: h.cfg.Metrics.Address, Hosts: h.cfg.Metrics.Hosts, Page: h.page, Ready: h.ready, Log: h.log,
		}
		g.Add("metrics", m.Run)
	}
	if s := h.adminServer(); s != nil {
		g.Add("admin", func(ctx context.Context) error { return admin.Serve(ctx, s, h.adminLog()) })
	}
	if h.cfg.Sys.Interval > 0 {
		g.Add("sys", h.announce)
	}
	if h.cfg.Status.Logging.Enable {
		g.Add("status", h.logStatus)
	}
	g.Add("listeners", h.listeners.Serve)
	return g.Run(ctx)
}

// expired tells the core what the store has left of sessions that had old messages.
func (h *Hub) expired(oldest map[uint64]uint64) {
	h.server.Do(func(k *core.Core) { k.Expired(oldest) })
}

// closeConnections closes all connections. It returns an error if that takes longer than shutdown.timeout.
func (h *Hub) closeConnections() error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.server.Close()
	}()
	select {
	case <-done:
		return nil
	case <-time.After(h.cfg.Shutdown.Timeout):
		return fmt.Errorf("connections did not end within shutdown.timeout (%s)", h.cfg.Shutdown.Timeout)
	}
}

func coreOptions(c *config.Config, p *config.Plan, l log.Logger) core.Options {
	return core.Options{
		Log: l, Topic: c.Limits(), PacketMax: c.Message.Length.Max.Int(),
		ClientIDMax: c.Session.ClientID.Length, ClientIDStrict: c.Session.ClientID.Strict,
		ConnectionsMax: c.Connection.Max, SubscriptionsMax: c.Session.Subscriptions.Max,
		ClientRate: c.Budget.Client.Publish, PrincipalRate: c.Budget.Principal.Publish,
		Ingress: c.Message.Ingress.QOS1.Buffer.Size, EgressQOS0: c.Message.Egress.QOS0.Buffer.Size,
		EgressBytes: c.Message.Egress.QOS0.Buffer.Bytes.Int(), Window: c.Message.Egress.QOS1.Buffer.Size,
		QueueMax: c.Session.Queue.Max, FetchMax: c.Message.Egress.QOS1.Batch.Max, Retry: c.Message.Egress.QOS1.Retry.Interval,
		WillDelay: c.Session.Will.Delay, SessionExpiry: c.Session.Expiry,
		Retention: c.Message.Ingress.QOS1.Cleanup.Retention, Hub: p.Hub, Principal: p.Principal, Client: p.Client,
	}
}

func connOptions(c *config.Config, l log.Logger) conn.Options {
	return conn.Options{
		Log: l, PacketMax: c.Message.Length.Max.Int(),
		ConnectTimeout: c.Connection.Connect.Timeout, WriteTimeout: c.Connection.Write.Timeout,
		LoginDelay: c.Connection.Login.Delay,
	}
}
