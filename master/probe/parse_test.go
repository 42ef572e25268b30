package probe

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

// What the library for protobuf writes is what is read here, and the other way round.
func TestMessages(t *testing.T) {
	for _, service := range []string{"", "a", string(make([]byte, 1024))} {
		var in grpc_health_v1.HealthCheckRequest
		data := checkRequest(service)
		require.NoError(t, proto.Unmarshal(data[5:], &in))
		require.Equal(t, service, in.Service)
	}
	for status := range grpc_health_v1.HealthCheckResponse_ServingStatus_name {
		data, err := proto.Marshal(&grpc_health_v1.HealthCheckResponse{
			Status: grpc_health_v1.HealthCheckResponse_ServingStatus(status),
		})
		require.NoError(t, err)
		got, err := parseCheck(append([]byte{0, 0, 0, 0, byte(len(data))}, data...))
		require.NoError(t, err)
		require.Equal(t, uint64(status), got)
	}
}

func FuzzParseCheck(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 8, 1})
	f.Add([]byte{0, 0, 0, 0, 4, 0x12, 0xff, 0xff, 0x7f})
	f.Add([]byte{0, 0, 0, 0, 3, 8, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		status, err := parseCheck(data)
		if err != nil || len(data) < 5 {
			return
		}
		var m grpc_health_v1.HealthCheckResponse
		if proto.Unmarshal(data[5:], &m) == nil && status <= 3 {
			require.Equal(t, uint64(m.Status), status)
		}
	})
}

func FuzzParseConnack(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 5})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) != 4 {
			return
		}
		code, err := parseConnack([4]byte(data))
		require.True(t, err != nil || code <= 5)
	})
}
