package agenttest

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// WritePEM writes a PEM file and returns its path.
func WritePEM(t testing.TB, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
