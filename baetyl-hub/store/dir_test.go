package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every folder that has got a new name is synced after it: the database's parent each time, since a hub may have been
// killed before. Internal, because only a power cut shows it from outside.
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
