package events_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/events"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func numbers(list []masterapi.Event) (out []uint64) {
	for _, e := range list {
		out = append(out, e.Number)
	}
	return out
}

func TestSince(t *testing.T) {
	r := events.New(3)
	list, next := r.Since(0)
	require.Empty(t, list)
	require.Equal(t, uint64(1), next)
	for n := 1; n <= 100; n++ {
		r.Add(masterapi.EventServiceStarted, "hub", "", fmt.Sprint(n), nil)
		list, next = r.Since(uint64(n))
		require.Equal(t, []uint64{uint64(n)}, numbers(list))
		require.Equal(t, uint64(n+1), next)
	}
	list, _ = r.Since(99)
	require.Equal(t, []uint64{99, 100}, numbers(list))
	require.Equal(t, "99", list[0].Text)
	list, _ = r.Since(98)
	require.Equal(t, []uint64{98, 99, 100}, numbers(list))
	list, _ = r.Since(101)
	require.Empty(t, list)
	for _, from := range []uint64{0, 1} {
		list, _ = r.Since(from)
		require.Equal(t, masterapi.EventsMissed, list[0].Kind)
		require.Equal(t, "97", list[0].Fields[masterapi.FieldCount])
		require.Equal(t, []uint64{97, 98, 99, 100}, numbers(list))
	}
}

// A reader that waits between any two events gets all of them, without polling.
func TestChanged(t *testing.T) {
	r := events.New(0)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			from, got := uint64(0), []masterapi.Event(nil)
			for len(got) < 500 {
				list, next := r.Since(from)
				got, from = append(got, list...), next
				if len(got) < 500 {
					<-r.Changed(from)
				}
			}
			for n, e := range got {
				if e.Number != uint64(n+1) {
					t.Errorf("event %d has number %d", n+1, e.Number)
				}
			}
		})
	}
	for range 500 {
		r.Add(masterapi.EventServiceStopped, "x", "", "", nil)
	}
	wg.Wait()
}

func TestTextsAreCut(t *testing.T) {
	r := events.New(1)
	long := strings.Repeat("x", 1<<20)
	r.Add("x", "", "", long, map[string]string{"reason": long})
	list, _ := r.Since(0)
	require.Less(t, len(list[0].Text), 2000)
	require.Less(t, len(list[0].Fields["reason"]), 2000)
}

// The next master goes on where the one before ended, also when that was killed in the middle of a line.
func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log", "events.log")
	life := func(from, to int) *events.Ring {
		r := events.New(50)
		require.NoError(t, r.Keep(path))
		for n := from; n < to; n++ {
			r.Add(masterapi.EventServiceStarted, "hub", "", fmt.Sprint(n), map[string]string{"k": "v"})
		}
		require.NoError(t, r.Close(t.Context()))
		return r
	}
	life(1, 31)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("\x00\x00no event\n{\"number\":31,\"ki")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	r := life(31, 41)
	list, next := r.Since(0)
	require.Equal(t, uint64(41), next)
	require.Len(t, list, 40)
	require.Equal(t, map[string]string{"k": "v"}, list[0].Fields)
	for n, e := range list {
		require.Equal(t, uint64(n+1), e.Number)
		require.Equal(t, fmt.Sprint(n+1), e.Text)
	}
	list, _ = life(41, 101).Since(0)
	require.Len(t, list, 51)
	require.Equal(t, masterapi.EventsMissed, list[0].Kind)
	require.NoError(t, os.WriteFile(path, []byte("nothing of ours"), 0o600))
	_, next = life(1, 1).Since(0)
	require.Equal(t, uint64(1), next)
}

// Whatever stands in the file, numbers have no gap.
func FuzzKeep(f *testing.F) {
	f.Add([]byte(`{"number":7,"time":"2026-11-30T01:02:03Z","kind":"x","text":"a"}` + "\n" + `{"number":8,"kind":"y"}`))
	f.Add([]byte(`{"number":7,"kind":"x"}` + "\n" + `{"number":18446744073709551615,"kind":"y"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "events.log")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		r := events.New(10)
		require.NoError(t, r.Keep(path))
		r.Add("x", "", "", "new", nil)
		require.NoError(t, r.Close(t.Context()))
		list, next := r.Since(0)
		require.Equal(t, "new", list[len(list)-1].Text)
		require.Equal(t, next-1, list[len(list)-1].Number)
	})
}

func TestNilRemembersNothing(t *testing.T) {
	var r *events.Ring
	r.Add("x", "", "", "", nil)
	list, _ := r.Since(0)
	require.Empty(t, list)
	require.Nil(t, r.Changed(0))
}
