//go:build linux

package native

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The number of a failure crosses the pipe as a number, and only that of execve(2) counts as one of the program.
func TestShimFailureCrossesThePipe(t *testing.T) {
	for _, c := range []struct {
		err  error
		text string
		is   error
	}{
		{execError{"/p", syscall.ENOENT}, "exec /p: no such file or directory", fs.ErrNotExist},
		{execError{"/p", syscall.ETXTBSY}, "exec /p: text file busy", syscall.ETXTBSY},
		{fmt.Errorf("make /p read-only: %w", syscall.ENOENT), "make /p read-only: no such file or directory", nil},
		{errors.New("2 of 3"), "2 of 3", nil},
	} {
		got := decodeFailure(failureOf(c.err).encode())
		require.EqualError(t, got, c.text)
		if c.is != nil {
			require.ErrorIs(t, got, c.is)
		} else {
			require.NoError(t, errors.Unwrap(got))
		}
	}
	for _, text := range []string{"", "fatal error: out of memory", "99999999 x", "-1 x", "7"} {
		require.Equal(t, shimFailure{text: text}, decodeFailure([]byte(text)))
	}
}
