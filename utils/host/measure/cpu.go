package measure

import (
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"

	"github.com/baetyl/baetyl/utils/host"
)

// CPUMeter measures usage between its calls. The zero value is ready; its first usage is that since boot.
type CPUMeter struct {
	mu   sync.Mutex
	last cpu.TimesStat
}

// Get describes the processors, with their usage since the last call.
func (m *CPUMeter) Get() *host.CPU {
	out := &host.CPU{Time: time.Now().UTC()}
	infos, err := cpu.Info()
	if err != nil {
		out.Error = err.Error()
	}
	out.Packages = packages(infos)
	for _, p := range out.Packages {
		out.Cores += p.Cores
	}
	if len(out.Packages) > 0 {
		first := out.Packages[0]
		out.Mhz, out.CacheSize, out.ModelName, out.PhysicalID = first.Mhz, first.CacheSize, first.ModelName, first.PhysicalID
	}
	if len(out.Packages) == 1 {
		out.Packages = nil
	}
	times, err := cpu.Times(false)
	if err != nil || len(times) == 0 {
		if err != nil {
			out.Error = err.Error()
		}
		return out
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out.UsedPercent = used(m.last, times[0])
	m.last = times[0]
	return out
}

// packages groups the entries of the system, one a core, by the processor that they are of.
func packages(infos []cpu.InfoStat) []host.Package {
	var out []host.Package
	index := map[string]int{}
	for _, i := range infos {
		n, ok := index[i.PhysicalID]
		if !ok {
			n = len(out)
			index[i.PhysicalID] = n
			out = append(out, host.Package{PhysicalID: i.PhysicalID, ModelName: i.ModelName, Mhz: i.Mhz, CacheSize: i.CacheSize})
		}
		out[n].Cores += max(1, int(i.Cores))
	}
	return out
}

func used(from, to cpu.TimesStat) float64 {
	busy := func(t cpu.TimesStat) float64 { return t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal }
	idle := func(t cpu.TimesStat) float64 { return t.Idle + t.Iowait }
	b, i := busy(to)-busy(from), idle(to)-idle(from)
	return min(100, percent(100*b/(b+i)))
}
