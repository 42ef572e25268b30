package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// What a crash leaves at the end of the log is dropped, wherever it cuts, and what comes next does not bring it back.
func TestDamagedTail(t *testing.T) {
	r := open(t, store.Options{})
	r.session(1)
	for i := range 3 {
		r.put(fmt.Sprintf("message %d", i), 1)
	}
	r.stop()
	segments := files(t, r.o.Dir, "*.seg")
	require.Len(t, segments, 1)
	whole, err := os.ReadFile(segments[0])
	require.NoError(t, err)
	end := len(whole)
	for whole[end-1] == 0 {
		end--
	}
	for cut := end - 1; cut > 64; cut -= 3 {
		b := append([]byte{}, whole...)
		b[cut] ^= 0x55
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(r.o.Dir)))
		path := filepath.Join(dir, "log", filepath.Base(segments[0]))
		require.NoError(t, os.WriteFile(path, b, 0o600))
		s := open(t, store.Options{Dir: dir})
		var want []string
		if len(s.sessions) > 0 {
			want = s.waiting(1, 0)
			require.Equal(t, series(0, len(want)), want)
			require.Less(t, len(want), 3)
			s.put("later", 1)
			want = append(want, "later")
		}
		s = s.again()
		if len(s.sessions) > 0 {
			require.Equal(t, want, s.waiting(1, 0))
		}
		s.stop()
		require.NoError(t, s.Close())
	}
}

// Damage in the middle of the log costs the frames that are damaged, no others.
func TestDamagedRecords(t *testing.T) {
	r := open(t, store.Options{SegmentSize: 8 << 10})
	r.session(1)
	for i := range 400 {
		r.put(fmt.Sprintf("message %d", i), 1)
	}
	r.stop()
	first := files(t, r.o.Dir, "*.seg")[1]
	b, err := os.ReadFile(first)
	require.NoError(t, err)
	b[len(b)/2] ^= 1
	require.NoError(t, os.WriteFile(first, b, 0o600))
	check := func(r *rig) {
		t.Helper()
		got := r.waiting(1, 0)
		require.Len(t, got, 399)
		require.Equal(t, "message 399", got[398])
	}
	check(r)
	check(r.killed())
	r = r.again()
	check(r)
}
