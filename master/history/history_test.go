package history_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/master/history"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func open(dir string, disk file.Disk, change ...func(*history.Options)) *history.History {
	o := history.Options{Dir: dir, Max: 20, Size: 8 << 20, Disk: disk, Log: log.Discard()}
	for _, c := range change {
		c(&o)
	}
	h := history.New(o)
	h.Open("")
	return h
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

// update records an update to text that began n minutes after epoch, and ended a second later.
func update(h *history.History, n int, text, result string) error {
	err := h.Keep(sum(text), []byte(text))
	began := epoch.Add(time.Duration(n) * time.Minute)
	h.End(history.Entry{HistoryEntry: masterapi.HistoryEntry{
		Began: began, SHA256: sum(text), Size: len(text), Version: text, Result: result,
	}}, began.Add(time.Second))
	return err
}

// shown is a line for each entry, the oldest first.
func shown(h *history.History) (out []string) {
	for _, e := range h.List() {
		text := fmt.Sprintf("%d %s %s", e.Number, e.Version, e.Result)
		if e.Reason != "" {
			text += ": " + e.Reason
		}
		if !e.Kept {
			text += " (not kept)"
		}
		out = append([]string{text}, out...)
	}
	return out
}

func found(text string) history.Entry {
	return history.Entry{HistoryEntry: masterapi.HistoryEntry{SHA256: sum(text), Size: len(text), Version: text}}
}

func TestHistory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	h := open(dir, file.OS)
	h.Found(history.Entry{}, nil, epoch)
	require.Empty(t, h.List(), "nothing has run")
	_, err := h.Get(0)
	require.ErrorIs(t, err, history.ErrNotFound)

	h.Found(found("a"), []byte("a"), epoch)
	h.Found(found("a"), []byte("a"), epoch)
	require.NoError(t, update(h, 1, "b", masterapi.ResultRunning))
	require.NoError(t, update(h, 1, "b", masterapi.ResultRunning)) // after a restart of the master
	require.NoError(t, update(h, 2, "c", masterapi.ResultRolledBack))
	want := []string{"1 a ended: replaced by 2", "2 b running", "3 c rolled_back"}
	require.Equal(t, want, shown(h))
	h = open(dir, file.OS)
	require.Equal(t, want, shown(h))

	last, err := h.Get(0)
	require.NoError(t, err)
	require.Equal(t, 1, last.Number, "what was rolled back has not run well")
	text, err := h.Text(last)
	require.NoError(t, err)
	require.Equal(t, "a", string(text))
	require.NoError(t, update(h, 3, "a", masterapi.ResultRunning))
	last, _ = h.Get(0)
	require.Equal(t, 2, last.Number)
	first, _ := h.Get(1)
	require.True(t, h.Running(first))
	before, ok := h.Before(4)
	require.True(t, ok)
	require.Equal(t, 2, before.Number)
	_, ok = h.Before(1)
	require.False(t, ok)

	h.Found(found("d"), []byte("d"), epoch.Add(time.Hour))
	require.Equal(t, "4 a ended: the file was changed: replaced by 5", shown(h)[3])
	h.Found(history.Entry{}, nil, epoch.Add(2*time.Hour))
	require.Equal(t, "5 d ended: there was no application.yml at a start of the master", shown(h)[4])
	last, _ = h.Get(0)
	require.Equal(t, 5, last.Number, "what ran last comes back")

	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

// Number and bytes are bounded, and what runs and what a revert brings back stay.
func TestBounds(t *testing.T) {
	dir := t.TempDir()
	h := open(dir, file.OS, func(o *history.Options) { o.Max = 4 })
	require.NoError(t, update(h, 0, "good", masterapi.ResultRunning))
	require.NoError(t, update(h, 1, "now", masterapi.ResultRunning))
	for n := range 100 { // an agent that tries again and again
		require.NoError(t, update(h, 2+n, fmt.Sprint("bad", n), masterapi.ResultRolledBack))
	}
	require.Equal(t, []string{"1 good ended: replaced by 2", "2 now running", "101 bad98 rolled_back",
		"102 bad99 rolled_back"}, shown(h))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 5)

	h = open(t.TempDir(), file.OS, func(o *history.Options) { o.Size = 10 })
	for n := range 4 {
		require.NoError(t, update(h, n, strings.Repeat(fmt.Sprint(n), 6), masterapi.ResultRunning))
	}
	kept := []bool{}
	for _, e := range h.List() {
		kept = append(kept, e.Kept)
	}
	require.Equal(t, []bool{true, true, false, false}, kept)
	e, err := h.Get(1)
	require.NoError(t, err)
	_, err = h.Text(e)
	require.ErrorIs(t, err, history.ErrNotKept)
	require.ErrorContains(t, err, "history.size")
}

// One damaged file costs what is in it, and no more.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	h := open(dir, file.OS)
	require.NoError(t, update(h, 0, "a", masterapi.ResultRunning))
	require.NoError(t, update(h, 1, "b", masterapi.ResultRunning))
	require.NoError(t, os.WriteFile(filepath.Join(dir, sum("a")+".yml"), []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "left-over.tmp"), []byte("x"), 0o600))
	h = open(dir, file.OS)
	require.NoFileExists(t, filepath.Join(dir, "left-over.tmp"))
	e, err := h.Get(0)
	require.NoError(t, err)
	_, err = h.Text(e)
	require.ErrorIs(t, err, history.ErrNotKept)
	require.NoError(t, update(h, 2, "a", masterapi.ResultRunning))
	_, err = h.Text(e)
	require.NoError(t, err, "it was kept again")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"statefile":{"version":1`), 0o600))
	h = open(dir, file.OS)
	require.Empty(t, h.List())
	h.Found(found("a"), []byte("a"), epoch)
	require.Equal(t, []string{"1 a running"}, shown(h))
}

// The text of an update that had not ended when the master was killed is there when it is settled.
func TestPending(t *testing.T) {
	dir := t.TempDir()
	h := open(dir, file.OS)
	require.NoError(t, h.Keep(sum("a"), []byte("a")))
	h = history.New(history.Options{Dir: dir, Max: 20, Size: 8 << 20, Log: log.Discard()})
	h.Open(sum("a"))
	require.FileExists(t, filepath.Join(dir, sum("a")+".yml"))
	open(dir, file.OS)
	require.NoFileExists(t, filepath.Join(dir, sum("a")+".yml"))
}

// Whatever the disk does, the history of a later master is that before the update or that after it, and what it says is
// kept can be read.
func TestFaults(t *testing.T) {
	faultfs.Each(t, faultfs.Options{}, func(t *testing.T, d *faultfs.FS) {
		dir := filepath.Join(d.Dir(), "history")
		h := open(dir, d.Disk())
		require.NoError(t, update(h, 0, "a", masterapi.ResultRunning))
		before := shown(h)
		d.Start()
		h = open(dir, d.Disk())
		_ = update(h, 1, "b", masterapi.ResultRunning)
		d.Reboot()
		h = open(dir, file.OS)
		after := []string{"1 a ended: replaced by 2", "2 b running"}
		require.Contains(t, [][]string{before, after}, shown(h))
		for _, e := range h.List() {
			got, _ := h.Get(e.Number)
			if text, err := h.Text(got); err == nil {
				require.Equal(t, e.Version, string(text))
			}
		}
	})
}
