//go:build unix

package functiontest

import (
	"bufio"
	"encoding/json"
	"math"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baetyl/baetyl/utils/conf"
)

// FuzzValues checks a runtime's reading of sizes and durations against that of the Go modules: what both take must
// mean the same, and what is written as documented must be taken. parser is a program that reads a JSON text a line
// and answers with the line {"size": bytes or null, "seconds": seconds or null}.
func FuzzValues(f *testing.F, parser *exec.Cmd) {
	for _, s := range []string{
		"4m", "32k", "1g", "2t", "512", "4M", "1mb", "5b", "4 m", "", "m", "-1", "+1", "1.5k", "0x10", "1_000", "٣", "k4",
		"64q", "1kk",
		"30s", "1m30s", "1.5h", ".5s", "1us", "1µs", "1ns", "100ms", "0", "-1s", "1d", "s", ".s", "1",
		"9223372036854775807", "1 s", "²",
	} {
		f.Add(s)
	}
	in, err := parser.StdinPipe()
	require.NoError(f, err)
	out, err := parser.StdoutPipe()
	require.NoError(f, err)
	require.NoError(f, parser.Start())
	f.Cleanup(func() {
		in.Close()
		_ = parser.Wait()
	})
	answers := bufio.NewReader(out)
	size := regexp.MustCompile(`^[0-9]{1,6}[kmg]?$`)
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			t.Skip("YAML is UTF-8")
		}
		question, err := json.Marshal(s)
		require.NoError(t, err)
		_, err = in.Write(append(question, '\n'))
		require.NoError(t, err)
		line, err := answers.ReadBytes('\n')
		require.NoError(t, err)
		var got struct{ Size, Seconds *float64 }
		require.NoError(t, json.Unmarshal(line, &got), "%s", line)

		want, err := conf.ParseSize(s)
		if err == nil && got.Size != nil {
			require.InEpsilon(t, float64(want)+1, *got.Size+1, 1e-9, "size %q", s)
		}
		require.False(t, size.MatchString(s) && got.Size == nil, "size %q is refused", s)
		d, err := time.ParseDuration(s)
		if err == nil && got.Seconds != nil {
			require.InDelta(t, d.Seconds(), *got.Seconds, 1e-6+math.Abs(d.Seconds())*1e-9, "duration %q", s)
		}
		require.False(t, err == nil && d > 0 && got.Seconds == nil && !strings.HasPrefix(s, "+"), "duration %q is refused", s)
	})
}

// FuzzPayload sends payloads through the function echo of target: each comes back with the same meaning, or as it was.
func FuzzPayload(f *testing.F, target Target) {
	for _, s := range []string{`{"id":1}`, "text", "\x00\xff", `"a"`, "1e400", "-0", `{"a":1,"a":2}`, "[1,", "NaN",
		`"\ud800"`, "\ufeff1", "null", `""`} {
		f.Add([]byte(s))
	}
	r := Start(f, target.Options(""))
	f.Fuzz(func(t *testing.T, payload []byte) {
		answer, err := r.Call(t, "echo", string(payload))
		if err != nil { // a number that JSON can't say, half a surrogate pair
			require.Equal(t, codes.Unknown, status.Code(err), "%v", err)
			require.True(t, strings.HasPrefix(status.Convert(err).Message(), "Exception calling application: "), "%v", err)
			return
		}
		if answer == string(payload) || len(payload) == 0 || string(payload) == "null" {
			return
		}
		var want, got any
		if json.Unmarshal(payload, &want) == nil {
			if answer == "" {
				require.Contains(t, []any{nil, ""}, want, "no answer to %q", payload) // "" is no result in JavaScript
				return
			}
			require.NoError(t, json.Unmarshal([]byte(answer), &got), "answer %q to %q", answer, payload)
		}
	})
}
