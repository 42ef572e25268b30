//go:build linux

package docker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/app"
)

// A container that exceeds its memory limit is killed, and its error says so.
func TestMemoryEaterIsKilled(t *testing.T) {
	s := service("t-eater", "eat")
	s.Resources.Memory = app.Memory{Limit: 32 << 20, Swap: 32 << 20}
	i := newBench(t).start(t, s)
	enginetest.Ended(t, i)
	require.ErrorContains(t, i.Exit().Err, "container exit code: 137")
	require.ErrorContains(t, i.Exit().Err, "OOM")
}

// A child that exceeds the memory limit of the container is killed alone, and a warning says so.
func TestMemoryEatingChildIsKilled(t *testing.T) {
	s := service("t-eaters", "parent")
	s.Resources.Memory = app.Memory{Limit: 32 << 20, Swap: 32 << 20}
	i := newBench(t).start(t, s)
	enginetest.Output(t, i, "child ended")
	require.Eventually(t, func() bool {
		i.Stats(t.Context())
		return strings.Contains(strings.Join(i.Warnings(), "\n"), "killed by the kernel: out of memory (OOM)")
	}, time.Minute, 50*time.Millisecond)
	requireRunning(t, i, "the container has ended with its child")
	before := i.Warnings()
	i.Stats(t.Context())
	require.Equal(t, before, i.Warnings(), "each kill is counted once")
	i.Stop(t.Context())
	require.NoError(t, i.Exit().Err)
	require.Equal(t, before, i.Warnings())
}

// A limit of processor time holds: half a core is half of what native mode calls 100 percent. How near a busy machine
// lets it come says nothing.
func TestBurnerIsHeld(t *testing.T) {
	s := service("t-burner", "burn")
	s.Resources.CPU.Cpus = 0.5
	b := newBench(t)
	i := b.start(t, s)
	c, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
	require.NoError(t, err)
	require.EqualValues(t, 5e8, c.HostConfig.NanoCPUs)
	enginetest.Output(t, i, "up")
	i.Stats(t.Context())
	time.Sleep(1500 * time.Millisecond) // the span that is measured
	cpu, mem := i.Stats(t.Context())
	require.Empty(t, cpu.Error)
	require.Positive(t, cpu.UsedPercent)
	require.Less(t, cpu.UsedPercent, 65.0)
	require.NotZero(t, mem.Used)
	require.Less(t, mem.Used, uint64(64<<20))
	require.Positive(t, mem.UsedPercent)
}

func TestPidsAndCoresAreLimited(t *testing.T) {
	b := newBench(t)
	s := service("t-limits", "run")
	s.Resources.Pids.Limit = 20
	s.Resources.CPU.SetCPUs = "0"
	i := b.start(t, s)
	c, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
	require.NoError(t, err)
	require.EqualValues(t, 20, *c.HostConfig.PidsLimit)
	require.Equal(t, "0", c.HostConfig.CpusetCpus)
}
