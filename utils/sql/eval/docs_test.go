package eval_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/sql/eval"
)

// TestDocs runs the examples of docs/sql.md, which say that `expression` is `result`, and checks that each function is
// documented there.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/sql.md")
	require.NoError(t, err)
	examples := regexp.MustCompile("`([^`]+)` is `([^`]+)`").FindAllStringSubmatch(string(text), -1)
	require.Greater(t, len(examples), 50)
	for _, e := range examples {
		q, err := compile("select " + e[1] + " as x")
		require.NoError(t, err, e[0])
		out, err := q.Run(eval.Message{Topic: "site/7/temperature", QOS: 1, Payload: []byte("{}"), Now: now})
		require.NoError(t, err, e[0])
		assert.Equal(t, `{"x":`+e[2]+`}`, string(out), e[0])
	}
	for _, name := range eval.Functions() {
		assert.Contains(t, string(text), "`"+name+"(", "the function is not documented")
	}
}
