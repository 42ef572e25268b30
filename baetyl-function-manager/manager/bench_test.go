package manager

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

// BenchmarkRoundTrip measures one message at a time through hub, manager, a function in Go, and back.
func BenchmarkRoundTrip(b *testing.B) {
	for qos := range uint32(2) {
		b.Run(fmt.Sprint("qos", qos), func(b *testing.B) {
			m := start(b, startHub(b).address, fmt.Sprintf(simple, 1, "1m"))
			m.publish("in", 1, "warm up")
			m.await("out", 1)
			var took []time.Duration
			n := 1
			before := switches(b, m.cmd.Process.Pid)
			for b.Loop() {
				began := time.Now()
				require.NoError(b, m.out.Publish(mqtt.TopicInfo{Topic: "in", QOS: qos}, []byte("x")))
				for n++; m.count("out") < n; {
					time.Sleep(20 * time.Microsecond)
				}
				took = append(took, time.Since(began))
			}
			sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(switches(b, m.cmd.Process.Pid)-before)/float64(n-1), "sleeps/op")
		})
	}
}

// switches is how often the threads of a process have gone to sleep: each time costs a wake-up.
func switches(b *testing.B, pid int) (sum int) {
	b.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	require.NoError(b, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(b, err)
		_, rest, _ := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
		number, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(strings.TrimSpace(number))
		require.NoError(b, err)
		sum += n
	}
	return sum
}

// BenchmarkThroughput measures many messages at once.
func BenchmarkThroughput(b *testing.B) {
	for qos := range uint32(2) {
		for _, instances := range []string{"1", "4", "1, concurrency: 64"} {
			b.Run(fmt.Sprintf("qos%d/instances: %s", qos, instances), func(b *testing.B) {
				m := start(b, startHub(b).address, strings.Replace(fmt.Sprintf(simple, 1, "1m"), "max: 1", "max: "+instances, 1))
				m.publish("in", 1, "warm up")
				m.await("out", 1)
				b.ResetTimer()
				for i := range b.N {
					for i-m.count("out") > 1000 { // QoS 0 that waits for a slow reader is dropped
						time.Sleep(20 * time.Microsecond)
					}
					require.NoError(b, m.out.Publish(mqtt.TopicInfo{Topic: "in", QOS: qos}, []byte("x")))
				}
				require.NoError(b, m.out.Drain(context.Background()))
				mqtttest.Until(b, "all results", func() bool { return m.count("out") >= b.N+1 })
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

func (m *system) count(topic string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[topic]
}

// BenchmarkSQL measures messages through hub, manager and the runtime for SQL: a burst of QoS 0, and QoS 1 with 100
// under way.
func BenchmarkSQL(b *testing.B) {
	for qos := range uint32(2) {
		b.Run(fmt.Sprint("qos", qos), func(b *testing.B) {
			h := startHub(b)
			m := start(b, h.address, strings.Replace(fmt.Sprintf(simple, 1, "1m"), "service: svc", "service: sql", 1))
			m.publish("in", 1, `{"id": 1}`)
			m.await("out", 1)
			count := subscribe(b, h, "out", qos)
			b.ResetTimer()
			pour(b, h, "in", packet.QOS(qos), b.N)
			mqtttest.Until(b, "all results", func() bool { return count.Load() >= int64(b.N) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
