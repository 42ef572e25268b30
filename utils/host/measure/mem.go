package measure

import (
	"time"

	"github.com/shirou/gopsutil/v4/mem"

	"github.com/baetyl/baetyl/utils/host"
)

// GetMem describes memory and swap.
func GetMem() *host.Mem {
	out := &host.Mem{Time: time.Now().UTC()}
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
