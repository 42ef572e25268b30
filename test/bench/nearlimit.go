package main

import (
	"fmt"
	"time"
)

// nearLimit returns the rate at a window, of the rate that the machine allows: a window takes one sync, one round trip,
// and the processor time of its messages, all of them measured here. (Of a window of one the round trip has that time.)
// Syncs and round trips are measured before and after, since the disk is not the same from second to second.
func nearLimit(window int) func(*broker, time.Duration) (float64, error) {
	return func(b *broker, d time.Duration) (float64, error) {
		flow := func(w int) load { return load{pubs: 1, subs: 1, size: 64, qos: 1, window: w} }
		before, err := syncAndTrip(d / 2)
		if err != nil {
			return 0, err
		}
		rate, err := flow(window).run(b, d)
		if err != nil {
			return 0, err
		}
		after, err := syncAndTrip(d / 2)
		if err != nil {
			return 0, err
		}
		least := (before + after) / 2
		if window > 1 {
			most, err := flow(500).run(b, d)
			if err != nil {
				return 0, err
			}
			least += float64(window) / most
		}
		return rate * least / float64(window), nil
	}
}

// syncAndTrip returns how long a sync and a round trip take together, in seconds: means over d each.
func syncAndTrip(d time.Duration) (float64, error) {
	times, err := syncTimes(true, 0, d)
	if err != nil {
		return 0, err
	}
	trip, err := roundTrip(d)
	return d.Seconds()/float64(len(times)) + trip, err
}

// roundTrip returns how long a message takes to another process and back, in seconds: the bare relay gives it to its
// newest subscriber, which is the publisher.
func roundTrip(d time.Duration) (float64, error) {
	b := &broker{name: "bare relay", setup: bareRelay}
	defer b.stop()
	if err := b.start(); err != nil {
		return 0, fmt.Errorf("start the relay: %w", err)
	}
	c, err := dial(b.address, "trip", true, "")
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.subscribe("trip", 0); err != nil {
		return 0, err
	}
	if _, err := c.read(); err != nil {
		return 0, err
	}
	one := encode("trip", make([]byte, 64), 0, 0)
	n, start := 0, time.Now()
	for end := start.Add(d); time.Now().Before(end); n++ {
		if err := c.send(one); err != nil {
			return 0, err
		}
		if _, err := c.read(); err != nil {
			return 0, err
		}
	}
	return time.Since(start).Seconds() / float64(n), nil
}
