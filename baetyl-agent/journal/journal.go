// Package journal keeps the updates that the cloud asked for, from the event to the report of their end, on disk.
//
//	event ─► Add ─► waiting ─► Next ─► Step, Step … final ─► Cleaned ─► Reported ─► gone (its trace is remembered)
//
// It promises that each method has its effect on stable storage when it returns, that a trace is taken once, that a job leaves
// only when all its steps have been reported, and that there are at most Max jobs.
//
// It does not know what an update is.
package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// Max is the number of jobs that are kept. With so many, Add waits: the cloud's broker holds the rest.
const Max = 16

const (
	maxRecent = 256     // traces of jobs that are gone
	maxSteps  = 64      // of a job; a real update has less than ten
	maxError  = 2 << 10 // bytes of an error text
)

// Job is one update.
type Job struct {
	OTA   cloud.OTA        `json:"ota"`
	Steps []cloud.Progress `json:"steps"`           // oldest first; the first one is RECEIVED
	Seen  int              `json:"seen,omitempty"`  // steps that are from the master's log
	Clean bool             `json:"clean,omitempty"` // old volumes are still to be removed
	App   App              `json:"app"`             // what was handed over
}

// App is an application that the master was asked to run.
type App struct {
	Version string   `json:"version"`
	Volumes []string `json:"volumes"` // paths as the master takes them
}

// Done tells whether the update has ended.
func (j Job) Done() bool { return len(j.Steps) > 0 && masterapi.Final(j.Steps[len(j.Steps)-1].Step) }

// Journal is the jobs. Its methods may be called from any goroutine.
type Journal struct {
	path    string
	lock    *os.File
	log     log.Logger
	changed chan struct{} // holds one: a step that nobody has reported; more say nothing new

	mu    sync.Mutex
	state state
	wake  chan struct{} // closed and replaced at each change of state
}

// state is the content of the file.
type state struct {
	Jobs   []Job    `json:"jobs"`   // in the order of Add
	Recent []string `json:"recent"` // traces of jobs that are gone, oldest first
}

// Open reads the journal in dir, which is created. Two agents on one folder would do everything twice: the second one waits
// until the first has ended.
func Open(ctx context.Context, dir string, l log.Logger) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := locked(ctx, filepath.Join(dir, "lock"), l)
	if err != nil {
		return nil, err
	}
	j := &Journal{path: filepath.Join(dir, "jobs.json"), lock: lock, log: l, changed: make(chan struct{}, 1), wake: make(chan struct{})}
	if err := file.Tidy(j.path); err != nil {
		_ = lock.Close()
		return nil, err
	}
	data, err := os.ReadFile(j.path)
	if err == nil {
		err = json.Unmarshal(data, &j.state)
	}
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
	case data == nil:
		_ = lock.Close()
		return nil, err
	default: // written atomically, so this is not a crash; without a beginning there would be no agent at all
		l.WithError(err).Errorf("journal of updates is damaged and begins anew")
		j.state = state{}
	}
	j.state.Jobs = slices.DeleteFunc(j.state.Jobs, func(job Job) bool { return job.OTA.Check() != nil })
	return j, nil
}

// Close gives the folder back.
func (j *Journal) Close() error { return j.lock.Close() }

// Changed delivers when there are steps that were not reported yet.
func (j *Journal) Changed() <-chan struct{} { return j.changed }

// Add takes an update. When it returns without an error the update will be carried out, or was taken before (added is false).
func (j *Journal) Add(ctx context.Context, o cloud.OTA, now time.Time) (added bool, err error) {
	err = j.when(ctx, func(s *state) (ready, dirty bool) {
		if slices.Contains(s.Recent, o.Trace) || s.find(o.Trace) != nil {
			return true, false
		}
		if len(s.Jobs) >= Max {
			return false, false
		}
		added = true
		s.Jobs = append(s.Jobs, Job{OTA: o, Steps: []cloud.Progress{{Time: now.UTC(), Step: masterapi.StepReceived, Trace: o.Trace}}})
		return true, true
	})
	if err != nil || !added {
		return false, err
	}
	j.tell()
	return true, nil
}

func (j *Journal) tell() {
	select {
	case j.changed <- struct{}{}:
	default:
	}
}

// Next returns the oldest job that has something left to do, and waits until there is one.
func (j *Journal) Next(ctx context.Context) (job Job, err error) {
	err = j.when(ctx, func(s *state) (ready, dirty bool) {
		for _, job = range s.Jobs {
			if !job.Done() || job.Clean {
				job.Steps = slices.Clone(job.Steps)
				return true, false
			}
		}
		return false, false
	})
	return job, err
}

// Step adds steps to a job that has not ended. seen is the number of steps that are from the master's log, now; clean says that
// old volumes are to be removed, which Cleaned takes back.
func (j *Journal) Step(trace string, seen int, clean bool, steps ...cloud.Progress) error {
	err := j.change(trace, func(job *Job) {
		if job.Done() {
			return
		}
		for _, s := range steps {
			if len(s.Error) > maxError {
				s.Error = s.Error[:maxError] + "…"
			}
			if len(job.Steps) < maxSteps || masterapi.Final(s.Step) {
				job.Steps = append(job.Steps, s)
			}
		}
		job.Seen, job.Clean = seen, clean
	})
	if err == nil {
		j.tell()
	}
	return err
}

// HandOver notes the application that the master is about to be asked for.
func (j *Journal) HandOver(trace string, a App) error {
	return j.change(trace, func(job *Job) { job.App = a })
}

// Cleaned notes that old volumes are removed.
func (j *Journal) Cleaned(trace string) error {
	return j.change(trace, func(job *Job) { job.Clean = false })
}

// Jobs returns all jobs.
func (j *Journal) Jobs() []Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := slices.Clone(j.state.Jobs)
	for i := range out {
		out[i].Steps = slices.Clone(out[i].Steps)
	}
	return out
}

// Reported notes that the cloud has the steps of jobs, as Jobs gave them. Those that have ended with these steps leave.
func (j *Journal) Reported(jobs []Job) error {
	return j.when(context.Background(), func(s *state) (ready, dirty bool) {
		for _, r := range jobs {
			if job := s.find(r.OTA.Trace); job != nil && job.Done() && !job.Clean && len(job.Steps) == len(r.Steps) {
				s.Jobs = slices.DeleteFunc(s.Jobs, func(j Job) bool { return j.OTA.Trace == r.OTA.Trace })
				s.Recent = append(s.Recent, r.OTA.Trace)
				s.Recent = s.Recent[max(0, len(s.Recent)-maxRecent):]
				dirty = true
			}
		}
		return true, dirty
	})
}

// change applies f to the job of trace, if there is one.
func (j *Journal) change(trace string, f func(*Job)) error {
	return j.when(context.Background(), func(s *state) (ready, dirty bool) {
		job := s.find(trace)
		if job != nil {
			f(job)
		}
		return true, job != nil
	})
}

// when calls f now and after each change until it is ready, and writes what it changed. If that fails, nothing has changed.
func (j *Journal) when(ctx context.Context, f func(*state) (ready, dirty bool)) error {
	for {
		j.mu.Lock()
		next := j.state.clone()
		ready, dirty := f(&next)
		wake := j.wake
		var err error
		if dirty {
			if err = j.save(next); err == nil {
				j.state = next
				close(j.wake)
				j.wake = make(chan struct{})
			}
		}
		j.mu.Unlock()
		switch {
		case err != nil:
			return err
		case ready:
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (j *Journal) save(s state) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = file.WriteAtomic(j.path, data, 0o600) // URLs of packages may hold secrets
	}
	if err != nil {
		return fmt.Errorf("write journal of updates: %w", err)
	}
	return nil
}

func (s *state) find(trace string) *Job {
	for i := range s.Jobs {
		if s.Jobs[i].OTA.Trace == trace {
			return &s.Jobs[i]
		}
	}
	return nil
}

func (s state) clone() state {
	s.Jobs, s.Recent = slices.Clone(s.Jobs), slices.Clone(s.Recent)
	for i := range s.Jobs {
		s.Jobs[i].Steps = slices.Clone(s.Jobs[i].Steps)
	}
	return s
}
