package sql

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/conf"
)

// BenchmarkCall runs the statement of the documentation over a real connection, 64 calls at a time. Client and server
// share the processors.
func BenchmarkCall(b *testing.B) {
	for _, pipe := range []bool{false, true} {
		b.Run(map[bool]string{false: "gRPC", true: "pipe"}[pipe], func(b *testing.B) {
			var cfg config
			require.NoError(b, conf.Parse("service.yml", []byte(service), &cfg, conf.AllowKeys("logger")))
			cfg.Server.Address = "127.0.0.1:0"
			s := function.NewServer(cfg.Server, func(_ context.Context, m *function.Message) (*function.Message, error) {
				return cfg.run(m)
			})
			require.NoError(b, s.Listen())
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error)
			go func() { ended <- s.Serve(ctx) }()
			c, err := function.NewClient(function.ClientConfig{Address: s.Addr().String(), Pipe: pipe})
			require.NoError(b, err)
			require.NoError(b, c.Connect(ctx))
			b.SetParallelism(32)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					m := &function.Message{FunctionName: "sql-filter", Topic: "t", Payload: []byte(`{"id":1,"text":"0123456789"}`)}
					if out, err := c.Call(ctx, m); err != nil || len(out.Payload) == 0 {
						b.Error(out, err)
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			c.Close()
			cancel()
			require.NoError(b, <-ended)
		})
	}
}
