// Package eventstore keeps the updates that the cloud asked for, from the event to the report of their end, on disk.
//
//	event ─► Add ─► waiting ─► Next ─► Step, Step … final ─► Cleaned ─► Reported ─► gone (its trace is remembered)
//
// It promises that each method has its effect on stable storage when it returns, that a trace is taken once, that a
// job leaves only when all its steps have been reported, and that there are at most Max jobs.
//
// It does not know what an update is.
package eventstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// Max is the number of jobs that are kept. With so many, Add waits: the cloud's broker holds the rest.
const Max = 16

const (
	maxRecent = 256     // traces of jobs that are gone
	maxSteps  = 64      // of a job; a real update has less than ten
	maxError  = 2 << 10 // bytes of an error text
)

// Store is the jobs. Its methods may be called from any goroutine.
type Store struct {
	file    state.File[content]
	lock    *os.File
	changed chan struct{} // holds one: a step that nobody has reported; more say nothing new

	mu   sync.Mutex
	now  content
	wake chan struct{} // closed and replaced at each change of now
}

// Config is what a Store needs.
type Config struct {
	Dir  string    // of its files; created
	Disk file.Disk // where Dir lies; zero: file.OS
	Log  log.Logger
}

// Open reads the store. Two agents on one folder would do everything twice: the second one waits until the first has
// ended, or ctx.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	disk := cfg.Disk.Or()
	if err := disk.MakeDir(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := disk.SyncDir(filepath.Dir(cfg.Dir)); err != nil { // who made Dir may have been killed before it did that
		return nil, err
	}
	lock, err := locked(ctx, filepath.Join(cfg.Dir, "lock"), cfg.Log)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock, changed: make(chan struct{}, 1), wake: make(chan struct{}), file: state.File[content]{
		Path: filepath.Join(
			cfg.Dir,
			"jobs.json",
		),
		What:    "record of updates",
		Then:    "updates that were under way are forgotten",
		Version: 1,
		Perm:    0o600,
		Disk:    disk,
		Log:     cfg.Log, // URLs of packages may hold secrets
	}}
	if err := s.load(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return s, nil
}

// load reads the file. Without a beginning after damage there would be no agent at all.
func (s *Store) load() (err error) {
	if err := s.file.Disk.Tidy(s.file.Path); err != nil {
		return err
	}
	if s.now, err = s.file.Load(); err != nil && !errors.Is(err, state.ErrDamaged) {
		return err
	}
	s.now.Jobs = slices.DeleteFunc(s.now.Jobs, func(job Job) bool { return job.OTA.Check() != nil })
	return nil
}

// Close gives the folder back.
func (s *Store) Close() error { return s.lock.Close() }

// Changed delivers when there are steps that were not reported yet.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Add takes an update. When it returns without an error the update will be carried out, or was taken before (added is
// false).
func (s *Store) Add(ctx context.Context, o cloud.OTA, now time.Time) (added bool, err error) {
	err = s.when(ctx, func(c *content) (ready, dirty bool) {
		if slices.Contains(c.Recent, o.Trace) || c.find(o.Trace) != nil {
			return true, false
		}
		if len(c.Jobs) >= Max {
			return false, false
		}
		added = true
		c.Jobs = append(
			c.Jobs,
			Job{OTA: o, Steps: []cloud.Progress{{Time: now.UTC(), Step: masterapi.StepReceived, Trace: o.Trace}}},
		)
		return true, true
	})
	if err != nil || !added {
		return false, err
	}
	s.tell()
	return true, nil
}

func (s *Store) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Next returns the oldest job that has something left to do, and waits until there is one.
func (s *Store) Next(ctx context.Context) (job Job, err error) {
	err = s.when(ctx, func(c *content) (ready, dirty bool) {
		for _, job = range c.Jobs {
			if !job.Done() || job.Clean {
				job.Steps = slices.Clone(job.Steps)
				return true, false
			}
		}
		return false, false
	})
	return job, err
}

// Step adds steps to a job that has not ended. seen is the number of steps that are from the master's log, now; clean
// says that old volumes are to be removed, which Cleaned takes back.
func (s *Store) Step(trace string, seen int, clean bool, steps ...cloud.Progress) error {
	err := s.change(trace, func(job *Job) {
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
		s.tell()
	}
	return err
}

// HandOver notes the application that the master is about to be asked for.
func (s *Store) HandOver(trace string, a App) error {
	return s.change(trace, func(job *Job) { job.App = a })
}

// Cleaned notes that old volumes are removed.
func (s *Store) Cleaned(trace string) error {
	return s.change(trace, func(job *Job) { job.Clean = false })
}

// Jobs returns all jobs.
func (s *Store) Jobs() []Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.now.Jobs)
	for i := range out {
		out[i].Steps = slices.Clone(out[i].Steps)
	}
	return out
}

// Reported notes that the cloud has the steps of jobs, as Jobs gave them. Those that have ended with these steps leave.
func (s *Store) Reported(jobs []Job) error {
	return s.when(context.Background(), func(c *content) (ready, dirty bool) {
		for _, r := range jobs {
			if job := c.find(r.OTA.Trace); job != nil && job.Done() && !job.Clean && len(job.Steps) == len(r.Steps) {
				c.Jobs = slices.DeleteFunc(c.Jobs, func(gone Job) bool { return gone.OTA.Trace == r.OTA.Trace })
				c.Recent = append(c.Recent, r.OTA.Trace)
				c.Recent = c.Recent[max(0, len(c.Recent)-maxRecent):]
				dirty = true
			}
		}
		return true, dirty
	})
}

// change applies f to the job of trace, if there is one.
func (s *Store) change(trace string, f func(*Job)) error {
	return s.when(context.Background(), func(c *content) (ready, dirty bool) {
		job := c.find(trace)
		if job != nil {
			f(job)
		}
		return true, job != nil
	})
}

// when calls f now and after each change until it is ready, and writes what it changed. If that fails, nothing has
// changed.
func (s *Store) when(ctx context.Context, f func(*content) (ready, dirty bool)) error {
	for {
		s.mu.Lock()
		next := s.now.clone()
		ready, dirty := f(&next)
		wake := s.wake
		var err error
		if dirty {
			if err = s.file.Save(next); err == nil {
				s.now = next
				close(s.wake)
				s.wake = make(chan struct{})
			}
		}
		s.mu.Unlock()
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
