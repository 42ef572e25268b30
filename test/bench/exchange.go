package main

import (
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// resultTimeout is how long a result may take before the measurement is given up.
const resultTimeout = 30 * time.Second

func quantile(v []float64, q float64) float64 {
	sort.Float64s(v)
	return v[int(float64(len(v)-1)*q)]
}

// exchange is a publisher on <name>/in and a subscriber on <name>/out.
type exchange struct {
	in      *client
	name    string
	qos     packet.QOS
	next    packet.ID
	got     atomic.Int64
	results chan struct{} // filled while results come; its size is the limit of messages under way
	close   func()
}

func (s *site) open(name, results string, qos packet.QOS) (*exchange, error) {
	r, err := newReceiver(s.address, "bench-out-"+name, results, qos, true, "test")
	if err != nil {
		return nil, err
	}
	x := &exchange{name: name, qos: qos, results: make(chan struct{}, 1<<16)}
	r.onFrame = func([]byte) {
		x.got.Add(1)
		x.results <- struct{}{}
	}
	var ready, wg sync.WaitGroup
	ready.Add(1)
	wg.Go(func() { r.run(&ready) })
	ready.Wait()
	if x.in, err = dial(s.address, "bench-in-"+name, true, "test"); err != nil {
		r.close()
		wg.Wait()
		return nil, err
	}
	wg.Go(func() {
		for {
			if _, err := x.in.read(); err != nil {
				return
			}
		}
	})
	x.close = func() {
		x.in.close()
		r.close()
		wg.Wait()
	}
	return x, nil
}

// message is the next one to publish.
func (x *exchange) message(topic string) []byte {
	x.next = x.next%60000 + 1
	return encode(topic, fmt.Appendf(nil, `{"id":%d,"text":"0123456789"}`, x.next), x.qos, x.next)
}

func (x *exchange) publish() error { return x.in.send(x.message(x.name + "/in")) }

func (x *exchange) wait(limit time.Duration) error {
	select {
	case <-x.results:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%s: no result within %s, %d before", x.name, limit, x.got.Load())
	}
}

// ready opens an exchange and waits until the function, or what is in its place, gives a result.
func (s *site) ready(name string, qos packet.QOS) (*exchange, error) {
	x, err := s.open(name, name+"/out", qos)
	if err != nil {
		return nil, err
	}
	for range 30 {
		if err = x.publish(); err != nil {
			break
		}
		if err = x.wait(time.Second); err == nil {
			for x.wait(300*time.Millisecond) == nil { // of a message before, which came late
			}
			return x, nil
		}
	}
	x.close()
	return nil, err
}

// roundTrips returns the times from publishing to the result, in µs, one message at a time.
func (s *site) roundTrips(name string, qos int, d time.Duration) ([]float64, error) {
	x, err := s.ready(name, packet.QOS(qos))
	if err != nil {
		return nil, err
	}
	defer x.close()
	var times []float64
	for end := time.Now().Add(d); time.Now().Before(end); {
		start := time.Now()
		if err := errors.Join(x.publish(), x.wait(resultTimeout)); err != nil {
			return nil, err
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/1e3)
	}
	return times[len(times)/10:], nil // the first tenth is warming up
}

// throughput returns the results a second with so many messages under way, at QoS 1. Each must have its result.
func (s *site) throughput(name string, under int, d time.Duration) (float64, error) {
	x, err := s.ready(name, 1)
	if err != nil {
		return 0, err
	}
	defer x.close()
	send := func(n int) error {
		var b []byte
		for range n {
			b = append(b, x.message(name+"/in")...)
		}
		return x.in.send(b)
	}
	if err := send(under); err != nil {
		return 0, err
	}
	count := 0
	var start time.Time
	for end := time.Now().Add(d + time.Second); time.Now().Before(end); {
		if err := x.wait(resultTimeout); err != nil {
			return 0, err
		}
		n := 1
		for len(x.results) > 0 { // what has come together goes out together
			<-x.results
			n++
		}
		if err := send(n); err != nil {
			return 0, err
		}
		if count += n; start.IsZero() && time.Until(end) < d {
			start, count = time.Now(), 0
		}
	}
	rate := float64(count) / time.Since(start).Seconds()
	for i := range under {
		if err := x.wait(resultTimeout); err != nil {
			return 0, fmt.Errorf("%d of the last %d are lost: %w", under-i, under, err)
		}
	}
	return rate, nil
}

// burst publishes n messages at QoS 0 as fast as the hub takes them, and returns the results a second until the last
// one. Each must have its result.
func (s *site) burst(name string, n int) (float64, error) {
	x, err := s.ready(name, 0)
	if err != nil {
		return 0, err
	}
	defer x.close()
	var all []byte
	for range n {
		all = append(all, x.message(name+"/in")...)
	}
	start := time.Now()
	if err := x.in.send(all); err != nil {
		return 0, err
	}
	for i := range n {
		if err := x.wait(5 * time.Second); err != nil {
			return 0, fmt.Errorf("%d of %d are lost", n-i, n)
		}
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// coldStarts returns how long the first result takes when no instance runs, in ms.
func (s *site) coldStarts(name string, times int) ([]float64, error) {
	x, err := s.ready(name, 1)
	if err != nil {
		return nil, err
	}
	defer x.close()
	var took []float64
	for range times {
		if err := until(resultTimeout, func() bool { return s.pid("cold-"+name, name) == 0 }); err != nil {
			return nil, fmt.Errorf("%s: its instance does not stop", name)
		}
		start := time.Now()
		if err := errors.Join(x.publish(), x.wait(resultTimeout)); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start).Seconds()*1000)
	}
	return took, nil
}

// hundredResults returns how many seconds 100 functions take that are cold and get one message each.
func (s *site) hundredResults() (float64, error) {
	x, err := s.open("hundred", "hundred/+/out", 1)
	if err != nil {
		return 0, err
	}
	defer x.close()
	if err := until(2*resultTimeout, func() bool { return s.pid("hundred", "hundred") == 0 }); err != nil {
		return 0, errors.New("the instances of the 100 functions do not stop")
	}
	var all []byte
	for i := range 100 {
		all = append(all, x.message(fmt.Sprintf("hundred/%d/in", i))...)
	}
	start := time.Now()
	if err := x.in.send(all); err != nil {
		return 0, err
	}
	for i := range 100 {
		if err := x.wait(2 * resultTimeout); err != nil {
			return 0, fmt.Errorf("after %d results: %w", i, err)
		}
	}
	return time.Since(start).Seconds(), nil
}
