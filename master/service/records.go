package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// Record is what a later master needs to go on with an instance. A master of the version before knows the keys of
// engine.Record, and ends by them what it finds.
type Record struct {
	engine.Record
	// Digest is that of the service's definition (engine.Service.Digest). It is empty in a record of a version that
	// adopted nothing; such an instance is ended.
	Digest  string            `json:"digest,omitempty"`
	Token   string            `json:"token,omitempty"` // of the service
	Dynamic bool              `json:"dynamic,omitempty"`
	Vars    map[string]string `json:"vars,omitempty"`   // of the request of a dynamic start
	Caller  string            `json:"caller,omitempty"` // service that has made it; empty: a person

	// Stopping is of a dynamic instance that somebody has asked to stop, or whose caller went away during the start:
	// nobody asks again when the master is killed meanwhile.
	Stopping bool `json:"stopping,omitempty"`

	Status   string     `json:"status,omitempty"`   // masterapi.Status…; starting: perhaps nothing of it is there
	Began    *time.Time `json:"began,omitempty"`    // of the current or last run
	Next     *time.Time `json:"next,omitempty"`     // start that is waited for
	Restarts int        `json:"restarts,omitempty"` // since the service was started
	Failures int        `json:"failures,omitempty"` // restarts without a healthy run between them
	Error    string     `json:"error,omitempty"`    // how the last run ended

	Health *masterapi.Health `json:"health,omitempty"` // of what runs, when its status was another one last
	Doomed string            `json:"doomed,omitempty"` // why what runs is being ended: its probes have failed
}

func (r Record) key() string { return r.Service + "\x00" + r.Instance }

// Records is the file that tells a later master what this one runs. It holds the tokens of services and the variables
// of dynamic instances; its mode is 0600. It lies in a folder that no volume should contain: a process that can write
// it decides what the next master ends and adopts.
type Records struct {
	file state.File[[]Record]

	frozen atomic.Bool

	// writing holds a value while the file is changed, and guards what follows. A disk that hangs holds up those that
	// write, and freeze for a limited time.
	writing chan struct{}
	all     map[string]Record
}

// errLeft is returned by put and remove when another master goes on with the file.
var errLeft = errors.New("the master leaves its instances to the next one")

// NewRecords returns the records in the file at path of disk, by default that of this machine. It reads nothing. What
// is wrong with the file is logged to l.
func NewRecords(path string, disk file.Disk, l log.Logger) *Records {
	return &Records{all: map[string]Record{}, writing: make(chan struct{}, 1), file: state.File[[]Record]{
		Path:    path,
		What:    "list of running instances",
		Then:    "instances of an earlier master may still run",
		Version: 1,
		Disk:    disk,
		Log:     l,
	}}
}

// Left reads what an earlier master wrote, which stays in the file until Reset. Errors: state.ErrDamaged when the file
// has been moved aside, state.ErrNewer; after any other one it may be called again.
func (r *Records) Left() ([]Record, error) {
	left, err := r.file.Load()
	if tidy := r.file.Tidy(); tidy != nil {
		r.file.Log.WithError(tidy).Warnf("what an interrupted write has left stays; the next start tries again")
	}
	// A master from before the file had a version takes its first line for a record, and writes that again.
	left = slices.DeleteFunc(left, func(rec Record) bool { return rec.Engine == "" })
	r.writing <- struct{}{}
	defer func() { <-r.writing }()
	for _, rec := range left {
		r.all[rec.key()] = rec
	}
	return left, err
}

// put writes the record of an instance, in place of the one before. errLeft: freeze was called.
func (r *Records) put(rec Record) error {
	return r.change(func() { r.all[rec.key()] = rec })
}

func (r *Records) remove(rec Record) error {
	return r.change(func() { delete(r.all, rec.key()) })
}

// Reset forgets what an earlier master wrote, after it has been dealt with; keep stays.
func (r *Records) Reset(keep []Record) error {
	return r.change(func() {
		r.all = map[string]Record{}
		for _, rec := range keep {
			r.all[rec.key()] = rec
		}
	})
}

// freeze ends the writing: from here on the file is the next master's. It waits for a write that goes on until ctx
// ends; one that hangs for longer ends with this process, before there is a next master.
func (r *Records) freeze(ctx context.Context) {
	r.frozen.Store(true)
	select {
	case r.writing <- struct{}{}:
		<-r.writing
	case <-ctx.Done():
	}
}

func (r *Records) isFrozen() bool { return r.frozen.Load() }

// change replaces the file; without records there is none.
func (r *Records) change(do func()) error {
	r.writing <- struct{}{}
	defer func() { <-r.writing }()
	if r.frozen.Load() {
		return errLeft
	}
	do()
	if len(r.all) == 0 {
		return r.file.Remove()
	}
	if err := r.file.Save(slices.Collect(maps.Values(r.all))); err != nil {
		return fmt.Errorf("record instances: %w", err)
	}
	return nil
}
