package hub_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
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

// killFlow is the messages of one publisher, with the numbers 1, 2, 3 …
type killFlow struct {
	peer  *mqtttest.Peer
	topic string
	qos   packet.QOS
	next  int
	acked atomic.Int64
}

func (f *killFlow) publish(ctx context.Context) {
	for {
		m := packet.Message{Topic: f.topic, QOS: f.qos, Payload: mqtttest.Number(f.next + 1)}
		if f.peer.Publish(ctx, m) != nil {
			return
		}
		f.next++
	}
}

// killSession gets all of them.
type killSession struct {
	mqtttest.Numbered
	peer *mqtttest.Peer
}

// TestKill kills the hub under load several times: no acknowledged message is missing, the order is kept, and no QoS 2
// message comes twice. HUB_KILLS is the number of kills (make crash: 200).
func TestKill(t *testing.T) {
	kills := 5
	if v := os.Getenv("HUB_KILLS"); v != "" {
		var err error
		kills, err = strconv.Atoi(v)
		require.NoError(t, err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	dir := t.TempDir()
	peer := func(id string) *mqtttest.Peer {
		return &mqtttest.Peer{ID: id, Address: address, Username: "test", Password: "hahaha", Window: 100}
	}
	var flows []*killFlow
	for qos := packet.QOS(1); qos <= 2; qos++ {
		f := &killFlow{peer: peer(fmt.Sprintf("pub%d", qos)), topic: fmt.Sprintf("crash/pub%d", qos), qos: qos}
		f.peer.OnAck = func(*packet.Message) { f.acked.Add(1) }
		flows = append(flows, f)
	}
	acked := func() int64 { return flows[0].acked.Load() + flows[1].acked.Load() }
	var known atomic.Int64
	session := func(id, filter string) *killSession {
		s := &killSession{peer: peer(id)}
		s.peer.Filters = []packet.Subscription{{Topic: filter, QOS: 2}}
		s.peer.OnMessage = s.Receive
		s.peer.OnReady = func(bool) { known.Add(1) }
		return s
	}
	sub, away := session("sub", "crash/#"), session("away", "crash/+")
	r := rand.New(rand.NewSource(1))

	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envDir+"="+dir, envAddr+"="+address)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		return cmd
	}
	// runFor connects publishers, which send what is new only if more is set, and sessions, until stop.
	runFor := func(stop func() bool, more bool, sessions ...*killSession) {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for _, s := range sessions {
			wg.Go(func() { s.peer.Run(ctx) })
		}
		for _, f := range flows {
			wg.Go(func() { f.peer.Run(ctx) })
			if more {
				wg.Go(func() { f.publish(ctx) })
			}
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
	runFor(func() bool { return known.Load() >= 2 }, false, sub, away)

	for i := range kills {
		before := acked()
		want := 200 + int64(r.Intn(3000))
		runFor(func() bool {
			if acked() < before+want {
				return false
			}
			require.NoError(t, cmd.Process.Kill())
			err := cmd.Wait()
			if x := new(exec.ExitError); !errors.As(err, &x) || x.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Errorf("hub ended by itself before it was killed: %v", err)
			}
			return true
		}, true, sub)
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
		cmd = start()
	}
	complete := func(s *killSession) bool {
		for _, f := range flows {
			if f.peer.InFlight() > 0 || s.Newest(f.topic) < f.next {
				return false
			}
		}
		return true
	}
	runFor(func() bool { return complete(sub) && complete(away) }, false, sub, away)
	twice := 0
	for _, s := range []*killSession{sub, away} {
		if wrong := s.Wrong(); len(wrong) > 0 {
			t.Errorf("%s: %q", s.peer.ID, wrong)
		}
		_, repeated := s.Count()
		twice += repeated
	}
	t.Logf("%d kills, %d acknowledged at QoS 1, %d at QoS 2, %d deliveries at QoS 1 repeated",
		kills, flows[0].acked.Load(), flows[1].acked.Load(), twice)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
}
