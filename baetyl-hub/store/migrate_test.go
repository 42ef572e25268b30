package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/utils/file"
)

func oldStore(t testing.TB, dir string) {
	t.Helper()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "hub.db"), os.DirFS("legacy/testdata/hub.db")))
}

// checkMigrated checks that r has what legacy/testdata has.
func checkMigrated(t testing.TB, r *rig) {
	t.Helper()
	require.Len(t, r.sessions, 3)
	one, two := r.sessions[1], r.sessions[2]
	require.Equal(t, "one alice", one.Client+" "+one.User)
	require.Len(t, one.Filters, 2)
	require.Len(t, one.Received, 2)
	require.Equal(t, []byte{100, 5, 0, 5, 1}, one.Acked)
	require.EqualValues(t, 300, one.Tail)
	require.EqualValues(t, 100, two.Tail)
	require.EqualValues(t, 4, r.highest)
	require.Equal(t, map[string]string{"r/1": "kept", "r/2": "kept too"}, r.retained)
	require.Equal(t, map[string]string{"two": "gone"}, r.wills)
	var want []string
	for i := 100; i < 300; i++ {
		if i != 105 { // acknowledged behind others: only session 2 needs it
			want = append(want, fmt.Sprintf("message %03d", i))
		}
	}
	got := r.waiting(1, 0)
	require.Subset(t, got, want)
	require.LessOrEqual(t, len(got), 200)
	want = nil
	for i := 30; i < 300; i += 3 {
		want = append(want, fmt.Sprintf("message %03d", i))
	}
	require.Equal(t, want, r.waiting(2, 0))
	list, _, err := r.Read(2, 12, 1, 1000)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.EqualValues(t, 2, list[0].QOS)
	require.True(t, list[0].Retained)
}

// A store of an older hub is read once, and then an older hub refuses the folder.
func TestMigration(t *testing.T) {
	dir := t.TempDir()
	oldStore(t, dir)
	r := open(t, store.Options{Dir: dir})
	checkMigrated(t, r)
	r.put("new", 1)
	for range 2 {
		r = r.again()
		got := r.waiting(1, 0)
		require.Equal(t, "new", got[len(got)-1])
	}
	r.stop()
	require.NoError(t, r.Close())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{"hub.db", "log", "state"}, names)
	text, err := os.ReadFile(filepath.Join(dir, "hub.db"))
	require.NoError(t, err)
	require.Contains(t, string(text), "newer baetyl-hub")
}

// An older hub refuses a store that was never its own, too.
func TestNoticeForOlderHubs(t *testing.T) {
	r := open(t, store.Options{})
	text, err := os.ReadFile(filepath.Join(r.o.Dir, "hub.db"))
	require.NoError(t, err)
	require.Contains(t, string(text), "newer baetyl-hub")
}

func TestTwoStores(t *testing.T) {
	r := open(t, store.Options{})
	r.stop()
	require.NoError(t, r.Close())
	require.NoError(t, os.Remove(filepath.Join(r.o.Dir, "hub.db")))
	oldStore(t, r.o.Dir)
	_, err := store.Open(r.o)
	require.ErrorContains(t, err, "two stores")
}

// Whatever fails while an old store is read, and wherever the hub or the power ends: the next start has all of it.
func TestFaultsOfMigration(t *testing.T) {
	faultfs.Each(t, faultfs.Sample("HUB_FAULTS", 9), func(t *testing.T, fs *faultfs.FS) {
		dir := filepath.Join(fs.Dir(), "data")
		oldStore(t, dir)
		fs.Start()
		s, err := store.Open(store.Options{Dir: dir, Disk: fs.Disk()})
		if err == nil {
			if err := s.Close(); err != nil {
				require.True(t, fs.Fault().Kind.Ends() || errors.Is(err, faultfs.ErrOff), "%v", err)
			}
		}
		fs.Reboot()
		r := open(t, store.Options{Dir: dir, Disk: file.OS})
		checkMigrated(t, r)
	})
}
