package logfile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/logfile"
)

// failing fails from its second write on, each time in another way.
type failing struct {
	strings.Builder
	n int
}

func (f *failing) Write(p []byte) (int, error) {
	if f.n++; f.n == 2 {
		return 1, errors.New("disk full")
	}
	return f.Builder.Write(p)
}

// The first write that failed is what counts, also when others come through after it.
func TestChecked(t *testing.T) {
	var to failing
	c := logfile.NewChecked(&to)
	for _, text := range []string{"a", "bc", "d"} {
		n, err := c.Write([]byte(text))
		require.Equal(t, text == "bc", err != nil)
		require.Equal(t, 1, n)
	}
	require.EqualError(t, c.Err(), "write the output, which is not whole: disk full")
	require.Equal(t, "ad", to.String())
	c = logfile.NewChecked(&strings.Builder{})
	_, _ = c.Write([]byte("a"))
	require.NoError(t, c.Err())
}
