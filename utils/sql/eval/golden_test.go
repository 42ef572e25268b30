package eval_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/sql/eval"
	"github.com/baetyl/baetyl/utils/sql/parse"
)

var update = flag.Bool("update", false, "write the computed results into testdata")

// now is the time in the tests.
var now = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

func compile(src string) (*eval.Query, error) {
	s, err := parse.Parse(src)
	if err != nil {
		return nil, err
	}
	return eval.Compile(s)
}

// TestGolden runs the table of testdata/golden.txt:
//
//	select …          a statement, on one line or more
//	! error           it is wrong, or
//	< {"id":1}        a message, on topic site/7/temperature at QoS 1
//	> {…}             its result, or
//	- no match
//	! error
func TestGolden(t *testing.T) {
	const file = "testdata/golden.txt"
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
		if i > 0 {
			out.WriteString("\n")
		}
		golden(&out, strings.Split(block, "\n"))
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o600))
		return
	}
	want, got := strings.Split(string(data), "\n"), strings.Split(out.String(), "\n")
	for i := range want {
		require.Equal(t, want[i], got[i], "%s:%d", file, i+1)
	}
	require.Len(t, got, len(want))
}

// golden writes a block with what is computed for it.
func golden(out *strings.Builder, lines []string) {
	var statement, messages []string
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l, "#"):
			out.WriteString(l + "\n")
		case strings.HasPrefix(l, "< "):
			messages = append(messages, l[2:])
		case !strings.HasPrefix(l, "> ") && !strings.HasPrefix(l, "! ") && l != "- no match":
			statement = append(statement, l)
		}
	}
	if len(statement) == 0 {
		return
	}
	out.WriteString(strings.Join(statement, "\n") + "\n")
	q, err := compile(strings.Join(statement, "\n"))
	if err != nil {
		out.WriteString("! " + err.Error() + "\n")
		return
	}
	for _, m := range messages {
		out.WriteString("< " + m + "\n")
		result, err := q.Run(eval.Message{Topic: "site/7/temperature", QOS: 1, Payload: []byte(m), Now: now})
		switch {
		case err != nil:
			out.WriteString("! " + err.Error() + "\n")
		case result == nil:
			out.WriteString("- no match\n")
		default:
			out.WriteString("> " + string(result) + "\n")
		}
	}
}

// The example of the documentation.
func TestDocumentedExample(t *testing.T) {
	q, err := compile("select qos() as qos, topic() as topic, * where id < 10")
	require.NoError(t, err)
	out, err := q.Run(eval.Message{Topic: "t", Payload: []byte(`{"id":1}`)})
	require.NoError(t, err)
	require.Equal(t, `{"id":1,"qos":0,"topic":"t"}`, string(out))
	out, err = q.Run(eval.Message{Topic: "t", Payload: []byte(`{"id":10}`)})
	require.NoError(t, err)
	require.Nil(t, out)
}
