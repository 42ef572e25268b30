package host

import (
	"time"

	"github.com/shirou/gopsutil/v4/mem"
)

// Mem is the memory of the machine, or of one instance, which has not all fields.
type Mem struct {
	Time            time.Time `json:"time"`
	Total           uint64    `json:"total,omitempty"`
	Free            uint64    `json:"free,omitempty"` // available without swapping
	Used            uint64    `json:"used,omitempty"`
	UsedPercent     float64   `json:"used_percent"`
	SwapTotal       uint64    `json:"swap_total,omitempty"`
	SwapFree        uint64    `json:"swap_free,omitempty"`
	SwapUsed        uint64    `json:"swap_used,omitempty"`
	SwapUsedPercent float64   `json:"swap_used_percent"`
	Error           string    `json:"error,omitempty"`
}

// GetMem describes memory and swap.
func GetMem() *Mem {
	out := &Mem{Time: time.Now().UTC()}
	if v, err := mem.VirtualMemory(); err != nil {
		out.Error = err.Error()
	} else {
		out.Total, out.Free, out.Used, out.UsedPercent = v.Total, v.Available, v.Used, percent(v.UsedPercent)
	}
	if s, err := mem.SwapMemory(); err != nil {
		out.Error = err.Error()
	} else {
		out.SwapTotal, out.SwapFree, out.SwapUsed, out.SwapUsedPercent = s.Total, s.Free, s.Used, percent(s.UsedPercent)
	}
	return out
}
