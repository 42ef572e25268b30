package eval_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/sql/eval"
	"github.com/baetyl/baetyl/utils/sql/parse"
)

// The length of the result overflows 32 bits, and its lower 32 bits are a small number.
func TestReplaceThatIsTooLong(t *testing.T) {
	s, err := parse.Parse("select replace(a, 'x', b) as c")
	require.NoError(t, err)
	q, err := eval.Compile(s)
	require.NoError(t, err)
	payload := `{"a":"` + strings.Repeat("x", 65536) + `","b":"` + strings.Repeat("y", 65537) + `"}`
	_, err = q.Run(eval.Message{Payload: []byte(payload)})
	require.ErrorContains(t, err, "replace: ")
}
