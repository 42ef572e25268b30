package legacy_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/store/legacy"
	"github.com/baetyl/baetyl/utils/log"
)

// testdata/hub.db is read as testdata/README.md says that it was written.
func TestRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hub.db")
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/hub.db")))
	sessions := map[uint64]*legacy.Session{}
	texts := map[string]string{}
	n := 0
	_, err := legacy.Read(dir, log.Discard(), legacy.Visitor{
		Session:  func(s *legacy.Session) error { sessions[s.Number] = s; return nil },
		Retained: func(m *record.Message) error { texts[m.Topic] = string(m.Payload); return nil },
		Will:     func(client string, m *record.Message) error { texts[client] = m.Topic; return nil },
		Message: func(m *record.Message, targets []record.Target, _ time.Duration) error {
			n++
			require.NotEmpty(t, targets)
			return nil
		},
	})
	require.NoError(t, err)
	require.Len(t, sessions, 3)
	require.Equal(t, "one alice", sessions[1].Client+" "+sessions[1].User)
	require.Len(t, sessions[1].Filters, 2)
	require.Len(t, sessions[1].Received, 2)
	require.Equal(t, []byte{100, 5, 0, 5, 1}, sessions[1].Acked)
	require.Equal(t, map[string]string{"r/1": "kept", "r/2": "kept too", "two": "wills/two"}, texts)
	require.Greater(t, n, 200)
}

func TestNothing(t *testing.T) {
	_, err := legacy.Read(t.TempDir(), log.Discard(), legacy.Visitor{})
	require.NoError(t, err)
}
