//go:build linux

package soak_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sample is what the hub holds at a moment.
type sample struct {
	at                             time.Duration // since the load began
	memory, heap                   float64       // bytes; heap is what Go has in use of it
	descriptors, goroutines        float64
	connections, stored, disk, got float64 // stored: messages that wait; got: PUBLISH packets that came
}

const head = " minutes  memory MB    heap MB  descriptors  goroutines  connections    waiting  disk MB  published"

func (s sample) String() string {
	const mb = 1e6
	return fmt.Sprintf("%8.1f %10.1f %10.1f %12.0f %11.0f %12.0f %10.0f %8.1f %10.0f", s.at.Minutes(), s.memory/mb,
		s.heap/mb, s.descriptors, s.goroutines, s.connections, s.stored, s.disk/mb, s.got)
}

// sample asks the hub.
func (s *site) sample(at time.Duration) (sample, error) {
	resp, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		return sample{}, fmt.Errorf("read the metrics of the hub: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return sample{}, fmt.Errorf("read the metrics of the hub: %w", err)
	}
	x := sample{at: at}
	wanted := map[string]*float64{
		"process_resident_memory_bytes": &x.memory, "go_memstats_heap_inuse_bytes": &x.heap,
		"process_open_fds": &x.descriptors, "go_goroutines": &x.goroutines, "baetyl_hub_connections": &x.connections,
		"baetyl_hub_stored_messages": &x.stored, "baetyl_hub_publish_received_total": &x.got,
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if to := wanted[name]; to != nil {
			if *to, err = strconv.ParseFloat(value, 64); err != nil {
				return sample{}, fmt.Errorf("read the metrics of the hub: %s: %w", name, err)
			}
			found++
		}
	}
	if found != len(wanted) {
		return sample{}, fmt.Errorf("read the metrics of the hub: %d of %d are there", found, len(wanted))
	}
	err = filepath.WalkDir(filepath.Join(s.dir, hubData), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // files come and go
		}
		if info, err := d.Info(); err == nil {
			x.disk += float64(info.Size())
		}
		return nil
	})
	return x, err
}

// average is that of the samples in [from, to].
func average(all []sample, from, to time.Duration) sample {
	var sum sample
	n := 0.0
	for _, s := range all {
		if s.at < from || s.at > to {
			continue
		}
		n++
		sum.memory += s.memory
		sum.heap += s.heap
		sum.descriptors += s.descriptors
		sum.goroutines += s.goroutines
	}
	if n == 0 {
		return sum
	}
	return sample{
		memory: sum.memory / n, heap: sum.heap / n, descriptors: sum.descriptors / n, goroutines: sum.goroutines / n,
	}
}

// compare makes a table of two averages, and names what has grown by more than what chance and caches explain.
func compare(before, after sample) (table string, grown []string) {
	const mib = 1 << 20
	var b strings.Builder
	for _, x := range []struct {
		name          string
		before, after float64
		share, more   float64 // what growth is allowed
		unit          float64
	}{
		{"memory, MB", before.memory, after.memory, 0.15, 8 * mib, 1e6},
		{"heap, MB", before.heap, after.heap, 0.15, 8 * mib, 1e6},
		{"descriptors", before.descriptors, after.descriptors, 0.05, 5, 1},
		{"goroutines", before.goroutines, after.goroutines, 0.05, 5, 1},
	} {
		limit := x.before*(1+x.share) + x.more
		fmt.Fprintf(&b, "%-12s %10.1f %10.1f  at most %.1f\n", x.name, x.before/x.unit, x.after/x.unit, limit/x.unit)
		if x.after > limit {
			grown = append(grown, fmt.Sprintf("%s: %.1f, more than %.1f", x.name, x.after/x.unit, limit/x.unit))
		}
	}
	return b.String(), grown
}
