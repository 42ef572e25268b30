package session

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/router"
)

// BenchmarkWriteQueue is many publishers that send QoS 0 messages to one subscriber, a read's worth at a time.
func BenchmarkWriteQueue(b *testing.B) {
	for _, publishers := range []int{1, 10, 100} {
		for _, size := range []int{100, 4 << 10, 60 << 10} {
			b.Run(fmt.Sprintf("publishers=%d/bytes=%d", publishers, size),
				func(b *testing.B) { benchmarkWriteQueue(b, publishers, size) })
		}
	}
}

func benchmarkWriteQueue(b *testing.B, publishers, size int) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer ln.Close()
	reader, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(b, err)
	conn, err := ln.Accept()
	require.NoError(b, err)
	read := make(chan int64)
	go func() {
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, reader, make([]byte, 256<<10))
		read <- n
	}()
	q := writeQueue{
		conn:   conn,
		direct: direct(conn),
		limits: writeLimits{messages: 10000, bytes: 16 << 20, hard: 64 << 20},
		drop:   func(int) {},
	}
	frames := make([]byte, size)
	b.SetBytes(int64(size))
	b.ResetTimer()
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			var batch router.Batch
			for i := p; i < b.N; i += publishers {
				congested := q.sendQOS0(frames, (size+99)/100, &batch)
				batch.Flush()
				if congested {
					q.Drain()
				}
			}
		})
	}
	wg.Wait()
	q.finish(true)
	n := <-read
	b.StopTimer()
	b.ReportMetric(float64(n)/float64(b.N)/float64(size)*100, "%delivered")
	_ = reader.Close()
}
