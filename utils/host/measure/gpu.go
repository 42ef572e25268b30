package measure

import (
	"bytes"
	"context"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/baetyl/baetyl/utils/host"
)

// gpuDeadline ends an nvidia-smi that hangs, as it does while a driver is being reset.
const gpuDeadline = 5 * time.Second

// GetGPUs asks nvidia-smi for the GPUs of the machine; without that tool, or when it fails, there are none.
func GetGPUs(ctx context.Context) []host.GPU {
	tool, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gpuDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool,
		"--query-gpu=index,name,memory.total,memory.free,utilization.memory,utilization.gpu", "--format=csv,noheader,nounits")
	cmd.WaitDelay = time.Second // a child of it may hold the pipe
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	return parseGPUs(out)
}

// parseGPUs reads one GPU a line; a line with other columns is skipped. Memory is in MiB there.
func parseGPUs(text []byte) []host.GPU {
	var out []host.GPU
	for line := range bytes.Lines(text) {
		f := strings.Split(string(line), ",")
		if len(f) != 6 {
			continue
		}
		n := make([]float64, 4)
		ok := true
		for i, s := range f[2:] {
			v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
			ok = ok && err == nil && v == percent(v)
			n[i] = v
		}
		if ok {
			out = append(out, host.GPU{
				Index: strings.TrimSpace(f[0]), Model: strings.TrimSpace(f[1]),
				MemTotal: uint64(n[0] * (1 << 20)), MemFree: uint64(n[1] * (1 << 20)),
				MemUsedPercent: n[2], GPUUsedPercent: n[3],
			})
		}
	}
	return out
}
