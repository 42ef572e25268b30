package faultldb_test

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/baetyl/baetyl/internal/faultldb"
)

var (
	logFile   = storage.FileDesc{Type: storage.TypeJournal, Num: 1}
	tableFile = storage.FileDesc{Type: storage.TypeTable, Num: 2}
)

func open(t *testing.T, d *faultldb.Disk) storage.Storage {
	t.Helper()
	s, err := d.Storage()
	require.NoError(t, err)
	return s
}

func content(t *testing.T, s storage.Storage, fd storage.FileDesc) string {
	t.Helper()
	r, err := s.Open(fd)
	if errors.Is(err, os.ErrNotExist) {
		return "none"
	}
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

// Cut keeps what was synced, Kill keeps all. Both close the open storage.
func TestCutAndKill(t *testing.T) {
	d := faultldb.New()
	s := open(t, d)
	for _, fd := range []storage.FileDesc{logFile, tableFile} {
		w, err := s.Create(fd)
		require.NoError(t, err)
		_, err = w.Write([]byte("safe "))
		require.NoError(t, err)
		if fd == logFile {
			require.NoError(t, w.Sync())
		}
		_, err = w.Write([]byte("written"))
		require.NoError(t, err)
	}
	_, err := d.Storage()
	require.Error(t, err, "opened twice")
	d.Kill()
	_, err = s.Create(tableFile)
	require.ErrorIs(t, err, storage.ErrClosed)
	s = open(t, d)
	require.Equal(t, "safe written", content(t, s, logFile))
	require.Equal(t, "safe written", content(t, s, tableFile))
	require.NoError(t, s.Remove(logFile))
	d.Cut()
	s = open(t, d)
	require.Equal(t, "safe ", content(t, s, logFile)) // the removal was not synced either
	require.Equal(t, "none", content(t, s, tableFile))
}

// The chosen operations fail. A failed write writes half of its data.
func TestFail(t *testing.T) {
	d, fault := faultldb.New(), errors.New("fault")
	d.Fail(func(op faultldb.Op) error {
		if op.N == 2 || op.Kind == faultldb.Sync {
			return fault
		}
		return nil
	})
	s := open(t, d)
	w, err := s.Create(logFile)
	require.NoError(t, err)
	n, err := w.Write([]byte("1234"))
	require.ErrorIs(t, err, fault)
	require.Equal(t, 2, n)
	require.ErrorIs(t, w.Sync(), fault)
	d.Fail(nil)
	require.NoError(t, w.Sync())
	require.Equal(t, 4, d.Ops())
	require.Equal(t, "12", content(t, s, logFile))
}

// goleveldb works on it, and loses what was not synced.
func TestDatabase(t *testing.T) {
	d := faultldb.New()
	s := open(t, d)
	db, err := leveldb.Open(s, nil)
	require.NoError(t, err)
	require.NoError(t, db.Put([]byte("a"), []byte("synced"), &opt.WriteOptions{Sync: true}))
	require.NoError(t, db.Put([]byte("b"), []byte("not"), nil))
	d.Cut()
	_ = db.Close()
	db, err = leveldb.Open(open(t, d), nil)
	require.NoError(t, err)
	v, err := db.Get([]byte("a"), nil)
	require.NoError(t, err)
	require.Equal(t, "synced", string(v))
	_, err = db.Get([]byte("b"), nil)
	require.ErrorIs(t, err, leveldb.ErrNotFound)
	require.NoError(t, db.Close())
}
