package measure

import (
	"fmt"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/baetyl/baetyl/utils/host"
)

// ProcessMeter measures one process between its calls.
type ProcessMeter struct {
	PID int

	mu   sync.Mutex
	last float64 // seconds of processor time
	at   time.Time
}

// Get returns what the process uses: processor since the last call (at first: since its start), and memory.
func (m *ProcessMeter) Get() (*host.CPU, *host.Mem) {
	now := time.Now().UTC()
	c, r := &host.CPU{Time: now}, &host.Mem{Time: now}
	p, err := process.NewProcess(int32(m.PID))
	if err != nil {
		c.Error, r.Error = err.Error(), err.Error()
		return c, r
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, err := p.Times(); err != nil {
		c.Error = err.Error()
	} else {
		if m.at.IsZero() {
			if created, err := p.CreateTime(); err == nil {
				m.at = time.UnixMilli(created)
			}
		}
		total := t.User + t.System
		c.UsedPercent = percent(100 * (total - m.last) / now.Sub(m.at).Seconds())
		m.last, m.at, c.Seconds = total, now, total
	}
	if n, err := p.NumThreads(); err == nil {
		c.PIDs = int(n)
	}
	if info, err := p.MemoryInfo(); err != nil {
		r.Error = err.Error()
	} else {
		r.Used, r.SwapUsed = info.RSS, info.Swap
	}
	if share, err := p.MemoryPercent(); err == nil {
		r.UsedPercent = percent(float64(share))
	}
	return c, r
}

// Started is when a process started, by the clock as it is set now.
func Started(pid int) (time.Time, error) {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return time.Time{}, fmt.Errorf("find process: %w", err)
	}
	ms, err := p.CreateTime()
	if err != nil {
		return time.Time{}, fmt.Errorf("find start of process: %w", err)
	}
	return time.UnixMilli(ms), nil
}
