package main

import (
	"fmt"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// Rows that fill a broker with many messages before they measure.

const (
	many      = 100000
	fillLimit = time.Minute // for a broker to take many messages
)

func retained(b *broker, _ time.Duration) (float64, error) {
	c, err := dial(b.address, "retainer", true, b.user)
	if err != nil {
		return 0, err
	}
	defer c.close()
	p := &publisher{client: c}
	go func() {
		for {
			if _, err := c.read(); err != nil {
				return
			}
			p.acked.Add(1)
		}
	}()
	var buf []byte
	end := time.Now().Add(fillLimit)
	for i := range many {
		for int64(i)-p.acked.Load() > 1000 {
			if time.Now().After(end) {
				return 0, fmt.Errorf("retain: %d of %d acknowledged within %s", p.acked.Load(), many, fillLimit)
			}
			time.Sleep(100 * time.Microsecond)
		}
		x := packet.NewPublish()
		x.ID = packet.ID(i%60000 + 1)
		x.Message = packet.Message{
			Topic:   fmt.Sprintf("retained/%d/%d", i%317, i),
			Payload: make([]byte, 64),
			QOS:     1,
			Retain:  true,
		}
		n := len(buf)
		buf = append(buf, make([]byte, x.Len())...)
		if _, err := x.Encode(buf[n:]); err != nil {
			return 0, err
		}
		if len(buf) > 16<<10 || i == many-1 {
			if err := c.send(buf); err != nil {
				return 0, err
			}
			buf = buf[:0]
		}
	}
	if err := until(30*time.Second, func() bool { return p.acked.Load() >= many }); err != nil {
		return 0, fmt.Errorf("retain: %d of %d acknowledged", p.acked.Load(), many)
	}
	start := time.Now()
	r, err := newReceiver(b.address, "retained-reader", "retained/#", 1, true, b.user)
	if err != nil {
		return 0, err
	}
	defer r.close()
	go r.run(nil)
	if err := until(30*time.Second, func() bool { return r.count.Load() >= many }); err != nil {
		return 0, fmt.Errorf("%d of %d arrived", r.count.Load(), many)
	}
	return many / time.Since(start).Seconds(), nil
}

func drain(b *broker, _ time.Duration) (float64, error) {
	r, err := newReceiver(b.address, "drainer", "drain", 1, false, b.user)
	if err != nil {
		return 0, err
	}
	r.start()
	_ = r.send([]byte{0xe0, 0})
	r.close()
	c, err := dial(b.address, "filler", true, b.user)
	if err != nil {
		return 0, err
	}
	defer c.close()
	p := &publisher{client: c, topic: "drain", qos: 1, payload: make([]byte, 64)}
	stop := make(chan struct{})
	late := time.AfterFunc(fillLimit, func() { close(stop) })
	p.window(500, many, stop)
	if !late.Stop() {
		return 0, fmt.Errorf("fill: %d of %d acknowledged within %s", p.acked.Load(), many, fillLimit)
	}
	start := time.Now()
	c2, err := dial(b.address, "drainer", false, b.user)
	if err != nil {
		return 0, err
	}
	r2 := &receiver{client: c2}
	defer r2.close()
	go r2.run(nil)
	if err := until(30*time.Second, func() bool { return r2.count.Load() >= many }); err != nil {
		return 0, fmt.Errorf("%d of %d arrived", r2.count.Load(), many)
	}
	return many / time.Since(start).Seconds(), nil
}
