//go:build unix

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/baetyl/baetyl/utils/host"
)

// statsTimeout is for one measurement. The supervisor measures in the background, when inspect asks for it.
const statsTimeout = 10 * time.Second

// meter measures one container between its calls, in the units of native mode: 100 percent is one core.
type meter struct {
	mu    sync.Mutex
	began time.Time // of the container, until the first measurement; then of the last one
	last  uint64    // nanoseconds of processor time
	asked time.Time // up to which the daemon was asked for kills; zero: not yet
	oom   int       // kills by the kernel until then
}

// Stats returns what the container uses: processor since the last call (at first: since its start), and memory.
func (i *instance) Stats(ctx context.Context) (*host.CPU, *host.Mem) {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	var s container.StatsResponse
	r, err := i.engine.api.ContainerStatsOneShot(ctx, i.id)
	if err == nil {
		err = json.NewDecoder(r.Body).Decode(&s)
		_ = r.Body.Close()
	}
	if err != nil {
		now := time.Now().UTC()
		return &host.CPU{Time: now, Error: err.Error()}, &host.Mem{Time: now, Error: err.Error()}
	}
	i.countOOM(ctx, s.Read)
	return i.meter.cpu(s), memory(s)
}

// countOOM asks the daemon which processes of the container the kernel has killed since the last call, up to now, a
// time of the daemon. The daemon remembers its last 256 events.
func (i *instance) countOOM(ctx context.Context, now time.Time) {
	m := &i.meter
	m.mu.Lock()
	from := m.asked
	m.mu.Unlock()
	if from.IsZero() {
		from = i.began
	}
	messages, failed := i.engine.api.Events(ctx, events.ListOptions{
		Since: stamp(from.Add(1)), Until: stamp(now),
		Filters: filters.NewArgs(filters.Arg("container", i.id), filters.Arg("event", string(events.ActionOOM))),
	})
	n := 0
	for {
		select {
		case <-messages:
			n++
			continue
		case err := <-failed:
			if !errors.Is(err, io.EOF) {
				return // the next call asks for the same time again
			}
		}
		break
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked.Before(now) {
		m.asked, m.oom = now, m.oom+n
	}
}

// stamp is a time as the daemon reads it.
func stamp(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

// Warnings adds what has happened since the start.
func (i *instance) Warnings() []string {
	i.meter.mu.Lock()
	n := i.meter.oom
	i.meter.mu.Unlock()
	if isClosed(i.done) {
		n = max(n, i.oom)
		if i.exit.Err != nil { // it says it
			n = 0
		}
	}
	out := append(slices.Clone(i.warnings), i.engine.watcher.warnings(i.id, i.record.Instance, time.Now())...)
	if n > 0 {
		const text = "a process of the instance was killed by the kernel: %s (%d times)"
		out = append(out, fmt.Sprintf(text, outOfMemory, n))
	}
	return out
}

const outOfMemory = "out of memory (OOM), see resources.memory.limit"

func (m *meter) cpu(s container.StatsResponse) *host.CPU {
	m.mu.Lock()
	defer m.mu.Unlock()
	total := s.CPUStats.CPUUsage.TotalUsage
	out := &host.CPU{Time: s.Read.UTC(), Seconds: time.Duration(total).Seconds(), PIDs: int(s.PidsStats.Current)}
	if elapsed := s.Read.Sub(m.began); elapsed > 0 && total >= m.last {
		out.UsedPercent = 100 * float64(total-m.last) / float64(elapsed.Nanoseconds())
		m.began, m.last = s.Read, total
	}
	return out
}

// memory is what `docker stats` shows: without the page cache, which the kernel frees when memory is short.
func memory(s container.StatsResponse) *host.Mem {
	out := &host.Mem{Time: s.Read.UTC(), Total: s.MemoryStats.Limit, Used: s.MemoryStats.Usage}
	cache, ok := s.MemoryStats.Stats["total_inactive_file"] // cgroup v1
	if !ok {
		cache = s.MemoryStats.Stats["inactive_file"] // cgroup v2
	}
	if cache < out.Used {
		out.Used -= cache
	}
	out.SwapUsed = s.MemoryStats.Stats["swap"]
	if out.Total > 0 {
		out.UsedPercent = 100 * float64(out.Used) / float64(out.Total)
	}
	return out
}
