package hub_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	"github.com/baetyl/baetyl/internal/mqtttest"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// With these variables the test binary runs as a hub: TestKill needs a process that it can kill.
const (
	envDir  = "HUB_TEST_DIR"
	envAddr = "HUB_TEST_ADDRESS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		if err := serve(dir, os.Getenv(envAddr)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(envModule) != "" {
		baetyl.Run(hub.Main)
		return
	}
	os.Exit(m.Run())
}

func serve(dir, address string) error {
	var cfg config.Config
	if err := conf.Parse("service.yml", []byte(open), &cfg); err != nil {
		return err
	}
	cfg.Storage.Dir, cfg.Listen = dir, []string{"tcp://" + address}
	h, err := hub.Open(cfg, log.New(log.Config{Level: "warn"}))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return h.Run(ctx)
}

// peer is a client with a session that outlives its connections, as in the standard: it sends messages again until they
// are acknowledged, and counts a repeated QoS 2 message once.
type peer struct {
	t       *testing.T
	id      string
	address string
	filter  string     // subscribed to; "": a publisher
	qos     packet.QOS // of its publications
	window  int

	mu       sync.Mutex
	next     int
	nextID   packet.ID
	inFlight map[packet.ID]string // published, not acknowledged
	released map[packet.ID]bool   // PUBREC came, PUBCOMP not
	acked    map[string]bool      // acknowledged by the hub
	receipts map[packet.ID]bool   // QoS 2 messages received, not released
	seen     map[string]int       // messages received
}

func newPeer(t *testing.T, id, address string) *peer {
	return &peer{
		t:        t,
		id:       id,
		address:  address,
		window:   100,
		inFlight: map[packet.ID]string{},
		released: map[packet.ID]bool{},
		acked:    map[string]bool{},
		receipts: map[packet.ID]bool{},
		seen:     map[string]int{},
	}
}

// run keeps the peer connected until ctx ends.
func (p *peer) run(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
			continue
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		p.session(ctx, conn)
		stop()
		conn.Close()
	}
}

func (p *peer) send(s *packet.Stream, pkts ...packet.Generic) error {
	for _, x := range pkts {
		if err := s.Write(x, true); err != nil {
			return err
		}
	}
	return nil
}

func (p *peer) session(ctx context.Context, conn net.Conn) {
	s := packet.NewStream(conn, conn)
	s.SetMaxWriteDelay(time.Hour)
	c := packet.NewConnect()
	c.ClientID, c.CleanSession, c.Username, c.Password = p.id, false, "test", "hahaha"
	if p.send(s, c) != nil || s.Flush() != nil {
		return
	}
	first, err := s.Read()
	if err != nil {
		return
	}
	if ack, ok := first.(*packet.Connack); !ok || ack.ReturnCode != 0 {
		p.t.Errorf("%s: connect: %v", p.id, first)
		return
	}
	if p.filter != "" {
		sub := packet.NewSubscribe()
		sub.ID, sub.Subscriptions = 1, []packet.Subscription{{Topic: p.filter, QOS: 2}}
		if p.send(s, sub) != nil {
			return
		}
	}
	p.mu.Lock()
	for id, payload := range p.inFlight {
		if p.released[id] {
			rel := packet.NewPubrel()
			rel.ID = id
			_ = p.send(s, rel)
		} else {
			_ = p.send(s, p.publish(id, payload, true))
		}
	}
	p.mu.Unlock()
	for ctx.Err() == nil {
		if p.filter == "" {
			p.mu.Lock()
			for len(p.inFlight) < p.window {
				p.next++
				p.nextID = p.nextID%60000 + 1
				for p.inFlight[p.nextID] != "" {
					p.nextID = p.nextID%60000 + 1
				}
				p.inFlight[p.nextID] = fmt.Sprintf("%s-%d", p.id, p.next)
				if p.send(s, p.publish(p.nextID, p.inFlight[p.nextID], false)) != nil {
					break
				}
			}
			p.mu.Unlock()
		}
		if s.Flush() != nil {
			return
		}
		x, err := s.Read()
		if err != nil {
			return
		}
		if p.send(s, p.receive(x)...) != nil {
			return
		}
	}
}

func (p *peer) publish(id packet.ID, payload string, dup bool) *packet.Publish {
	x := packet.NewPublish()
	x.ID, x.Dup = id, dup
	x.Message = packet.Message{Topic: "crash/" + p.id, Payload: []byte(payload), QOS: p.qos}
	return x
}

func (p *peer) receive(x packet.Generic) []packet.Generic {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch x := x.(type) {
	case *packet.Puback:
		if payload := p.inFlight[x.ID]; payload != "" {
			p.acked[payload] = true
			delete(p.inFlight, x.ID)
		}
	case *packet.Pubrec:
		if payload := p.inFlight[x.ID]; payload != "" {
			p.acked[payload] = true
			p.released[x.ID] = true
		}
		rel := packet.NewPubrel()
		rel.ID = x.ID
		return []packet.Generic{rel}
	case *packet.Pubcomp:
		delete(p.inFlight, x.ID)
		delete(p.released, x.ID)
	case *packet.Publish:
		switch x.Message.QOS {
		case 1:
			p.seen[string(x.Message.Payload)]++
			ack := packet.NewPuback()
			ack.ID = x.ID
			return []packet.Generic{ack}
		case 2:
			if !p.receipts[x.ID] {
				p.receipts[x.ID] = true
				p.seen[string(x.Message.Payload)]++
			}
			rec := packet.NewPubrec()
			rec.ID = x.ID
			return []packet.Generic{rec}
		}
	case *packet.Pubrel:
		delete(p.receipts, x.ID)
		comp := packet.NewPubcomp()
		comp.ID = x.ID
		return []packet.Generic{comp}
	}
	return nil
}

func (p *peer) count() (acked int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked)
}

// TestKill kills the hub under load several times: no acknowledged message is missing, and no QoS 2 message comes
// twice. HUB_KILLS is the number of kills (make crash: 200).
func TestKill(t *testing.T) {
	kills := 5
	if v := os.Getenv("HUB_KILLS"); v != "" {
		var err error
		kills, err = strconv.Atoi(v)
		require.NoError(t, err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	dir := t.TempDir()

	pub1, pub2 := newPeer(t, "pub1", address), newPeer(t, "pub2", address)
	pub1.qos, pub2.qos = 1, 2
	sub, away := newPeer(t, "sub", address), newPeer(t, "away", address)
	sub.filter, away.filter = "crash/#", "crash/+"
	r := rand.New(rand.NewSource(1))

	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envDir+"="+dir, envAddr+"="+address)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		return cmd
	}
	runFor := func(stop func() bool, peers ...*peer) {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for _, p := range peers {
			wg.Go(func() { p.run(ctx) })
		}
		defer wg.Wait()
		defer cancel()
		deadline := time.Now().Add(60 * time.Second)
		for !stop() {
			if time.Now().After(deadline) {
				t.Error("peers made no progress")
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	// Subscriptions first: what is published before them need not come.
	cmd := start()
	subscribed := func() bool { return seenAny(sub) && seenAny(away) }
	probe := newPeer(t, "probe", address)
	probe.qos, probe.window = 1, 1
	runFor(subscribed, sub, away, probe)

	for i := range kills {
		before := pub1.count() + pub2.count()
		want := 200 + r.Intn(3000)
		runFor(func() bool {
			if pub1.count()+pub2.count() < before+want {
				return false
			}
			require.NoError(t, cmd.Process.Kill())
			err := cmd.Wait()
			if x := new(exec.ExitError); !errors.As(err, &x) || x.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Errorf("hub ended by itself before it was killed: %v", err)
			}
			return true
		}, pub1, pub2, sub)
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
		cmd = start()
	}
	complete := func(s *peer) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range []*peer{pub1, pub2} {
			for payload := range p.acked {
				if s.seen[payload] == 0 {
					return false
				}
			}
		}
		return true
	}
	runFor(func() bool { return complete(sub) && complete(away) }, sub, away)
	twice := 0
	for _, s := range []*peer{sub, away} {
		for payload, n := range s.seen {
			if n > 1 && payload[:4] == "pub2" {
				t.Errorf("%s got the QoS 2 message %s %d times", s.id, payload, n)
			}
			if n > 1 {
				twice++
			}
		}
	}
	t.Logf("%d kills, %d acknowledged at QoS 1, %d at QoS 2, %d deliveries at QoS 1 repeated",
		kills, pub1.count(), pub2.count(), twice)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
}

func seenAny(p *peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen) > 0
}
