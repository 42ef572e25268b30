//go:build linux

package soak_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// What the load consists of. The rates are messages a second.
const (
	visitors     = 50  // sessions that come for a moment
	absent       = 2   // sessions that come at the end alone
	flows        = 6   // of QoS 1, to all of them
	flowRate     = 100 // of each
	sideRate     = 20  // of QoS 2, of the route and of the function, each
	retainTopics = 200
	retainRate   = 10
	drainLimit   = 5 * time.Minute // without any message
)

// load is everything that clients do. Its errors are collected.
type load struct {
	t    *testing.T
	site *site
	plan plan

	flows    []*flow
	function *flow
	readers  []*reader // the first ones come for a moment, then those that come at the end, then the one that stays
	results  *results
	retained map[string]string // acknowledged, by topic
	wills    atomic.Int64      // of clients that broke off
	notified atomic.Int64      // wills that came

	mu   sync.Mutex
	errs []error
}

// results are those of the function.
type results struct {
	mu   sync.Mutex
	seen map[int]bool
	more int // repeated ones
}

var resultID = regexp.MustCompile(`^\{"id":(\d+)\}$`)

func newLoad(t *testing.T, s *site, p plan) *load {
	t.Helper()
	l := &load{t: t, site: s, plan: p, results: &results{seen: map[int]bool{}}, retained: map[string]string{}}
	add := func(id, topic string, qos packet.QOS, rate int) *flow {
		f := &flow{peer: l.peer(id), topic: topic, qos: qos, rate: rate, format: mqtttest.Number}
		l.flows = append(l.flows, f)
		return f
	}
	for i := range flows {
		add(fmt.Sprintf("from-%d", i), fmt.Sprintf("soak/flow/%d", i), 1, flowRate)
	}
	all := l.flows[:flows:flows]
	exact := add("from-exact", "soak/exact", 2, sideRate)
	route := add("from-route", "soak/route/in", 1, sideRate)
	l.function = add("from-function", "soak/function/in", 1, sideRate)
	l.function.format = func(n int) []byte { return fmt.Appendf(nil, `{"id": %d}`, n) }
	for i := range visitors + absent {
		r := l.reader(fmt.Sprintf("visitor-%d", i), all, packet.Subscription{Topic: "soak/flow/#", QOS: 1})
		if i%10 == 0 {
			r.flows = append(r.flows, exact)
			r.peer.Filters = append(r.peer.Filters, packet.Subscription{Topic: exact.topic, QOS: 2})
		}
	}
	stays := l.reader("stays", append(all, route, exact), packet.Subscription{Topic: "soak/flow/+", QOS: 1},
		packet.Subscription{Topic: "soak/route/out", QOS: 1}, packet.Subscription{Topic: "soak/exact", QOS: 2},
		packet.Subscription{Topic: "soak/function/out", QOS: 1}, packet.Subscription{Topic: "soak/will/#", QOS: 1})
	stays.peer.OnMessage = func(m *packet.Message) {
		switch {
		case m.Topic == "soak/function/out":
			l.result(string(m.Payload))
		case strings.HasPrefix(m.Topic, "soak/will/"):
			l.notified.Add(1)
		default:
			stays.Receive(m)
		}
	}
	for _, r := range l.readers { // whose sessions exist before anything is published
		require.NoError(t, l.subscribe(r))
	}
	return l
}

func (l *load) peer(id string) *mqtttest.Peer {
	return &mqtttest.Peer{ID: "soak-" + id, Address: l.site.address, Username: "test", Password: "hahaha"}
}

func (l *load) reader(id string, of []*flow, filters ...packet.Subscription) *reader {
	r := &reader{peer: l.peer(id), flows: append([]*flow{}, of...)}
	r.peer.Filters, r.peer.OnMessage = filters, r.Receive
	l.readers = append(l.readers, r)
	return r
}

// subscribe makes the session of a reader. From then on the hub has to know it.
func (l *load) subscribe(r *reader) error {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	ready := false
	r.peer.OnReady = func(bool) { ready = true; stop() }
	err := r.peer.Visit(ctx)
	if err == nil && !ready {
		err = errors.New("no answer to SUBSCRIBE within a minute")
	}
	r.peer.OnReady = func(present bool) {
		if !present {
			l.report(fmt.Errorf("%s: the hub has forgotten the session", r.peer.ID))
		}
	}
	return err
}

// report takes an error, if it is one.
func (l *load) report(err error) {
	if err != nil {
		l.mu.Lock()
		l.errs = append(l.errs, err)
		l.mu.Unlock()
	}
}

// failure is what went wrong so far.
func (l *load) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.errs
	for _, r := range l.readers {
		for _, w := range r.Wrong() {
			all = append(all, fmt.Errorf("%s: %s", r.peer.ID, w))
		}
	}
	return errors.Join(all...)
}

func (l *load) result(payload string) {
	m := resultID.FindStringSubmatch(payload)
	if m == nil {
		l.report(fmt.Errorf("the function answers %s", payload))
		return
	}
	n, err := strconv.Atoi(m[1])
	l.report(err)
	l.results.mu.Lock()
	defer l.results.mu.Unlock()
	if l.results.seen[n] {
		l.results.more++
	}
	l.results.seen[n] = true
}

// answered is how many messages have a result.
func (l *load) answered() int {
	l.results.mu.Lock()
	defer l.results.mu.Unlock()
	return len(l.results.seen)
}

// probe waits until the function answers. Message 0 is for this alone.
func (l *load) probe(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	stays, asks := l.readers[len(l.readers)-1], l.peer("probe")
	asks.Clean = true
	for _, p := range []*mqtttest.Peer{stays.peer, asks} {
		wg.Go(func() { l.report(p.Visit(ctx)) })
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for l.answered() == 0 {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), l.failure())
		case <-tick.C:
		}
		err := asks.Publish(ctx, packet.Message{Topic: l.function.topic, QOS: 1, Payload: l.function.format(0)})
		if err != nil {
			return err
		}
	}
	return nil
}

// run is the load, until ctx ends and everything that was published is acknowledged.
func (l *load) run(ctx context.Context) {
	var wg sync.WaitGroup
	stays := l.readers[len(l.readers)-1]
	wg.Go(func() { l.report(stays.peer.Visit(ctx)) })
	for _, f := range l.flows {
		wg.Go(func() { l.report(f.run(ctx)) })
	}
	for i, r := range l.readers[:visitors] {
		wg.Go(func() {
			l.every(ctx, l.plan.period, l.plan.period*time.Duration(i)/visitors, func() {
				l.report(r.visit(ctx, l.plan.visit))
			})
		})
	}
	wg.Go(func() { l.retain(ctx) })
	wg.Go(func() { l.breakOff(ctx) })
	wg.Wait()
}

// every calls f after first, and then again and again, until ctx ends.
func (l *load) every(ctx context.Context, period, first time.Duration, f func()) {
	t := time.NewTimer(first)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		t.Reset(period)
		f()
	}
}

// retain changes retained messages, and removes one now and then.
func (l *load) retain(ctx context.Context) {
	p := l.peer("retain")
	acked := map[string]string{}
	p.OnAck = func(m *packet.Message) {
		if acked[m.Topic] = string(m.Payload); len(m.Payload) == 0 {
			delete(acked, m.Topic)
		}
	}
	connected, leave := context.WithCancel(context.Background())
	visit := make(chan error, 1)
	go func() { visit <- p.Visit(connected) }()
	n := 0
	l.every(ctx, time.Second/retainRate, 0, func() {
		n++
		topic := fmt.Sprintf("soak/retained/%d", n*7%retainTopics)
		m := packet.Message{Topic: topic, QOS: 1, Retain: true, Payload: mqtttest.Number(n)}
		if n%20 == 0 {
			m.Payload = nil
		}
		_ = p.Publish(ctx, m) // it fails at the end alone
	})
	for end := time.Now().Add(time.Minute); p.InFlight() > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	leave()
	l.report(<-visit)
	l.retained = acked
}

// breakOff is clients without a session to keep, each for a moment: one says DISCONNECT, one breaks off, in turns.
func (l *load) breakOff(ctx context.Context) {
	n := 0
	l.every(ctx, time.Second, 0, func() {
		n++
		p := l.peer(fmt.Sprintf("moment-%d", n))
		p.Clean = true
		p.Filters = []packet.Subscription{{Topic: fmt.Sprintf("soak/flow/%d", n%flows)}, {Topic: "soak/moment/+", QOS: 1}}
		if n%2 == 0 {
			p.Will = &packet.Message{Topic: fmt.Sprintf("soak/will/%d", n%20), QOS: 1, Payload: mqtttest.Number(n)}
		}
		short, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		connected := false
		p.OnReady = func(bool) { connected = true; stop() }
		l.report(p.Visit(short))
		if connected && p.Will != nil {
			l.wills.Add(1)
		}
	})
}

// drain waits until everybody has everything.
func (l *load) drain() {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, r := range l.readers {
		wg.Go(func() { l.report(r.peer.Visit(ctx)) })
	}
	kept := maps.Clone(l.retained)
	again := l.peer("retained")
	again.Clean, again.Filters = true, []packet.Subscription{{Topic: "soak/retained/#", QOS: 1}}
	var mu sync.Mutex
	again.OnMessage = func(m *packet.Message) {
		mu.Lock()
		defer mu.Unlock()
		if want := kept[m.Topic]; want != string(m.Payload) {
			l.report(fmt.Errorf("%s: the retained message is %.10q, acknowledged was %.10q", m.Topic, m.Payload, want))
		}
		delete(kept, m.Topic)
	}
	wg.Go(func() { l.report(again.Visit(ctx)) })
	lacks := func() (what []string, progress int) {
		for _, r := range l.readers {
			if m := r.missing(); m != "" {
				what = append(what, m)
			}
			got, _ := r.Count()
			progress += got
		}
		if got, want := l.answered(), l.function.count()+1; got < want {
			what = append(what, fmt.Sprintf("the function: %d of %d results", got, want))
		}
		if got, want := l.notified.Load(), l.wills.Load(); got != want {
			what = append(what, fmt.Sprintf("wills: %d of %d", got, want))
		}
		mu.Lock()
		defer mu.Unlock()
		if len(kept) > 0 {
			what = append(what, fmt.Sprintf("%d retained messages", len(kept)))
		}
		return what, progress + l.answered()
	}
	last, end := 0, time.Now().Add(drainLimit)
	for {
		what, progress := lacks()
		if len(what) == 0 || l.failure() != nil {
			break
		}
		if progress != last {
			last, end = progress, time.Now().Add(drainLimit)
		}
		if time.Now().After(end) {
			l.report(fmt.Errorf("is missing, after %s without a message: %s", drainLimit, strings.Join(what, "; ")))
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	wg.Wait()
}

// summary says what there was.
func (l *load) summary() string {
	acked, delivered, repeated := 0, 0, 0
	for _, f := range l.flows {
		acked += f.count()
	}
	for _, r := range l.readers {
		got, again := r.Count()
		delivered += got
		repeated += again
	}
	return fmt.Sprintf("%d messages acknowledged; %d delivered to %d sessions, %d more than once; "+
		"%d results of the function, %d more than once; %d wills; %d retained messages", acked, delivered, len(l.readers), repeated, l.answered(),
		l.results.more, l.notified.Load(), len(l.retained))
}
