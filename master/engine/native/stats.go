//go:build unix

package native

import (
	"cmp"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/host/measure"
)

// meter measures one instance between its calls. 100 percent of processor time is one core.
type meter struct {
	leader measure.ProcessMeter

	mu    sync.Mutex
	began time.Time // of the instance, until the first measurement; then of the last one
	last  time.Duration
}

// get returns what the instance uses: processor since the last call (at first: since its start), and memory. g may be
// nil, or count a part only: then the rest is that of the leader.
func (m *meter) get(g *cgroup.Group) (*host.CPU, *host.Mem) {
	c, r := m.leader.Get()
	if g == nil {
		return c, r
	}
	now, s := time.Now().UTC(), g.Stats()
	if s.CPU > 0 {
		c = m.cpu(now, s.CPU)
	}
	c.PIDs = cmp.Or(s.PIDs, c.PIDs)
	if s.Memory > 0 {
		r = &host.Mem{Time: now, Used: s.Memory, Total: s.Limit, SwapUsed: s.Swap}
		if total := cmp.Or(s.Limit, measure.GetMem().Total); total > 0 {
			r.UsedPercent = 100 * float64(s.Memory) / float64(total)
		}
	}
	return c, r
}

func (m *meter) cpu(now time.Time, total time.Duration) *host.CPU {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := &host.CPU{Time: now, Seconds: total.Seconds()}
	if elapsed := now.Sub(m.began); elapsed > 0 && total >= m.last {
		out.UsedPercent = 100 * (total - m.last).Seconds() / elapsed.Seconds()
		m.began, m.last = now, total
	}
	return out
}
