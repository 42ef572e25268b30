package file_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/file"
)

// synced is a File that is not one of the operating system.
type synced struct {
	file.File
	n int
}

func (s *synced) Sync() error { s.n++; return s.File.Sync() }

func TestDatasync(t *testing.T) {
	f, err := file.OS.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	_, err = f.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, file.Datasync(f))
	s := &synced{File: f}
	require.NoError(t, file.Datasync(s))
	require.Equal(t, 1, s.n)
	require.NoError(t, f.Close())
	require.Error(t, file.Datasync(f))
}
