package manager

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

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
		})
	}
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
