package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/256dpi/gomqtt/transport"
	"github.com/256dpi/gomqtt/transport/flow"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

// recorder is a Handler that keeps what it gets and acknowledges it.
type recorder struct {
	mu      sync.Mutex
	got     []mqtt.Message
	errs    []error
	present []bool
}

func (r *recorder) OnMessage(d *mqtt.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, d.Message)
	d.Ack()
}

func (r *recorder) OnError(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

func (r *recorder) OnConnect(present bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.present = append(r.present, present)
}

func (r *recorder) payloads() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		out = append(out, string(m.Payload))
	}
	return out
}

func (r *recorder) failures() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.errs...)
}

func (r *recorder) connects() []bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]bool(nil), r.present...)
}

func start(t *testing.T, cfg mqtt.ClientInfo, h mqtt.Handler, opts ...mqtt.Option) *mqtt.Dispatcher {
	t.Helper()
	if cfg.Interval == 0 {
		cfg.Interval = 50 * time.Millisecond // so that reconnects don't make the test slow
	}
	d, err := mqtt.NewDispatcher(cfg, opts...)
	require.NoError(t, err)
	require.NoError(t, d.Start(h))
	t.Cleanup(func() { d.Close() })
	return d
}

// peer is a broker that follows a script. Each connection is handed to the next script.
func peer(t *testing.T, scripts ...func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, s := range scripts {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s(c)
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "tcp://" + l.Addr().String()
}

// play makes a script of a flow; the test fails if the client leaves it.
func play(t *testing.T, f *flow.Flow) func(net.Conn) {
	return func(c net.Conn) {
		c.SetDeadline(time.Now().Add(time.Minute))
		if err := f.Test(transport.NewNetConn(c)); err != nil {
			t.Error(err)
		}
	}
}

func connect(id string) *packet.Connect {
	return &packet.Connect{ClientID: id, KeepAlive: 0, Version: 4}
}

func publish(id int, qos int, payload string, dup bool) *packet.Publish {
	return &packet.Publish{
		ID:      packet.ID(id),
		Dup:     dup,
		Message: packet.Message{Topic: "t", QOS: packet.QOS(qos), Payload: []byte(payload)},
	}
}

func TestRoundTripThroughMosquitto(t *testing.T) {
	b := mqtttest.Mosquitto(t)
	for qos := uint32(0); qos <= 2; qos++ {
		t.Run(fmt.Sprint(qos), func(t *testing.T) {
			var r recorder
			topic := fmt.Sprintf("round/%d", qos)
			start(t, mqtt.ClientInfo{Address: b.Address, ClientID: "in" + fmt.Sprint(qos), CleanSession: true,
				Subscriptions: []mqtt.TopicInfo{{Topic: topic, QOS: qos}}}, &r)
			mqtttest.Until(t, "subscriber is connected", func() bool { return len(r.connects()) == 1 })
			d := start(t, mqtt.ClientInfo{Address: b.Address, ClientID: "out", CleanSession: true}, nil)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			// The retained one comes even if the subscription is later than it.
			require.NoError(t, d.PublishWait(ctx, mqtt.Message{Topic: topic, Payload: []byte("0"), QOS: qos, Retain: true}))
			mqtttest.Until(t, "the first message", func() bool { return len(r.payloads()) == 1 })
			want := []string{"0"}
			for i := 1; i <= 300; i++ {
				want = append(want, fmt.Sprint(i))
				require.NoError(t, d.Publish(mqtt.TopicInfo{Topic: topic, QOS: qos}, []byte(fmt.Sprint(i))))
			}
			require.NoError(t, d.Drain(ctx))
			mqtttest.Until(t, "all messages", func() bool { return len(r.payloads()) >= len(want) })
			require.Equal(t, want, r.payloads())
		})
	}
}

func TestNothingLostWhenTheBrokerRestarts(t *testing.T) {
	b := mqtttest.Mosquitto(t)
	var r recorder
	in := mqtt.ClientInfo{Address: b.Address, ClientID: "in", Subscriptions: []mqtt.TopicInfo{{Topic: "x", QOS: 1}}}
	start(t, in, &r)
	mqtttest.Until(t, "subscriber is connected", func() bool { return len(r.connects()) == 1 })
	d := start(t, mqtt.ClientInfo{Address: b.Address, ClientID: "out"}, nil)
	const n = 600
	go func() {
		for i := range n {
			d.Publish(mqtt.TopicInfo{Topic: "x", QOS: 1}, []byte(fmt.Sprint(i)))
		}
	}()
	for round := 1; round <= 3; round++ {
		mqtttest.Until(t, "some messages", func() bool { return len(r.payloads()) >= round*100 })
		b.Stop()
		mqtttest.Until(t, "loss is noticed", func() bool { return d.Stats().Reconnects >= uint64(round) })
		b.Start()
		mqtttest.Until(t, "publisher is back", func() bool { return d.Stats().Connected })
	}
	missing := func() (out []int) {
		seen := map[string]bool{}
		for _, p := range r.payloads() {
			seen[p] = true
		}
		for i := range n {
			if !seen[fmt.Sprint(i)] {
				out = append(out, i)
			}
		}
		return out
	}
	mqtttest.Until(t, "every message came", func() bool { return len(missing()) == 0 })
}

// What was sent and not acknowledged is sent again with DUP, in order, before anything new.
func TestResend(t *testing.T) {
	again := make(chan struct{})
	address := peer(t,
		play(t, flow.New().Receive(connect("c")).Send(packet.NewConnack()).
			Receive(publish(2, 1, "a", false)).Receive(publish(3, 1, "b", false)).Receive(publish(4, 2, "c", false)).
			Send(&packet.Puback{ID: 3}).Send(&packet.Pubrec{ID: 4}).Receive(&packet.Pubrel{ID: 4}).Close()),
		play(t, flow.New().Receive(connect("c")).Send(&packet.Connack{SessionPresent: true}).
			Receive(publish(2, 1, "a", true)).Receive(&packet.Pubrel{ID: 4}).
			Send(&packet.Puback{ID: 2}, &packet.Pubcomp{ID: 4}, &packet.Puback{ID: 99}, &packet.Pubcomp{ID: 98}).
			Run(func() { close(again) }).
			Receive(publish(5, 1, "d", false)).Send(&packet.Puback{ID: 5}).Receive(packet.NewDisconnect()).End()))
	d := start(t, mqtt.ClientInfo{Address: address, ClientID: "c"}, nil)
	for i, p := range []string{"a", "b", "c"} {
		m := mqtt.Message{Topic: "t", QOS: []uint32{1, 1, 2}[i], Payload: []byte(p)}
		require.NoError(t, d.PublishAsync(context.Background(), m, nil))
	}
	<-again
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, d.PublishWait(ctx, mqtt.Message{Topic: "t", QOS: 1, Payload: []byte("d")}))
	require.NoError(t, d.Drain(ctx))
	require.NoError(t, d.Close())
}

// An acknowledgement belongs to the connection on which the message came.
func TestStaleAckIsDropped(t *testing.T) {
	deliveries := make(chan *mqtt.Delivery, 10)
	came, acked, seen := make(chan struct{}), make(chan struct{}), make(chan struct{})
	sub := &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "t", QOS: 1}}}
	suback := &packet.Suback{ID: 1, ReturnCodes: []packet.QOS{1}}
	address := peer(t,
		play(t, flow.New().Receive(connect("c")).Send(packet.NewConnack()).Receive(sub).
			Send(suback, suback, publish(7, 1, "old", false)). // the second SUBACK is ignored
			Run(func() { <-came }).Close()),
		play(t, flow.New().Receive(connect("c")).Send(packet.NewConnack()).Receive(sub).
			// One is resent although the connection is the same; behind it comes what shows that it was read.
			Send(suback, publish(7, 1, "new", false), publish(7, 1, "new", true), publish(8, 1, "last", false)).
			Run(func() { <-acked }).
			Receive(&packet.Puback{ID: 7}).Run(func() { close(seen) }).Receive(packet.NewDisconnect())))
	d := start(t, mqtt.ClientInfo{Address: address, ClientID: "c", Subscriptions: []mqtt.TopicInfo{{Topic: "t", QOS: 1}}},
		mqtt.Funcs{Message: func(m *mqtt.Delivery) { deliveries <- m }})
	old := <-deliveries
	require.Equal(t, "old", string(old.Payload))
	close(came)
	fresh := <-deliveries
	require.Equal(t, "new", string(fresh.Payload))
	require.Equal(t, "last", string((<-deliveries).Payload), "what is resent before its acknowledgement comes once")
	require.False(t, old.Ack(), "ack of the first connection")
	require.True(t, fresh.Ack())
	require.False(t, fresh.Ack(), "second ack")
	close(acked)
	<-seen
	require.Empty(t, deliveries)
	require.NoError(t, d.Close())
}

func TestExactlyOnceInward(t *testing.T) {
	sub := &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "t", QOS: 2}}}
	suback := &packet.Suback{ID: 1, ReturnCodes: []packet.QOS{2}}
	pending := make(chan *mqtt.Delivery, 10)
	ack, finished := make(chan struct{}), make(chan struct{})
	lost := flow.New().Receive(connect("c")).Send(packet.NewConnack()).Receive(sub).
		Send(suback, publish(9, 2, "x", false)).Close()
	resumed := flow.New().Receive(connect("c")).Send(&packet.Connack{SessionPresent: true}).Receive(sub).
		Send(suback, publish(9, 2, "x", true)).
		Send(&packet.Pubrec{ID: 77}).Receive(&packet.Pubrel{ID: 77}). // now the client has read all of it
		Run(func() { close(ack) }).
		Receive(&packet.Pubrec{ID: 9}).Send(publish(9, 2, "x", true)).Receive(&packet.Pubrec{ID: 9}).
		Send(&packet.Pubrel{ID: 9}).Receive(&packet.Pubcomp{ID: 9}).
		Send(publish(9, 2, "y", false)).Receive(&packet.Pubrec{ID: 9}).
		Send(&packet.Pubrel{ID: 9}).Receive(&packet.Pubcomp{ID: 9}).
		Run(func() { close(finished) })
	address := peer(t, play(t, lost), play(t, resumed))
	start(t, mqtt.ClientInfo{Address: address, ClientID: "c", Subscriptions: []mqtt.TopicInfo{{Topic: "t", QOS: 2}}},
		mqtt.Funcs{Message: func(m *mqtt.Delivery) {
			if string(m.Payload) == "y" {
				m.Ack()
			}
			pending <- m
		}})
	<-ack
	first := <-pending
	require.True(t, first.Ack(), "the peer kept the session")
	second := <-pending
	require.Equal(t, "y", string(second.Payload), "x is delivered once")
	<-finished
}

// Pings are served while a handler takes long.
func TestSlowHandlerKeepsTheConnection(t *testing.T) {
	release, busy := make(chan struct{}), make(chan struct{})
	pings := make(chan struct{}, 100)
	address := peer(t, func(c net.Conn) {
		s := transport.NewNetConn(c)
		for {
			p, err := s.Receive()
			if err != nil {
				return
			}
			switch p := p.(type) {
			case *packet.Connect:
				s.Send(packet.NewConnack(), false)
			case *packet.Subscribe:
				s.Send(&packet.Suback{ID: p.ID, ReturnCodes: []packet.QOS{0}}, false)
				s.Send(publish(0, 0, "slow", false), false)
			case *packet.Pingreq:
				pings <- struct{}{}
				s.Send(packet.NewPingresp(), false)
				s.Send(packet.NewPingresp(), false) // one more than asked for does no harm
			}
		}
	})
	cfg := mqtt.ClientInfo{
		Address:       address,
		ClientID:      "c",
		KeepAlive:     2 * time.Second, // a busy machine may be silent for one
		Subscriptions: []mqtt.TopicInfo{{Topic: "t"}},
	}
	d := start(t, cfg, mqtt.Funcs{Message: func(*mqtt.Delivery) { close(busy); <-release }})
	<-busy
	for range 3 {
		<-pings
	}
	require.True(t, d.Stats().Connected)
	require.Zero(t, d.Stats().Reconnects)
	close(release)
}

func TestHalfOpenLinkIsFound(t *testing.T) {
	silent := make(chan struct{})
	address := peer(t, func(c net.Conn) {
		s := transport.NewNetConn(c)
		s.Receive()
		s.Send(packet.NewConnack(), false)
		go io.Copy(io.Discard, c)
		<-silent
	})
	var r recorder
	d := start(t, mqtt.ClientInfo{Address: address, ClientID: "c", KeepAlive: time.Second}, &r)
	stop := make(chan struct{})
	defer close(stop)
	go func() { // a busy publisher: its own packets must not count as a sign of life of the peer
		for {
			select {
			case <-stop:
				return
			default:
				d.Publish(mqtt.TopicInfo{Topic: "t"}, []byte("x"))
			}
		}
	}()
	mqtttest.Until(t, "missing pong is an error", func() bool {
		for _, err := range r.failures() {
			if errors.Is(err, mqtt.ErrNoPong) {
				return true
			}
		}
		return false
	})
	close(silent)
	d.Close()
}

// A write to a peer that stops reading ends with a timeout. The error of a connection that the peer resets names the
// peer's reset, not that this side closed its socket.
func TestWriteThatGoesWrong(t *testing.T) {
	hold := make(chan struct{})
	stuck := func(c net.Conn) { // reads CONNECT, then nothing
		s := transport.NewNetConn(c)
		s.Receive()
		s.Send(packet.NewConnack(), false)
		<-hold
	}
	reset := func(c net.Conn) {
		s := transport.NewNetConn(c)
		s.Receive()
		s.Send(packet.NewConnack(), false)
		s.Receive()
		c.(*net.TCPConn).SetLinger(0)
	}
	scripts := []func(net.Conn){stuck}
	for range 100 { // more than enough: an attempt on a busy machine may time out
		scripts = append(scripts, reset)
	}
	var r recorder
	cfg := mqtt.ClientInfo{
		Address:   peer(t, scripts...),
		ClientID:  "c",
		Timeout:   time.Second,
		KeepAlive: 0,
		Interval:  time.Millisecond,
	}
	d := start(t, cfg, &r)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				d.Publish(mqtt.TopicInfo{Topic: "t"}, make([]byte, 1<<16))
			}
		}
	}()
	mqtttest.Until(t, "the write that blocks ends", func() bool { return len(r.failures()) > 0 })
	require.ErrorContains(t, r.failures()[0], "i/o timeout")
	close(hold)
	mqtttest.Until(t, "many resets", func() bool { return d.Stats().Reconnects > 30 })
	for _, err := range r.failures() {
		require.NotContains(t, err.Error(), "use of closed network connection")
	}
	d.Close()
}

func TestRefusals(t *testing.T) {
	for code, text := range map[packet.ConnackCode]string{packet.BadUsernameOrPassword: "bad user name or password",
		packet.NotAuthorized: "not authorized"} {
		address := peer(t, play(t, flow.New().Skip(connect("c")).Send(&packet.Connack{ReturnCode: code})))
		_, err := mqtt.Connect(context.Background(), mqtt.ClientInfo{Address: address, ClientID: "c"}, nil)
		require.ErrorContains(t, err, text)
	}
	address := peer(t, play(t, flow.New().Skip(connect("c")).Send(packet.NewPingresp())))
	_, err := mqtt.Connect(context.Background(), mqtt.ClientInfo{Address: address, ClientID: "c"}, nil)
	require.ErrorIs(t, err, mqtt.ErrProtocol)
}

func TestValidateSubs(t *testing.T) {
	subs := []mqtt.TopicInfo{{Topic: "ok"}, {Topic: "secret"}}
	for _, validate := range []bool{true, false} {
		script := flow.New().Receive(connect("c")).Send(packet.NewConnack()).Skip(&packet.Subscribe{}).
			Send(&packet.Suback{ID: 1, ReturnCodes: []packet.QOS{0, packet.QOSFailure}})
		if !validate {
			script.Receive(packet.NewDisconnect())
		}
		var r recorder
		address := peer(t, play(t, script.End()))
		cfg := mqtt.ClientInfo{Address: address, ClientID: "c", ValidateSubs: validate, Subscriptions: subs}
		d := start(t, cfg, &r)
		mqtttest.Until(t, "refusal reaches the handler", func() bool { return len(r.failures()) > 0 })
		require.ErrorIs(t, r.failures()[0], mqtt.ErrRefused)
		require.ErrorContains(t, r.failures()[0], "secret")
		require.NotContains(t, r.failures()[0].Error(), `"ok"`)
		if !validate {
			require.True(t, d.Stats().Connected)
		}
		d.Close()
	}
}

// Close interrupts every wait.
func TestCloseInterrupts(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	waiting := make(chan struct{})
	address := peer(t, func(c net.Conn) {
		transport.NewNetConn(c).Receive()
		close(waiting)
		<-hold
	})
	d := start(t, mqtt.ClientInfo{Address: address, ClientID: "c"}, nil)
	<-waiting
	began := time.Now()
	blocked := make(chan error, 1)
	go func() {
		for {
			if err := d.Publish(mqtt.TopicInfo{Topic: "t"}, nil); err != nil {
				blocked <- err
				return
			}
		}
	}()
	mqtttest.Until(t, "queue is full", func() bool { return d.Stats().Queued == 10 })
	d.Close()
	d.Wait()
	require.ErrorIs(t, <-blocked, mqtt.ErrClosed)
	require.Less(t, time.Since(began), 25*time.Second, "it does not wait for the timeout of 30 s")
	require.ErrorIs(t, d.Publish(mqtt.TopicInfo{Topic: "t"}, nil), mqtt.ErrClosed)
	require.ErrorIs(t, d.Start(nil), mqtt.ErrClosed)
}

func TestHandlerMayPublishAcknowledgeAndClose(t *testing.T) {
	b := mqtttest.Mosquitto(t)
	done := make(chan struct{})
	var d *mqtt.Dispatcher
	d, err := mqtt.NewDispatcher(mqtt.ClientInfo{
		Address:       b.Address,
		ClientID:      "c",
		CleanSession:  true,
		BufferSize:    1,
		MaxInflight:   1,
		Subscriptions: []mqtt.TopicInfo{{Topic: "loop", QOS: 1}},
	})
	require.NoError(t, err)
	n := 0
	require.NoError(t, d.Start(mqtt.Funcs{
		Connect: func(bool) { d.Publish(mqtt.TopicInfo{Topic: "loop", QOS: 1}, []byte("go")) },
		Message: func(m *mqtt.Delivery) { // publishes far more than the queue holds
			if n++; n == 100 {
				d.Close()
				close(done)
				return
			}
			m.Ack()
			next := mqtt.Message{Topic: "loop", QOS: 1, Payload: []byte("go")}
			if err := d.PublishWait(context.Background(), next); err != nil {
				t.Error(err)
			}
		}}))
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("stuck after %d messages: %+v", n, d.Stats())
	}
	d.Wait()
}

// A message that makes the peer close the connection is found among others and given up.
func TestPoison(t *testing.T) {
	got := map[string]bool{}
	var mu sync.Mutex
	serve := func(c net.Conn) {
		s := transport.NewNetConn(c)
		for {
			p, err := s.Receive()
			if err != nil {
				return
			}
			switch p := p.(type) {
			case *packet.Connect:
				s.Send(packet.NewConnack(), false)
			case *packet.Publish:
				if strings.HasPrefix(string(p.Message.Payload), "poison") {
					return
				}
				mu.Lock()
				got[string(p.Message.Payload)] = true
				mu.Unlock()
				s.Send(&packet.Puback{ID: p.ID}, false)
			}
		}
	}
	scripts := make([]func(net.Conn), 50)
	for i := range scripts {
		scripts[i] = serve
	}
	cfg := mqtt.ClientInfo{Address: peer(t, scripts...), ClientID: "c", Interval: time.Millisecond}
	d := start(t, cfg, nil, mqtt.WithPoisonLimit(3))
	type result struct {
		payload string
		err     error
	}
	results := make(chan result, 100)
	const n = 40
	for i := range n {
		p := fmt.Sprint(i)
		if i%20 == 5 {
			p = "poison" + p
		}
		m := mqtt.Message{Topic: "t", QOS: 1, Payload: []byte(p)}
		done := func(err error) { results <- result{p, err} }
		require.NoError(t, d.PublishAsync(context.Background(), m, done))
	}
	for range n {
		select {
		case r := <-results:
			if strings.HasPrefix(r.payload, "poison") {
				require.ErrorIs(t, r.err, mqtt.ErrPoison)
			} else {
				require.NoError(t, r.err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("messages are stuck: %+v", d.Stats())
		}
	}
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, got, n-2)
}

func TestOversizePacketFromThePeer(t *testing.T) {
	large := publish(0, 0, strings.Repeat("x", 100), false)
	address := peer(t, play(t, flow.New().Receive(connect("c")).Send(packet.NewConnack(), large).End()))
	cfg := mqtt.ClientInfo{Address: address, ClientID: "c"}
	cfg.Message.Length.Max = 64
	var r recorder
	start(t, cfg, &r)
	mqtttest.Until(t, "limit is reported", func() bool {
		return len(r.failures()) > 0 && strings.Contains(r.failures()[0].Error(), "message.length.max")
	})
}

func TestPublishRefusesWhatCanNotBeSent(t *testing.T) {
	d, err := mqtt.NewDispatcher(mqtt.ClientInfo{Address: "tcp://127.0.0.1:1", ClientID: "c"})
	require.NoError(t, err)
	for _, topic := range []string{"", "a/+", "#", "a\x00b", "\xff", strings.Repeat("x", 65536)} {
		require.Error(t, d.Publish(mqtt.TopicInfo{Topic: topic}, nil), "%q", topic)
	}
	require.Error(t, d.Publish(mqtt.TopicInfo{Topic: "t", QOS: 3}, nil))
	ctx, cancel := context.WithCancel(context.Background())
	for range 10 {
		require.NoError(t, d.PublishAsync(ctx, mqtt.Message{Topic: "t"}, nil))
	}
	cancel()
	require.ErrorIs(t, d.PublishAsync(ctx, mqtt.Message{Topic: "t"}, nil), context.Canceled)
	d.Close()
}

// The peer refuses several messages one after the other. Giving one up makes the delays between attempts short again.
func TestSeveralPoisonMessages(t *testing.T) {
	f := mqtttest.NewFake(t)
	f.Judge(func(*packet.Publish) mqtttest.Outcome { return mqtttest.Close })
	d := start(t, mqtt.ClientInfo{Address: f.Address, ClientID: "c", Interval: time.Minute}, nil, mqtt.WithPoisonLimit(1))
	results := make(chan error, 10)
	for range 5 {
		done := func(err error) { results <- err }
		require.NoError(t, d.PublishAsync(context.Background(), mqtt.Message{Topic: "t", QOS: 1}, done))
		require.ErrorIs(t, <-results, mqtt.ErrPoison) // with delays that grow, the last would take 15 s
	}
	require.Equal(t, 5, f.Connects())
}
