package sql

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// full is an output on a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A result that cannot be written is an error.
func TestCommandOnAFullDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "service.yml")
	const config = "functions: [{name: f, handler: SELECT id}]\n"
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	for _, args := range [][]string{{"-c", file, "test", "--event", `{"id":5}`}, {"--help"}} {
		var stdout, stderr bytes.Buffer
		require.Zero(t, Command(args, nil, &stdout, &stderr), stderr.String())
		require.Equal(t, 1, Command(args, nil, full{}, &stderr), args)
		require.Contains(t, stderr.String(), "write the output, which is not whole: no space left on device")
	}
}
