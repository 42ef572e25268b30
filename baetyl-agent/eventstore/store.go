// Package eventstore keeps the updates that the cloud asked for on disk, from the event until the cloud knows their
// end. Each is a job with these states:
//
//	event ─Add─► waiting ─Step─► running ─final Step─► done, to be cleaned ─Cleaned─► done ─Reported─► removed
//	                                          └─────── nothing to clean ─────────────────┘
//
// It promises that each method has its effect on stable storage when it returns without an error, that a trace is
// added once (the traces of removed jobs are remembered), that a job is removed only when all its steps have been
// reported, and that there are at most Max jobs.
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

// Max is the number of jobs that are kept. When there are so many, Add waits, and the cloud's broker keeps the rest.
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
	changed chan struct{} // holds one signal: there are steps to report

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

// Open reads the store. It locks the folder, since two agents would carry out everything twice: it waits until no other
// process has the lock, or ctx ends. A damaged file is put aside and logged, and the store starts empty.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	disk := cfg.Disk.Or()
	if err := disk.MakeDir(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := disk.SyncDir(filepath.Dir(cfg.Dir)); err != nil { // an agent that was killed may have made Dir without that
		return nil, err
	}
	lock, err := locked(ctx, filepath.Join(cfg.Dir, "lock"), cfg.Log)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock, changed: make(chan struct{}, 1), wake: make(chan struct{}), file: state.File[content]{
		Path:    filepath.Join(cfg.Dir, "jobs.json"),
		What:    "record of updates",
		Then:    "updates that were under way are forgotten",
		Version: 1,
		Perm:    0o600, // URLs of packages may hold secrets
		Disk:    disk,
		Log:     cfg.Log,
	}}
	if err := s.load(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return s, nil
}

// load reads the file. A damaged one does not keep the agent from starting.
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

// Close releases the lock.
func (s *Store) Close() error { return s.lock.Close() }

// Changed returns a channel that receives when jobs have got new steps. One goroutine reads it.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Add stores an update. After a return without an error the update is on disk and will be carried out; added is false
// if a job of that trace was added before. While there are Max jobs it waits until one is removed, or ctx ends.
func (s *Store) Add(ctx context.Context, o cloud.OTA, now time.Time) (added bool, err error) {
	err = s.when(ctx, func(c *content) (ready, dirty bool) {
		if slices.Contains(c.Recent, o.Trace) || c.find(o.Trace) != nil {
			return true, false
		}
		if len(c.Jobs) >= Max {
			return false, false
		}
		added = true
		received := cloud.Progress{Time: now.UTC(), Step: masterapi.StepReceived, Trace: o.Trace}
		c.Jobs = append(c.Jobs, Job{OTA: o, Steps: []cloud.Progress{received}})
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

// Next returns the oldest job that is not done or not cleaned up. It waits until there is one, or ctx ends.
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

// Step adds steps to a job that is not done; it changes nothing if the job is done or removed. seen is the number of
// steps that the job has from the master's log now; clean says that old volumes are to be removed, until Cleaned.
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

// HandOver stores the application that the master will be asked to run.
func (s *Store) HandOver(trace string, a App) error {
	return s.change(trace, func(job *Job) { job.App = a })
}

// Cleaned stores that the old volumes are removed.
func (s *Store) Cleaned(trace string) error {
	return s.change(trace, func(job *Job) { job.Clean = false })
}

// Jobs returns all jobs, oldest first.
func (s *Store) Jobs() []Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.now.Jobs)
	for i := range out {
		out[i].Steps = slices.Clone(out[i].Steps)
	}
	return out
}

// Reported tells that the cloud has the steps of jobs, as Jobs returned them. It removes those that
// are done with these steps and need no cleaning.
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

// when calls f now and after each change until f is ready, and writes the content if f made it dirty. If writing fails,
// nothing has changed.
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
