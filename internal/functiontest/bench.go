//go:build unix

package functiontest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/function"
)

// Benchmark measures one warm call after the other, over gRPC and over the pipe.
func Benchmark(b *testing.B, target Target) {
	for _, way := range []string{"gRPC", "pipe"} {
		b.Run(way, func(b *testing.B) {
			target.Pipe = way == "pipe"
			r := Start(b, target.Options("logger: {level: error}"))
			m := &function.FunctionMessage{FunctionName: "echo", Topic: "t", FunctionInvokeID: "id",
				Payload: []byte(`{"id":1,"text":"0123456789"}`)}
			for range 200 {
				r.MustCall(b, "echo", "{}")
			}
			for b.Loop() {
				_, err := r.Client.Call(context.Background(), m)
				require.NoError(b, err)
			}
		})
	}
}
