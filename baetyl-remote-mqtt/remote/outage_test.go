package remote_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

// The far broker is away while messages come in at the hub, then it is back: all arrive, each once. REMOTE_OUTAGE
// sets how many (make outage: 1,000,000).
func TestOutage(t *testing.T) {
	n := 20_000
	if m, err := strconv.Atoi(os.Getenv("REMOTE_OUTAGE")); err == nil {
		n = m
	}
	both, at := hubs(t, openHub, openHub)
	b := between(t, at[0], at[1])
	b.start()
	up := count(t, at[1], "up", n)
	connected(t, b)
	both[1].end(syscall.SIGTERM)

	began := time.Now()
	d := client(t, at[0], "publisher", nil)
	for i := range n {
		require.NoError(t, d.Publish(mqtt.TopicInfo{Topic: "up", QOS: 1}, fmt.Append(nil, i)))
	}
	require.NoError(t, d.Drain(context.Background()))
	t.Logf("%d messages queued at the hub in %v", n, time.Since(began).Round(time.Millisecond))
	before := size(t, b)

	both[1].start()
	listening(t, at[1])
	began = time.Now()
	for came := 0; came < n; {
		mqtttest.Until(t, fmt.Sprintf("more than %d of %d messages", came, n), func() bool { return up.came() > came })
		came = up.came()
	}
	took := time.Since(began)
	absent, copies := up.of(n)
	require.Zero(t, absent)
	require.LessOrEqual(t, copies, 30, "what was in flight when the far broker went")
	t.Logf("drained in %v, %.0f messages a second, %d copies; the bridge had %d kB of memory before and %d kB after",
		took.Round(time.Millisecond), float64(n)/took.Seconds(), copies, before, size(t, b))
}

// size is the resident memory of a process, in kB.
func size(t *testing.T, p *process) (kb int) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0 // not on Linux
	}
	var total, resident int
	_, err = fmt.Sscan(string(data), &total, &resident)
	require.NoError(t, err)
	return resident * os.Getpagesize() / 1024
}
