package main

import (
	"fmt"
	"net"
	"os"
	"sort"
	"sync/atomic"
	"time"
)

// machine prints what the disk can do in this run: the limit of everything that is durable.
func machine(d time.Duration) {
	fmt.Printf("| the disk, 150 B at a time | syncs/s | median, µs | 99th percentile, µs |\n|---|---|---|---|\n")
	for _, x := range []struct {
		name    string
		again   bool // write over blocks that the file has
		between time.Duration
	}{
		{"appended, one after the other", false, 0},
		{"written over, one after the other", true, 0},
		{"appended, 500 a second", false, 2 * time.Millisecond},
		{"written over, 500 a second", true, 2 * time.Millisecond},
	} {
		times, err := syncTimes(x.again, x.between, d)
		if err != nil {
			fmt.Printf("| %s | – (%v) | | |\n", x.name, err)
			continue
		}
		rate := ""
		if x.between == 0 {
			rate = number(float64(len(times)) / d.Seconds())
		}
		sort.Float64s(times)
		fmt.Printf("| %s | %s | %s | %s |\n", x.name, rate, number(times[len(times)/2]), number(times[len(times)*99/100]))
	}
	fmt.Println()
}

// syncTimes writes and syncs for d and returns how long each took, in µs.
func syncTimes(again bool, between, d time.Duration) ([]float64, error) {
	f, err := os.CreateTemp("", "bench") // the folder where the brokers keep their files
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const block = 150
	if again {
		if _, err := f.Write(make([]byte, 8<<20)); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
	}
	var times []float64
	for i, end := int64(0), time.Now().Add(d); time.Now().Before(end); i++ {
		start := time.Now()
		if _, err := f.WriteAt(make([]byte, block), i*block%(8<<20)); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took := time.Since(start)
		times = append(times, float64(took.Nanoseconds())/1e3)
		time.Sleep(between - took)
	}
	return times, nil
}

// relay is the least that a broker in Go can do: one goroutine for each connection, which parses only the first byte of
// what it has read, and copies everything that is published to the newest subscriber.
func relay(address string) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	var subscriber atomic.Pointer[net.Conn]
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			buf, passing := make([]byte, 64<<10), false
			for {
				n, err := conn.Read(buf)
				if err != nil {
					return
				}
				kind := buf[0] >> 4
				switch {
				case passing || kind == 3:
					passing = true // what follows may begin in the middle of a packet
					if to := subscriber.Load(); to != nil {
						_, _ = (*to).Write(buf[:n])
					}
				case kind == 1:
					_, _ = conn.Write([]byte{0x20, 2, 0, 0})
				case kind == 8:
					subscriber.Store(&conn)
					_, _ = conn.Write([]byte{0x90, 3, buf[2], buf[3], 0})
				}
			}
		}()
	}
}
