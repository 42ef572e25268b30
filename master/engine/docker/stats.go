//go:build unix

package docker

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/baetyl/baetyl/utils/host"
)

// statsTimeout is for one measurement. The supervisor measures in the background, when inspect asks for it.
const statsTimeout = 10 * time.Second

// meter measures one container between its calls, in the units of native mode: 100 percent is one core.
type meter struct {
	mu    sync.Mutex
	began time.Time // of the container, until the first measurement; then of the last one
	last  uint64    // nanoseconds of processor time
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
	return i.meter.cpu(s), memory(s)
}

func (m *meter) cpu(s container.StatsResponse) *host.CPU {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := &host.CPU{Time: s.Read.UTC()}
	total := s.CPUStats.CPUUsage.TotalUsage
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
