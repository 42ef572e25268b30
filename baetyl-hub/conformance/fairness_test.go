package conformance_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// patient keeps a client that reads nothing for as long as a test takes on a busy machine.
const patient = "connection: {write: {timeout: 1h}}\n"

// A client that subscribes, publishes and does not read blocks neither other publishers, nor the hub, nor a new
// connection with its client id.
func TestReaderThatStopsReading(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+patient+"message: {egress: {qos0: {buffer: {bytes: 64k}}}}")
	dead := b.keep("dead")
	_ = dead.conn.(*net.TCPConn).SetReadBuffer(1024)
	dead.sub(2, "t", "own")
	by, live := b.clean("by"), b.clean("live")
	live.sub(2, "t")
	payload := strings.Repeat("x", 20000)
	dropped := func() bool { return b.stat("dropped_slow_reader") > 0 }
	for i := 0; i < 2000 && !dropped(); i++ { // until its socket and buffer are full
		by.pub("t", payload, 0)
		live.want("t", payload, 0)
	}
	require.True(t, dropped())
	// It publishes and does not read the answers.
	for i := range 50 {
		dead.send(&packet.Publish{ID: packet.ID(i + 1), Message: message("own", "m", 1)})
	}
	for i := range 200 {
		by.pub("t", fmt.Sprint(i), packet.QOS(1+i%2))
		require.Equal(t, fmt.Sprint(i), string(live.take().Message.Payload))
	}
	live.settle()
	begin := time.Now()
	_, present := b.session(hello("dead", false)) // takes over from the one that does not read
	require.True(t, present)
	require.Less(t, time.Since(begin), scriptTimeout)
}

// The hub closes the connection of a client that reads nothing for connection.write.timeout.
func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"connection: {write: {timeout: 200ms}}")
	dead, by := b.clean("dead"), b.clean("by")
	_ = dead.conn.(*net.TCPConn).SetReadBuffer(1024)
	dead.sub(0, "t")
	payload := strings.Repeat("x", 30000)
	eventually(t, "the dead reader's end", func() bool {
		by.pub("t", payload, 0)
		return b.stat("connections") == 1
	})
}

// A client that never acknowledges gets as many messages as its window has, and no more.
func TestClientThatNeverAcknowledges(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"message: {egress: {qos1: {retry: {interval: 1h}}}}") // all this may take longer than 20 s
	mute, by, live := b.keep("mute"), b.clean("by"), b.keep("live")
	mute.sub(2, "t")
	live.sub(1, "t")
	for i := range 500 {
		by.pub("t", fmt.Sprint(i), 2)
		live.want("t", fmt.Sprint(i), 1)
	}
	for i := range 100 {
		require.Equal(t, fmt.Sprint(i), string(mute.next().Message.Payload))
	}
	mute.quiet()
}

// 200 subscribers dropped under traffic leave nothing behind: no session, no subscription, no goroutine.
func TestNoGoroutineIsLeft(t *testing.T) { // not parallel: it counts goroutines
	b := start(t, anyone)
	by := b.clean("by")
	by.pub("t", "warm up", 1)
	before := runtime.NumGoroutine()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				by.pub("t", "m", packet.QOS(i%3))
			}
		}
	}()
	for i := range 200 {
		p := b.login(hello(fmt.Sprint("p", i%20), i%2 == 0))
		both := []packet.Subscription{{Topic: "t", QOS: packet.QOS(i % 3)}, {Topic: "#"}}
		p.send(&packet.Subscribe{ID: 1, Subscriptions: both})
		for range 1 + i%5 {
			p.recv()
		}
		p.close()
	}
	close(stop)
	<-done
	for i := range 20 {
		b.clean(fmt.Sprint("p", i)).close()
	}
	eventually(t, "sessions and connections of all but the publisher gone", func() bool {
		return b.stat("connections") == 1 && b.stat("sessions") == 1 && b.stat("subscriptions") == 0
	})
	last := 0
	eventually(t, "goroutines gone", func() bool { last = runtime.NumGoroutine(); return last <= before+2 })
	eventually(t, "nothing stored", func() bool { return b.stat("stored_messages") == 0 })
}

// The hub stops quickly whatever its clients do: full windows, full sockets, unread answers.
func TestStopWithFullWindows(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"shutdown: {timeout: 15s}")
	by := b.clean("by")
	var peers []*peer
	for i := range 10 {
		p := b.login(hello(fmt.Sprint("p", i), i%2 == 0))
		_ = p.conn.(*net.TCPConn).SetReadBuffer(1024)
		p.sub(packet.QOS(i%3), "t")
		peers = append(peers, p)
	}
	payload := strings.Repeat("x", 10000)
	for range 400 {
		by.pub("t", payload, 1)
	}
	for _, p := range peers {
		p.send(&packet.Publish{ID: 1, Message: message("t", "m", 2)})
	}
	b.stop() // fails after scriptTimeout
}

// A client that reconnects in a loop does not delay the others.
func TestReconnectLoop(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				p := b.keep("loop")
				p.sub(1, "t")
				p.close()
			}
		}
	}()
	p := b.keep("p")
	p.sub(1, "u")
	for i := range 100 {
		p.send(&packet.Publish{ID: 1, Message: message("u", fmt.Sprint(i), 1)})
		p.expect(&packet.Puback{ID: 1})
		p.want("u", fmt.Sprint(i), 1)
	}
	close(stop)
	<-done
}

// QoS 0 messages over the limit of a slow reader are dropped. Those that it gets are in order, and when it reads again
// it gets new ones.
func TestSlowReaderLosesOnlyQOS0(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+patient+"message: {egress: {qos0: {buffer: {size: 10}}}}")
	slow, by := b.clean("slow"), b.clean("by")
	slow.sub(1, "t", "f")
	payload := strings.Repeat("x", 30000)
	count := 0
	for ; b.stat("dropped_slow_reader") == 0 && count < 2000; count++ {
		by.pub("t", fmt.Sprintf("%06d%s", count, payload), 0)
	}
	for i := range 20 {
		by.pub("f", fmt.Sprint(i), 1)
	}
	last, fs := -1, 0
	for fs < 20 {
		m := slow.next()
		if m.Message.Topic == "f" {
			require.Equal(t, fmt.Sprint(fs), string(m.Message.Payload))
			slow.ack(m)
			fs++
			continue
		}
		n := 0
		_, err := fmt.Sscanf(string(m.Message.Payload[:6]), "%d", &n)
		require.NoError(t, err)
		require.Greater(t, n, last)
		last = n
	}
	require.Less(t, last, count)
}

// Neither thousands of idle clients, nor a topic tree of 100,000 filters, nor a client that subscribes to # and reads
// nothing block the others.
func TestCrowd(t *testing.T) {
	// The numbers are small because both ends of each connection are in this process. make bench has more.
	const idlers, holders, filters = 2000, 20, 5000
	b := start(t, anyone+patient+"session: {subscriptions: {max: 5000}}\n"+
		"message: {topic: {levels: 10}, egress: {qos0: {buffer: {bytes: 64k}}}}")
	for i := range idlers {
		b.clean(fmt.Sprint("idle", i))
	}
	for i := range holders {
		holder := b.keep(fmt.Sprint("holder", i))
		for from := 0; from < filters; from += 100 {
			var list []string
			for j := from; j < from+100; j++ {
				list = append(list, fmt.Sprintf("tree/%d/+/%d/#", j, i))
			}
			holder.sub(1, list...)
		}
	}
	require.EqualValues(t, holders*filters, b.stat("subscriptions"))
	glutton := b.clean("glutton")
	_ = glutton.conn.(*net.TCPConn).SetReadBuffer(1024)
	glutton.sub(0, "#")
	by, live := b.clean("by"), b.keep("live")
	live.sub(1, "tree/1/x/here")
	payload := strings.Repeat("x", 20000)
	for i := 0; i < 2000 && b.stat("dropped_slow_reader") == 0; i++ {
		by.pub("flood", payload, 0)
	}
	for i := range 300 {
		by.pub("tree/1/x/here", fmt.Sprint(i), 1)
		live.want("tree/1/x/here", fmt.Sprint(i), 1)
	}
	require.Positive(t, b.stat("dropped_slow_reader"))
	require.EqualValues(t, idlers+holders+3, b.stat("connections"))
}
