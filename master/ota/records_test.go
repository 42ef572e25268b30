package ota_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// bench are the records with its files.
type bench struct {
	*ota.Records
	t           *testing.T
	record, log string
}

func newBench(t *testing.T) *bench {
	dir := t.TempDir()
	b := &bench{t: t, record: filepath.Join(dir, "update.json"), log: filepath.Join(dir, "ota.log")}
	b.Records = ota.NewRecords(b.record, b.log, file.OS, log.Discard(), nil)
	return b
}

func (b *bench) steps() []string {
	b.t.Helper()
	data, err := os.ReadFile(b.log)
	require.NoError(b.t, err)
	records, err := masterapi.ReadOTALog(bytes.NewReader(data))
	require.NoError(b.t, err)
	out := []string{}
	for _, r := range records {
		out = append(out, r.Trace+" "+r.Step)
	}
	return out
}

func (b *bench) pending() *ota.Update {
	b.t.Helper()
	u, err := b.Pending()
	require.NoError(b.t, err)
	return u
}

func TestRecords(t *testing.T) {
	b := newBench(t)
	require.Nil(t, b.pending())
	require.NoFileExists(t, b.log, "asking writes nothing")

	u := ota.Update{Type: masterapi.UpdateApp, Trace: "t1", SHA256: "x"}
	require.NoError(t, b.Begin(u))
	require.Equal(t, &u, b.pending())
	require.NoError(t, b.Step(u, masterapi.StepRollingBack, "m", errors.New("boom")))
	require.NoError(t, b.End(u, masterapi.StepRolledBack, "m", errors.New("boom")))
	require.Nil(t, b.pending())
	require.Equal(t, []string{"t1 UPDATING", "t1 ROLLINGBACK", "t1 ROLLEDBACK"}, b.steps())

	require.NoError(t, b.Begin(u), "the same update again")
	require.NoError(t, b.End(u, masterapi.StepUpdated, "m", nil))
	require.Equal(t, []string{"t1 UPDATING", "t1 ROLLINGBACK", "t1 ROLLEDBACK", "t1 UPDATING", "t1 UPDATED"}, b.steps())

	require.NoError(t, b.Begin(ota.Update{Type: masterapi.UpdateApp, Trace: "t2"}))
	require.Equal(t, []string{"t2 UPDATING"}, b.steps(), "another trace begins the file anew")
}

// What a kill between two writes leaves.
func TestRecordsAfterAKill(t *testing.T) {
	u := ota.Update{Type: masterapi.UpdateApp, Trace: "t", SHA256: "x"}
	t.Run("before the record", func(t *testing.T) {
		b := newBench(t)
		require.NoError(t, b.Begin(u))
		require.NoError(t, os.Remove(b.record))
		left := b.pending()
		require.Equal(t, &ota.Update{Type: masterapi.UpdateApp, Trace: "t"}, left)
		require.NoError(t, b.End(*left, masterapi.StepRolledBack, "m", nil))
		require.Equal(t, []string{"t UPDATING", "t ROLLEDBACK"}, b.steps())
		require.Nil(t, b.pending())
	})
	t.Run("between final line and record", func(t *testing.T) {
		b := newBench(t)
		require.NoError(t, b.Begin(u))
		record, err := os.ReadFile(b.record)
		require.NoError(t, err)
		require.NoError(t, b.End(u, masterapi.StepUpdated, "m", nil))
		require.NoError(t, os.WriteFile(b.record, record, 0o600))
		require.NoError(t, b.End(*b.pending(), masterapi.StepUpdated, "m", nil))
		require.Equal(t, []string{"t UPDATING", "t UPDATED"}, b.steps())
		require.Nil(t, b.pending())
	})
	t.Run("in a line", func(t *testing.T) {
		b := newBench(t)
		require.NoError(t, b.Begin(u))
		f, err := os.OpenFile(b.log, os.O_WRONLY|os.O_APPEND, 0)
		require.NoError(t, err)
		_, err = f.WriteString(`{"time":"2019-0`)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.NoError(t, b.End(u, masterapi.StepUpdated, "m", nil))
		require.Equal(t, []string{"t UPDATING", "t UPDATED"}, b.steps())
	})
	t.Run("the log is lost", func(t *testing.T) {
		b := newBench(t)
		require.NoError(t, b.Begin(u))
		require.NoError(t, os.Remove(b.log))
		require.NoError(t, b.End(*b.pending(), masterapi.StepUpdated, "m", nil))
		require.Equal(t, []string{"t UPDATED"}, b.steps())
	})
	t.Run("the record is damaged", func(t *testing.T) {
		b := newBench(t)
		require.NoError(t, b.Begin(u))
		require.NoError(t, os.WriteFile(b.record, []byte("{half"), 0o600))
		left := b.pending()
		require.Contains(t, left.Failed, "record of the update: file is damaged")
		require.FileExists(t, b.record+".damaged-1")
		require.NoError(t, b.End(*left, masterapi.StepRolledBack, "m", nil))
		require.Equal(t, []string{"t UPDATING", "t ROLLEDBACK"}, b.steps())
	})
	t.Run("both are damaged", func(t *testing.T) {
		b := newBench(t)
		require.NoError(t, b.Begin(u))
		require.NoError(t, os.WriteFile(b.record, []byte("{half"), 0o600))
		require.NoError(t, os.WriteFile(b.log, []byte("zzz\n"), 0o600))
		require.Nil(t, b.pending())
		require.NoError(t, b.Begin(u))
		require.NoError(t, b.End(u, masterapi.StepUpdated, "m", nil))
		require.Equal(t, []string{"t UPDATING", "t UPDATED"}, b.steps())
	})
}

func TestUpdateThatCannotBeWrittenDownIsNotAccepted(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "update.json"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "update.json", "x"), nil, 0o600))
	l := ota.NewRecords(filepath.Join(dir, "update.json"), filepath.Join(dir, "ota.log"), file.OS, log.Discard(), nil)
	require.ErrorContains(t, l.Begin(ota.Update{Type: masterapi.UpdateApp, Trace: "t"}), "write record")
	data, err := os.ReadFile(filepath.Join(dir, "ota.log"))
	require.NoError(t, err)
	require.Contains(t, string(data), "FAILURE")
}

// What masters wrote before the record had a version is read: the files are from real masters that were killed
// during an update.
func TestRecordOfTheVersionBefore(t *testing.T) {
	for name, want := range map[string]ota.Update{
		"update-0.json": {
			Type: masterapi.UpdateApp, Trace: "trace-1",
			SHA256: "9921ac7c01ae124186b15291104dfcff0093c29444dd616502bf590b89ec291c",
		},
		"update-0-failed.json": {
			Type: masterapi.UpdateApp, Trace: "trace-1",
			SHA256: "915594a7a1d682edaddbf194067618a761782f8bff267dbcfcfa0ae02e701059",
			Failed: `update application to version "v3" (the old one is put back): ` +
				`instance loop of service loop (restarting): process exit code: exit status 3: ` +
				`has not stayed up for 1s: context canceled`,
		},
	} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		b := newBench(t)
		require.NoError(t, os.WriteFile(b.record, data, 0o600))
		require.Equal(t, &want, b.pending())
		require.NoError(t, b.Save(want))
		require.Equal(t, &want, b.pending())
		// A master of the previous version, which runs again when a new one fails, reads what the new one wrote.
		data, err = os.ReadFile(b.record)
		require.NoError(t, err)
		var old ota.Update
		require.NoError(t, json.Unmarshal(data, &old))
		require.Equal(t, want, old)
	}
}
