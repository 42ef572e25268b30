package deadletter_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/deadletter"
	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/utils/file"
)

func entry(payload string) deadletter.Entry {
	return deadletter.Entry{
		Time:    time.Unix(1569248128, 0).UTC(),
		Rule:    1,
		From:    "hub",
		To:      "iothub",
		Topic:   "t",
		Target:  "p/t",
		QOS:     1,
		Payload: []byte(payload),
		Reason:  "why",
	}
}

func TestForm(t *testing.T) {
	f := deadletter.New(file.OS, filepath.Join(t.TempDir(), "made", "here"), 1<<20)
	require.NoError(t, f.Keep(entry("\x00ü")))
	data, err := os.ReadFile(f.Path())
	require.NoError(t, err)
	require.Equal(
		t,
		`{"time":"2019-09-23T14:15:28Z","rule":1,"from":"hub","to":"iothub","topic":"t","target":"p/t","qos":1,"retain":false,`+
			`"payload":"AMO8","reason":"why"}`+"\n",
		string(data),
	)
}

// The file has an end, a full one keeps what it has, and many writers leave whole lines.
func TestBound(t *testing.T) {
	f := deadletter.New(file.OS, t.TempDir(), 10000)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				if err := f.Keep(entry(strings.Repeat("x", 100))); err != nil {
					require.ErrorIs(t, err, deadletter.ErrFull)
				}
			}
		})
	}
	all.Wait()
	require.ErrorIs(t, f.Keep(entry(strings.Repeat("x", 100))), deadletter.ErrFull)
	data, err := os.ReadFile(f.Path())
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), 10000)
	require.Greater(t, len(data), 9000)
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		require.NoError(t, json.Unmarshal([]byte(line), new(deadletter.Entry)))
	}
}

func TestFolderThatCanNotBe(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	require.ErrorContains(
		t,
		deadletter.New(file.OS, filepath.Join(blocked, "x"), 1000).Keep(entry("x")),
		"keep dead letter in "+blocked,
	)
}

// A message that was kept is in the file, on a line of its own, whatever the disk did to the one before.
func TestFaults(t *testing.T) {
	faultfs.Each(t, faultfs.Options{}, func(t *testing.T, d *faultfs.FS) {
		dir := filepath.Join(d.Dir(), "made", "here")
		f := deadletter.New(d.Disk(), dir, 1<<20)
		var kept []string
		keep := func(payload string) {
			if f.Keep(entry(payload)) == nil {
				kept = append(kept, payload)
			}
		}
		d.Start()
		keep("a")
		keep("b")
		d.Reboot()
		if d.Fault().Kind.Ends() {
			f = deadletter.New(file.OS, dir, 1<<20)
		}
		keep("c")
		require.Contains(t, kept, "c")
		data, err := os.ReadFile(f.Path())
		require.NoError(t, err)
		var got []string
		for _, line := range strings.Split(string(data), "\n") {
			var e deadletter.Entry
			if json.Unmarshal([]byte(line), &e) == nil {
				got = append(got, string(e.Payload))
			}
		}
		require.Subset(t, got, kept)
	})
}
