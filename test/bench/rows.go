package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// row is one measurement. Its result is better when it is larger, unless small is set.
type row struct {
	name  string
	unit  string
	small bool
	pair  bool // one publisher, one subscriber, QoS 0: it can be measured on the bare relay too
	own   bool // measured on the hub alone
	run   func(b *broker, d time.Duration) (float64, error)
}

func rows() []row {
	flow := func(name string, o load) row {
		return row{
			name: name,
			unit: "msg/s",
			pair: o.pubs == 1 && o.subs == 1 && o.qos == 0,
			run:  func(b *broker, d time.Duration) (float64, error) { return o.run(b, d) },
		}
	}
	return []row{
		flow("QoS 0, 1 → 1, 64 B, pipelined", load{pubs: 1, subs: 1, size: 64}),
		flow("QoS 0, fan-out 1 → 100", load{pubs: 1, subs: 100, size: 64}),
		flow("QoS 0, fan-in 100 → 1", load{pubs: 100, subs: 1, size: 64}),
		flow("QoS 1, window 20, 64 B, durable", load{pubs: 1, subs: 1, size: 64, qos: 1, window: 20}),
		flow("QoS 1, window 20, 1 KiB, durable", load{pubs: 1, subs: 1, size: 1024, qos: 1, window: 20}),
		flow("QoS 1, window 1, durable", load{pubs: 1, subs: 1, size: 64, qos: 1, window: 1}),
		flow("QoS 1, window 500, durable", load{pubs: 1, subs: 1, size: 64, qos: 1, window: 500}),
		flow("QoS 1, 50 → 50 pairwise, window 20, durable",
			load{pubs: 50, subs: 50, pairs: true, size: 64, qos: 1, window: 20}),
		{name: "QoS 1, window 1, of one sync and one round trip", unit: "of the limit", own: true, run: nearLimit(1)},
		{name: "QoS 1, window 20, of sync, round trip and 20 messages", unit: "of the limit", own: true, run: nearLimit(20)},
		{name: "latency at 500 msg/s, QoS 0, p50", unit: "µs", small: true, pair: true, run: latency(0, 0.5)},
		{name: "latency at 500 msg/s, QoS 0, p99", unit: "µs", small: true, pair: true, run: latency(0, 0.99)},
		{name: "latency at 500 msg/s, QoS 1 durable, p50", unit: "µs", small: true, run: latency(1, 0.5)},
		{name: "latency at 500 msg/s, QoS 1 durable, p99", unit: "µs", small: true, run: latency(1, 0.99)},
		{name: "100,000 retained, one wildcard subscriber", unit: "msg/s", run: retained},
		{name: "100,000 queued QoS 1, drain after reconnect", unit: "msg/s", run: drain},
		{name: "10,000 subscriptions with wildcards, QoS 0", unit: "msg/s", run: manyFilters},
		{name: "10,000 idle clients, memory of each", unit: "KiB", small: true, run: idle},
		{name: "10,000 idle clients, processor time", unit: "ms/s", small: true, run: idleCPU},
		{name: "QoS 1, window 20, beside 500 idle persistent sessions", unit: "of the rate without", run: besideIdle},
		{name: "syncs for each acknowledged message, window 1", unit: "syncs", own: true, run: syncs(1)},
		{name: "syncs for each acknowledged message, window 20", unit: "syncs", own: true, run: syncs(20)},
		{name: "syncs for each acknowledged message, window 500", unit: "syncs", own: true, run: syncs(500)},
	}
}

// load is a flow of messages from publishers to subscribers.
type load struct {
	pubs, subs, size, window int
	qos                      packet.QOS
	pairs                    bool // each publisher has its own subscriber
}

// run returns how many messages a second arrive at the subscribers, counted over d after a second of warming up.
func (l load) run(b *broker, d time.Duration) (float64, error) {
	stop := make(chan struct{})
	var wg, ready sync.WaitGroup
	defer wg.Wait()
	prefix := fmt.Sprintf("b%d", time.Now().UnixNano()%1e9)
	var receivers []*receiver
	var closers []*client
	defer func() {
		close(stop)
		for _, c := range closers {
			c.close()
		}
	}()
	ready.Add(l.subs)
	for i := range l.subs {
		filter := prefix + "/t"
		if l.pairs {
			filter = fmt.Sprintf("%s/t%d", prefix, i)
		}
		r, err := newReceiver(b.address, fmt.Sprintf("%s-s%d", prefix, i), filter, l.qos, l.qos == 0, b.user)
		if err != nil {
			return 0, err
		}
		closers, receivers = append(closers, r.client), append(receivers, r)
		wg.Go(func() { r.run(&ready) })
	}
	ready.Wait()
	for i := range l.pubs {
		c, err := dial(b.address, fmt.Sprintf("%s-p%d", prefix, i), true, b.user)
		if err != nil {
			return 0, err
		}
		closers = append(closers, c)
		p := &publisher{client: c, topic: prefix + "/t", qos: l.qos, payload: make([]byte, l.size)}
		if l.pairs {
			p.topic = fmt.Sprintf("%s/t%d", prefix, i)
		}
		wg.Go(func() {
			if l.qos == 0 {
				p.flood(stop)
			} else {
				p.window(l.window, 1<<62, stop)
			}
		})
	}
	total := func() (n int64) {
		for _, r := range receivers {
			n += r.count.Load()
		}
		return n
	}
	time.Sleep(time.Second)
	before, start := total(), time.Now()
	time.Sleep(d)
	return float64(total()-before) / time.Since(start).Seconds(), nil
}

// latency returns a quantile of the time from publishing to receiving, at a steady 500 messages a second.
func latency(qos packet.QOS, quantile float64) func(*broker, time.Duration) (float64, error) {
	return func(b *broker, d time.Duration) (float64, error) {
		prefix := fmt.Sprintf("l%d", time.Now().UnixNano()%1e9)
		r, err := newReceiver(b.address, prefix+"-s", prefix, qos, qos == 0, b.user)
		if err != nil {
			return 0, err
		}
		var mu sync.Mutex
		var times []float64
		r.onFrame = func(payload []byte) {
			t := float64(time.Now().UnixNano()-int64(binary.BigEndian.Uint64(payload))) / 1e3
			mu.Lock()
			times = append(times, t)
			mu.Unlock()
		}
		var ready, wg sync.WaitGroup
		ready.Add(1)
		wg.Go(func() { r.run(&ready) })
		ready.Wait()
		c, err := dial(b.address, prefix+"-p", true, b.user)
		if err != nil {
			return 0, err
		}
		wg.Go(func() {
			for {
				if _, err := c.read(); err != nil {
					return
				}
			}
		})
		payload := make([]byte, 64)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i, end := 0, time.Now().Add(d); time.Now().Before(end); i++ {
			<-tick.C
			binary.BigEndian.PutUint64(payload, uint64(time.Now().UnixNano()))
			if err := c.send(encode(prefix, payload, qos, packet.ID(i%60000+1))); err != nil {
				return 0, err
			}
		}
		time.Sleep(200 * time.Millisecond)
		c.close()
		r.close()
		wg.Wait()
		if len(times) == 0 {
			return 0, fmt.Errorf("nothing arrived")
		}
		sort.Float64s(times)
		return times[int(float64(len(times)-1)*quantile)], nil
	}
}

func manyFilters(b *broker, d time.Duration) (float64, error) {
	var clients []*client
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	for i := range 100 {
		r, err := newReceiver(b.address, fmt.Sprintf("wild%d", i), fmt.Sprintf("wild/%d/+/none", i), 0, true, b.user)
		if err != nil {
			return 0, err
		}
		clients = append(clients, r.client)
		go r.run(nil)
		for j := 1; j < 100; j++ {
			if err := r.subscribe(fmt.Sprintf("wild/+/%d/x%d/#", j, i), 0); err != nil {
				return 0, err
			}
		}
	}
	return load{pubs: 1, subs: 1, size: 64}.run(b, d)
}

const clients = 10000

// idlers connects clients that do nothing.
func idlers(b *broker) (leave func(), err error) {
	all := make([]*client, 0, clients)
	leave = func() {
		for _, c := range all {
			c.close()
		}
	}
	for i := range clients {
		c, err := dial(b.address, fmt.Sprintf("idle%d", i), true, b.user)
		if err != nil {
			leave()
			return nil, fmt.Errorf("client %d: %w", i, err)
		}
		c.r = nil
		all = append(all, c)
	}
	return leave, nil
}

func idle(b *broker, _ time.Duration) (float64, error) {
	before, err := b.rss()
	if err != nil {
		return 0, err
	}
	leave, err := idlers(b)
	if err != nil {
		return 0, err
	}
	defer leave()
	time.Sleep(3 * time.Second)
	after, err := b.rss()
	return float64(after-before) / 1024 / clients, err
}

func idleCPU(b *broker, d time.Duration) (float64, error) {
	leave, err := idlers(b)
	if err != nil {
		return 0, err
	}
	defer leave()
	time.Sleep(3 * time.Second) // what connecting costs is not counted
	before, err := b.cpu()
	if err != nil {
		return 0, err
	}
	time.Sleep(2 * d)
	after, err := b.cpu()
	return (after - before).Seconds() * 1000 / (2 * d).Seconds(), err
}

func besideIdle(b *broker, d time.Duration) (float64, error) {
	flow := load{pubs: 1, subs: 1, size: 64, qos: 1, window: 20}
	if _, err := flow.run(b, 2*d); err != nil { // warming up, also of the store
		return 0, err
	}
	without, err := flow.run(b, 2*d)
	if err != nil {
		return 0, err
	}
	for i := range 500 {
		r, err := newReceiver(b.address, fmt.Sprintf("sleeper%d", i), fmt.Sprintf("sleep/%d", i), 1, false, b.user)
		if err != nil {
			return 0, err
		}
		r.start()
		defer r.close()
	}
	with, err := flow.run(b, 2*d)
	return with / without, err
}

// syncs returns how often the hub syncs its disk for each message that it acknowledges.
func syncs(window int) func(*broker, time.Duration) (float64, error) {
	return func(b *broker, d time.Duration) (float64, error) {
		before, err := metric("baetyl_hub_store_syncs_total")
		if err != nil {
			return 0, err
		}
		r, err := newReceiver(b.address, "syncs-s", "syncs", 1, false, b.user)
		if err != nil {
			return 0, err
		}
		defer r.close()
		r.start()
		c, err := dial(b.address, "syncs-p", true, b.user)
		if err != nil {
			return 0, err
		}
		defer c.close()
		p := &publisher{client: c, topic: "syncs", qos: 1, payload: make([]byte, 64)}
		stop := make(chan struct{})
		time.AfterFunc(d, func() { close(stop) })
		p.window(window, 1<<62, stop)
		after, err := metric("baetyl_hub_store_syncs_total")
		return (after - before) / float64(p.acked.Load()), err
	}
}

// metric reads a value of the hub's Prometheus page.
func metric(name string) (float64, error) {
	resp, err := http.Get("http://" + hubMetrics + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

func until(limit time.Duration, cond func() bool) error {
	for end := time.Now().Add(limit); !cond(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			return fmt.Errorf("not within %s", limit)
		}
	}
	return nil
}
