package function_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStubs: the stubs in the repository are those of function.proto. It needs the generators that `make proto` has
// installed under output/cache, and is skipped without them: fetching them takes longer than all other tests here.
func TestStubs(t *testing.T) {
	root := filepath.Join("..", "..")
	ready, err := filepath.Glob(filepath.Join(root, "output/cache/proto-*/ready"))
	require.NoError(t, err)
	if len(ready) == 0 {
		t.Skip("the generators are not installed: run make proto once")
	}
	dir := t.TempDir()
	out, err := exec.Command(filepath.Join(root, "scripts/proto.sh"), dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, name := range []string{
		"protocol/function/function.pb.go", "protocol/function/function_grpc.pb.go",
	} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s is not what function.proto says: run make proto", name)
	}
}
