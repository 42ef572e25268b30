package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

var (
	bg  = context.Background()
	now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func ota(trace string) cloud.OTA {
	return cloud.OTA{Type: "APP", Trace: trace, Volume: cloud.Volume{Name: "v", Path: "var/db/baetyl/v/" + trace,
		Meta: app.VolumeMeta{URL: "http://c/v", MD5: "1B2M2Y8AsgTpgAmY7PhCfg=="}}}
}

func open(t *testing.T, dir string) *eventstore.Store {
	s, err := eventstore.Open(bg, eventstore.Config{Dir: dir, Log: log.Discard()})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func add(t *testing.T, s *eventstore.Store, trace string) bool {
	added, err := s.Add(bg, ota(trace), now)
	require.NoError(t, err)
	return added
}

func finish(t *testing.T, s *eventstore.Store, trace string) {
	require.NoError(t, s.Step(trace, 1, false, cloud.Progress{Step: masterapi.StepUpdated, Trace: trace}))
}

// Each method's effect is there for the next process.
func TestEverythingSurvives(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	again := func() {
		s.Close()
		s = open(t, dir)
	}
	require.True(t, add(t, s, "a"))
	require.True(t, add(t, s, "b"))
	again()
	require.False(t, add(t, s, "a"))
	job, err := s.Next(bg)
	require.NoError(t, err)
	received := cloud.Progress{Time: now, Step: "RECEIVED", Trace: "a"}
	require.Equal(t, eventstore.Job{OTA: ota("a"), Steps: []cloud.Progress{received}}, job)
	require.NoError(t, s.HandOver("a", eventstore.App{Version: "v1", Volumes: []string{"x"}}))
	updating, updated := cloud.Progress{Step: "UPDATING", Trace: "a"}, cloud.Progress{Step: "UPDATED", Trace: "a"}
	require.NoError(t, s.Step("a", 2, true, updating, updated))
	again()
	job, err = s.Next(bg)
	require.NoError(t, err)
	require.True(t, job.Done() && job.Clean, "a job is there until its old volumes are removed")
	require.Equal(t, eventstore.App{Version: "v1", Volumes: []string{"x"}}, job.App)
	require.Equal(t, 2, job.Seen)
	require.NoError(t, s.Reported(s.Jobs()))
	again()
	require.Len(t, s.Jobs(), 2)
	require.NoError(t, s.Cleaned("a"))
	again()
	job, err = s.Next(bg)
	require.NoError(t, err)
	require.Equal(t, "b", job.OTA.Trace)
	require.NoError(t, s.Reported(s.Jobs()))
	again()
	require.Len(t, s.Jobs(), 1, "a is reported")
	require.False(t, add(t, s, "a"), "and known")
	st, err := os.Stat(filepath.Join(dir, "jobs.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode(), "URLs may hold secrets")
}

// A step that came while a report was on its way is in the next one.
func TestOnlyWhatWasInTheReportIsReported(t *testing.T) {
	s := open(t, t.TempDir())
	add(t, s, "a")
	before := s.Jobs()
	finish(t, s, "a")
	require.NoError(t, s.Reported(before))
	require.Len(t, s.Jobs(), 1)
	require.NoError(t, s.Reported(s.Jobs()))
	require.Empty(t, s.Jobs())
	require.NoError(t, s.Reported(before))
	require.NoError(t, s.Step("a", 1, false), "of a job that is gone")
}

func TestAFullStoreWaits(t *testing.T) {
	s := open(t, t.TempDir())
	for i := range eventstore.Max {
		require.True(t, add(t, s, fmt.Sprint(i)))
	}
	require.False(t, add(t, s, "3"), "a known trace needs no room")
	ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
	defer cancel()
	_, err := s.Add(ctx, ota("more"), now)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	done := make(chan error, 1)
	go func() { _, err := s.Add(bg, ota("more"), now); done <- err }()
	finish(t, s, "0")
	require.NoError(t, s.Reported(s.Jobs()))
	require.NoError(t, <-done)
	require.Len(t, s.Jobs(), eventstore.Max)
}

func TestNextWaits(t *testing.T) {
	s := open(t, t.TempDir())
	got := make(chan eventstore.Job)
	go func() { job, _ := s.Next(bg); got <- job }()
	add(t, s, "a")
	require.Equal(t, "a", (<-got).OTA.Trace)
	finish(t, s, "a")
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err := s.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestJobsAreBounded(t *testing.T) {
	s := open(t, t.TempDir())
	add(t, s, "a")
	for range 100 {
		require.NoError(t, s.Step("a", 1, false, cloud.Progress{Step: "UPDATING", Error: strings.Repeat("x", 10000)}))
	}
	finish(t, s, "a")
	finish(t, s, "a")
	steps := s.Jobs()[0].Steps
	require.Len(t, steps, 65)
	require.Equal(t, "UPDATED", steps[64].Step, "the end is never left out")
	require.Less(t, len(steps[1].Error), 2100)
	for i := range 300 {
		trace := fmt.Sprint("t", i)
		require.NoError(t, s.Reported(s.Jobs()))
		add(t, s, trace)
		finish(t, s, trace)
	}
	require.NoError(t, s.Reported(s.Jobs()))
	require.False(t, add(t, s, "t299"))
	require.True(t, add(t, s, "t1"), "long ago")
}

func TestDamagedStoreBeginsAnew(t *testing.T) {
	for _, text := range []string{
		"", "{", "[]", `{"jobs":[{"ota":{"type":"APP","trace":"x","volume":{"path":"/etc"}}}]}`,
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "jobs.json"), []byte(text), 0o600))
		s := open(t, dir)
		require.Empty(t, s.Jobs())
		require.True(t, add(t, s, "x"))
	}
}

// Files of older versions, which have no first line with version and checksum, are read.
func TestFilesOfOlderVersions(t *testing.T) {
	data, err := os.ReadFile("testdata/jobs-v0.json")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "jobs.json"), data, 0o600))
	s := open(t, dir)
	step := func(trace, name, failure string) cloud.Progress {
		return cloud.Progress{Time: now, Step: name, Trace: trace, Error: failure}
	}
	want := []eventstore.Job{
		{
			OTA:   ota("a"),
			Steps: []cloud.Progress{step("a", "RECEIVED", ""), step("a", "UPDATING", ""), step("a", "UPDATED", "e")},
			Seen:  2,
			Clean: true,
			App:   eventstore.App{Version: "v1", Volumes: []string{"var/db/baetyl/a/v1", "var/db/baetyl/hub/v1"}},
		},
		{OTA: ota("b"), Steps: []cloud.Progress{step("b", "RECEIVED", "")}},
	}
	require.Equal(t, want, s.Jobs())
	require.False(t, add(t, s, "gone"), "its trace is known")
	require.NoError(t, s.HandOver("b", eventstore.App{Version: "v2"}))
	want[1].App.Version = "v2"
	s.Close()
	require.Equal(t, want, open(t, dir).Jobs(), "also when it was written again")
}

// Two agents on one folder: the second one waits for the end of the first.
func TestOneAgentAtATime(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	var text bytes.Buffer
	ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
	defer cancel()
	_, err := eventstore.Open(ctx, eventstore.Config{Dir: dir, Log: log.NewTo(&text, log.Config{})})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Contains(t, text.String(), "another agent works in "+dir)
	done := make(chan error, 1)
	go func() { _, err := eventstore.Open(bg, eventstore.Config{Dir: dir, Log: log.Discard()}); done <- err }()
	first.Close()
	require.NoError(t, <-done)
}

// With any content of the file the store opens, and has valid updates only.
func FuzzStore(f *testing.F) {
	f.Add(`{"jobs":[{"ota":{"type":"APP","trace":"x","volume":{"name":"v","path":"var/db/baetyl/v",
		"meta":{"url":"http://c/v","md5":"1B2M2Y8AsgTpgAmY7PhCfg=="}}},"steps":[]}]}`)
	f.Add(`{"jobs":[{"steps":[{"step":"UPDATED"}]}],"recent":["a"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "jobs.json"), []byte(text), 0o600))
		s, err := eventstore.Open(bg, eventstore.Config{Dir: dir, Log: log.Discard()})
		if errors.Is(err, state.ErrNewer) {
			return
		}
		require.NoError(t, err)
		defer s.Close()
		for _, job := range s.Jobs() {
			require.NoError(t, job.OTA.Check())
			require.NoError(t, s.Step(job.OTA.Trace, 1, false, cloud.Progress{Step: masterapi.StepUpdated}))
		}
		require.NoError(t, s.Reported(s.Jobs()))
	})
}
