package mqtttest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOutputKeepsBeginningAndEnd(t *testing.T) {
	var o Output
	_, _ = o.Write([]byte("first"))
	require.Equal(t, "first", o.String())
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	for range 100 {
		n, err := o.Write(chunk)
		require.NoError(t, err)
		require.Equal(t, len(chunk), n)
	}
	_, _ = o.Write([]byte("last"))
	text := o.String()
	require.True(t, strings.HasPrefix(text, "firstx"))
	require.True(t, strings.HasSuffix(text, "xlast"))
	require.Contains(t, text, "bytes are left out")
	require.Less(t, len(text), 4*outputHalf)
}
