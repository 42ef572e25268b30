package rule

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

// The error message of the documentation ("baetyl-function-manager"), with the time stamp that Baetyl 0.1.x added.
func TestReport(t *testing.T) {
	m := &rpc.Message{
		Topic:            "t",
		Payload:          []byte(`{"id":1,"device":"111"}`),
		FunctionName:     "sayhi",
		FunctionInvokeID: "50f8f102",
	}
	out := report(m, errors.New("rpc error: code = Unknown desc = Exception calling application"), "t/hi", 1, 32<<10)
	require.Equal(t, "t/hi", out.Topic)
	require.Equal(t, uint32(1), out.QOS)
	want := `{"errorMessage":"rpc error: code = Unknown desc = Exception calling application","errorType":"*errors.Err",` +
		`"functionMessage":{"ID":0,"QOS":0,"Topic":"t","Payload":"eyJpZCI6MSwiZGV2aWNlIjoiMTExIn0=",` +
		`"FunctionName":"sayhi","FunctionInvokeID":"50f8f102"}}`
	require.Equal(t, want, string(out.Payload))
}

// An error message fits the hub's limit although base64 makes the payload larger, and the cause may be long.
func TestReportFits(t *testing.T) {
	m := &rpc.Message{Topic: "t", Payload: make([]byte, 30<<10), FunctionInvokeID: "x"}
	for _, cause := range []string{
		"short",
		strings.Repeat("long ", 20<<10),
		strings.Repeat("\x00ü", 20<<10),
		strings.Repeat("\xff", 50<<10),
	} {
		out := report(m, errors.New(cause), "t/hi", 1, 32<<10)
		require.LessOrEqual(t, out.PacketSize(), 32<<10)
		var f failure
		require.NoError(t, json.Unmarshal(out.Payload, &f))
		require.Equal(t, "x", f.Function.FunctionInvokeID)
		require.NotEmpty(t, f.Message)
		if cause == "short" {
			require.Equal(t, "short (functionMessage.Payload of 30720 bytes left out)", f.Message)
		}
	}
}

func FuzzReport(f *testing.F) {
	f.Add("cause", []byte("payload"), uint16(500))
	f.Add(strings.Repeat("\xff\x00ü", 200), make([]byte, 400), uint16(256))
	f.Fuzz(func(t *testing.T, cause string, payload []byte, limit uint16) {
		max := 256 + int(limit)
		out := report(&rpc.Message{Topic: "t", Payload: payload}, errors.New(cause), "t", 1, max)
		if out.PacketSize() > max || !json.Valid(out.Payload) {
			t.Fatalf("packet of %d bytes, limit %d: %s", out.PacketSize(), max, out.Payload)
		}
	})
}
