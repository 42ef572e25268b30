//go:build unix

package node_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/baetyl/baetyl/internal/functiontest"
	"github.com/baetyl/baetyl/protocol/function"
)

// FuzzMessage compares the runtime's reading of messages with protobuf's: both take the same bytes, and mean the same.
// The answer has another payload, and nothing else is different.
func FuzzMessage(f *testing.F) {
	const program = `
const message = require(process.argv[1]);
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const bytes = Buffer.from('00' + line + '00', 'hex');
  let said;
  try {
    const m = message.decode(bytes, 1, bytes.length - 1);
    said = { QOS: m.QOS, Topic: m.Topic, Timestamp: m.Timestamp, FunctionName: m.FunctionName,
      FunctionInvokeID: m.FunctionInvokeID,
      Payload: m.bytes.toString('hex', m.from, m.to), Answer: message.answer(m, 'pong').toString('hex') };
  } catch (e) {
    said = { Error: e.message };
  }
  console.log(JSON.stringify(said));
});
`
	lib := filepath.Join(filepath.Dir(filepath.Dir(target(f, "").Entry)), "lib/message.js")
	cmd := exec.Command(functiontest.Node(f, ""), "-e", program, lib)
	in, err := cmd.StdinPipe()
	require.NoError(f, err)
	out, err := cmd.StdoutPipe()
	require.NoError(f, err)
	require.NoError(f, cmd.Start())
	f.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	answers := bufio.NewReader(out)
	for _, request := range functiontest.LoadPipeVectors(f).Requests {
		var all []byte
		for _, b := range request.Send {
			all = append(all, b...)
		}
		if len(all) > 9 {
			f.Add(all[9:])
		}
	}
	for _, s := range []string{
		"220131" + "220132", "22002200", "2201312201325a0161220133", "08ffffffffffffffffff01", "08ffffffffffffffffff02",
		"10ffffffffffffffffff01", "50ffffffffffffffffff01", "50feffffffffffffffff01", "5001", "1005220131", "2105", "25000000005a0161",
		"2b2c", "2b33342c", "2b34", "2c", "00", "0a0161", "f8ffffff0f01", "8000", "20", "2280", "1a03eda080", "1a036101", "120161",
	} {
		b, err := hex.DecodeString(s)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := io.WriteString(in, hex.EncodeToString(b)+"\n")
		require.NoError(t, err)
		line, err := answers.ReadBytes('\n')
		require.NoError(t, err)
		var got struct {
			QOS                                                           uint32
			Timestamp                                                     float64
			Topic, FunctionName, FunctionInvokeID, Payload, Answer, Error string
		}
		require.NoError(t, json.Unmarshal(line, &got))
		want := new(function.FunctionMessage)
		if err := proto.Unmarshal(b, want); err != nil {
			require.NotEmpty(t, got.Error, "%v", err)
			return
		}
		if strings.Contains(got.Error, "the type 3") { // more groups in each other than anybody means
			return
		}
		require.Empty(t, got.Error)
		require.Equal(t, want.QOS, got.QOS)
		require.Equal(t, float64(want.Timestamp), got.Timestamp)
		require.Equal(t, want.Topic, got.Topic)
		require.Equal(t, want.FunctionName, got.FunctionName)
		require.Equal(t, want.FunctionInvokeID, got.FunctionInvokeID)
		require.Equal(t, hex.EncodeToString(want.Payload), got.Payload)
		answer, err := hex.DecodeString(got.Answer)
		require.NoError(t, err)
		replaced := new(function.FunctionMessage)
		require.NoError(t, proto.Unmarshal(answer, replaced))
		want.Payload = []byte("pong")
		want.ProtoReflect().SetUnknown(nil)
		replaced.ProtoReflect().SetUnknown(nil)
		require.True(t, proto.Equal(want, replaced), "want %v, got %v", want, replaced)
	})
}
