package journal_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/baetyl/baetyl/baetyl-hub/store/journal"
	"github.com/baetyl/baetyl/utils/log"
)

const buffer = 1 << 20

func open(t testing.TB, dir string, l log.Logger) storage.Storage {
	t.Helper()
	s, err := journal.Open(dir, buffer, l)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func number(n int64) storage.FileDesc { return storage.FileDesc{Type: storage.TypeJournal, Num: n} }

func write(t testing.TB, s storage.Storage, n int64, data ...[]byte) {
	t.Helper()
	w, err := s.Create(number(n))
	require.NoError(t, err)
	for _, b := range data {
		m, err := w.Write(b)
		require.NoError(t, err)
		require.Equal(t, len(b), m)
	}
	require.NoError(t, w.Sync())
	require.NoError(t, w.Close())
}

func read(t testing.TB, s storage.Storage, n int64) []byte {
	t.Helper()
	r, err := s.Open(number(n))
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return b
}

func spares(t testing.TB, dir string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.spare"))
	require.NoError(t, err)
	return len(names)
}

// A journal never contains data of an earlier use of its file, also if the storage was closed in between.
func TestJournalIsUsedAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, log.Discard())
	for i := range int64(20) {
		var want [][]byte
		for j := range 50 - int(i) {
			want = append(want, bytes.Repeat([]byte(fmt.Sprint(i, j)), 100))
		}
		write(t, s, i, want...)
		require.Equal(t, bytes.Join(want, nil), read(t, s, i))
		if i > 0 {
			require.NoError(t, s.Remove(number(i-1)))
			require.Equal(t, 1, spares(t, dir))
		}
		if i%5 == 4 {
			require.NoError(t, s.Close())
			s = open(t, dir, log.Discard())
		}
	}
	fds, err := s.List(storage.TypeJournal)
	require.NoError(t, err)
	require.Equal(t, []storage.FileDesc{number(19)}, fds) // spares are not taken for journals
}

func TestSparesAreBounded(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, log.Discard())
	for i := range int64(4) {
		write(t, s, i, []byte("x"))
	}
	write(t, s, 4, make([]byte, 5*buffer))
	for i := int64(4); i >= 0; i-- { // the oversized one first: it would be kept
		require.NoError(t, s.Remove(number(i)))
	}
	require.Equal(t, 2, spares(t, dir))
	require.ErrorIs(t, s.Remove(number(9)), os.ErrNotExist)
}

// A journal in goleveldb's own format, from a repair or from another program, is readable.
func TestPlainJournal(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, log.Discard())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "000007.log"), []byte("as goleveldb wrote it"), 0o600))
	require.Equal(t, "as goleveldb wrote it", string(read(t, s, 7)))
	for name, b := range map[string][]byte{"empty": nil, "zeros": make([]byte, 4096), "begun": []byte("baet")} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "000008.log"), b, 0o600))
		require.Empty(t, read(t, s, 8), name)
	}
}

// A power loss keeps some of the unsynced sectors and loses others. All synced data is readable, unsynced data up to
// some point, and no data of an earlier use.
func TestPowerLoss(t *testing.T) {
	const sector = 512
	dir := t.TempDir()
	var cut bytes.Buffer
	s := open(t, dir, log.NewTo(&cut, log.Config{Level: "warn"}))
	path := filepath.Join(dir, "000001.log")
	rnd := rand.New(rand.NewPCG(1, 2))
	frames := func(tag byte) (all [][]byte) {
		for range 1 + rnd.IntN(20) {
			b := bytes.Repeat([]byte{tag}, 1+rnd.IntN(900))
			all = append(all, b)
		}
		return all
	}
	for i := range 300 {
		// Frames of the same sizes as before, so that old frames are where new ones are expected.
		shape := frames('0')
		write(t, s, 0, shape...)
		require.NoError(t, s.Remove(number(0)))
		w, err := s.Create(number(1))
		require.NoError(t, err)
		var synced, written []byte
		put := func(b []byte) {
			fresh := bytes.Repeat([]byte{byte('a' + i%26)}, len(b))
			_, err := w.Write(fresh)
			require.NoError(t, err)
			written = append(written, fresh...)
		}
		half := rnd.IntN(len(shape) + 1)
		for _, b := range shape[:half] {
			put(b)
		}
		require.NoError(t, w.Sync())
		synced = append(synced, written...)
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, b := range shape[half:] {
			put(b)
		}
		require.NoError(t, w.Close())
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		for at := 0; at+sector <= len(after) && at+sector <= len(before); at += sector {
			if rnd.IntN(3) == 0 {
				copy(after[at:at+sector], before[at:])
			}
		}
		require.NoError(t, os.WriteFile(path, after, 0o600))
		got := read(t, s, 1)
		require.True(t, bytes.HasPrefix(written, got), "run %d", i)
		require.True(t, bytes.HasPrefix(got, synced), "run %d", i)
		require.NoError(t, s.Remove(number(1)))
	}
	require.Contains(t, cut.String(), "the end of 000001.log is damaged")
}

// A damaged journal is readable up to the damage, and the log says how many bytes are lost.
func TestDamageIsReported(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	s := open(t, dir, log.NewTo(&out, log.Config{Level: "warn"}))
	write(t, s, 1, []byte("first"), []byte("second"), []byte("third"))
	path := filepath.Join(dir, "000001.log")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "firstsecondthird", string(read(t, s, 1)))
	require.Empty(t, out.String())
	b[bytes.Index(b, []byte("second"))] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
	require.Equal(t, "first", string(read(t, s, 1)))
	require.Equal(t, 1, strings.Count(out.String(), "the end of 000001.log is damaged"))
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	s := open(f, dir, log.Discard())
	write(f, s, 1, []byte("first"), bytes.Repeat([]byte("second"), 10))
	b, err := os.ReadFile(filepath.Join(dir, "000001.log"))
	require.NoError(f, err)
	f.Add(b[:300])
	f.Add([]byte("plain"))
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "000001.log"), b, 0o600))
		require.LessOrEqual(t, len(read(t, s, 1)), len(b))
	})
}

// BenchmarkSync compares the sync of an overwritten journal with that of a growing file.
func BenchmarkSync(b *testing.B) {
	data := make([]byte, 150)
	run := func(b *testing.B, w storage.Writer, err error) {
		require.NoError(b, err)
		defer w.Close()
		for b.Loop() {
			if _, err := w.Write(data); err != nil {
				b.Fatal(err)
			}
			if err := w.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("again", func(b *testing.B) {
		s := open(b, b.TempDir(), log.Discard())
		write(b, s, 1, make([]byte, buffer))
		require.NoError(b, s.Remove(number(1)))
		w, err := s.Create(number(2))
		run(b, w, err)
	})
	b.Run("growing", func(b *testing.B) {
		s, err := storage.OpenFile(b.TempDir(), false)
		require.NoError(b, err)
		defer s.Close()
		w, err := s.Create(number(1))
		run(b, w, err)
	})
}

// The storage of a process that runs is left alone, and the error says why.
func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	s, err := journal.Open(dir, 1<<20, log.Discard())
	require.NoError(t, err)
	_, err = journal.Open(dir, 1<<20, log.Discard())
	require.ErrorContains(t, err, "another process")
	require.NoError(t, s.Close())
	s, err = journal.Open(dir, 1<<20, log.Discard())
	require.NoError(t, err)
	require.NoError(t, s.Close())
}
