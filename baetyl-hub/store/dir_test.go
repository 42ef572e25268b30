package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The parent of each new folder is synced, and the parent of the database each time, since an earlier hub may have been
// killed before the sync. Internal, because from outside only a power cut shows it.
func TestMakeDir(t *testing.T) {
	root := t.TempDir()
	var synced []string
	sync := func(dir string) error {
		rel, err := filepath.Rel(root, dir)
		require.NoError(t, err)
		synced = append(synced, rel)
		return nil
	}
	dir := filepath.Join(root, "a", "b", "hub.db")
	require.NoError(t, makeDir(dir, sync))
	require.DirExists(t, dir)
	require.Equal(t, []string{".", "a", "a/b"}, synced)
	synced = nil
	require.NoError(t, makeDir(dir, sync))
	require.Equal(t, []string{"a/b"}, synced)
	fault := errors.New("no sync")
	require.ErrorIs(t, makeDir(filepath.Join(root, "c", "hub.db"), func(string) error { return fault }), fault)
	require.NoError(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o600))
	require.Error(t, makeDir(filepath.Join(root, "file", "hub.db"), sync))
}
