package measure_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/host/measure"
)

func TestThisMachine(t *testing.T) {
	var meter measure.CPUMeter
	self := &measure.ProcessMeter{PID: os.Getpid()}
	for range 2 { // the second time measures an interval
		info, cpu, mem, disk, net := measure.GetInfo(), meter.Get(), measure.GetMem(), measure.GetDisk(), measure.GetNet()
		require.NotEmpty(t, info.Hostname)
		require.Positive(t, cpu.Cores)
		require.Positive(t, mem.Total)
		require.Equal(t, "/", disk.Path)
		require.NotEmpty(t, net.Interfaces)
		ownCPU, ownMem := self.Get()
		require.Empty(t, ownCPU.Error)
		require.Positive(t, ownMem.Used)
		_, err := json.Marshal([]any{info, cpu, mem, disk, net, ownCPU, ownMem})
		require.NoError(t, err)
	}
	gone, _ := (&measure.ProcessMeter{PID: 1 << 30}).Get()
	require.NotEmpty(t, gone.Error)
}

// A stand-in for the tool shows the columns, a broken line and that a hanging tool is ended; the real one needs the
// hardware.
func TestGPUs(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	require.Empty(t, measure.GetGPUs(t.Context()), "no tool, no GPU")
	script := "#!/bin/sh\necho '0, Tesla P4, 7611, 7000, 8, 50'\necho '1, X, [N/A], 1, 1, 1'\necho short\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte(script), 0o755))
	require.Equal(t, []host.GPU{{
		Index: "0", Model: "Tesla P4", MemTotal: 7611 << 20, MemFree: 7000 << 20, MemUsedPercent: 8, GPUUsedPercent: 50,
	}}, measure.GetGPUs(t.Context()))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte("#!/bin/sh\nexec /bin/sleep 60\n"), 0o755))
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Empty(t, measure.GetGPUs(ctx))
	require.Less(t, time.Since(start), 40*time.Second)
}
