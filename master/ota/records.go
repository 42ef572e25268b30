// Package ota keeps what an update must not forget when the master is killed, and changes the master's own binary.
//
//	accept ─► Begin: UPDATING in the log, record ─► … Step … ─► End: one final line in the log, record removed
//	                       │ killed anywhere                                ▲
//	                       └─► next start: Pending ─► master/update ────────┘
//
//	<program>  ── stays what it is until the candidate has proved itself ──►  one rename: <program>.new becomes <program>
//
// It promises that every update which Begin accepted gets exactly one final line, that the log is written by the
// master alone, and that <program> is a whole, working binary at any moment. It knows nothing of applications and
// services, and not what a start does with what it finds.
package ota

import (
	"errors"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// Update is an update that has been accepted and has not ended: the content of the record.
type Update struct {
	Type   string `json:"type"`             // masterapi.UpdateApp or UpdateMaster
	Trace  string `json:"trace"`            // of the request
	SHA256 string `json:"sha256"`           // of the candidate: application.yml or binary
	Starts int    `json:"starts,omitempty"` // of a candidate binary, without a commit
	// Same: the application.yml is the one in place already, and only images can be new
	Same   bool   `json:"same,omitempty"`
	Failed string `json:"failed,omitempty"` // why it was given up; the previous version is put back

	// For the history: when it was accepted, for whom, what its application is called, and the number of the application
	// that it brings back
	Began   time.Time    `json:"began,omitzero"`
	By      masterapi.By `json:"by,omitzero"`
	Version string       `json:"version,omitempty"`
	Revert  int          `json:"revert,omitempty"`
}

// Records are the record of the update that has not ended, and the log of its steps. They belong to one process at a
// time; the methods may be called from any goroutine.
type Records struct {
	record state.File[Update]
	log    otaLog

	mu      sync.Mutex // guards the files and what follows
	damaged string     // why the record that was moved aside cannot be read
}

// NewRecords returns the records in these files of disk, by default that of this machine. It opens nothing. What is
// wrong with a file is logged to l. written is told each line of the log; nil: nobody is.
func NewRecords(
	record, otalog string, disk file.Disk, l log.Logger, written func(masterapi.OTARecord),
) *Records {
	disk = disk.Or()
	return &Records{log: otaLog{otalog, disk, written}, record: state.File[Update]{
		Path:    record,
		What:    "record of the update",
		Then:    "an update that had not ended counts as failed",
		Version: 1,
		Disk:    disk,
		Log:     l,
	}}
}

// Pending returns the update that has not ended, nil when there is none. One without SHA256 was killed before the
// record was written and has touched nothing. A damaged record is moved aside; its update has failed.
func (r *Records) Pending() (*Update, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u, err := r.record.Load()
	switch {
	case errors.Is(err, state.ErrDamaged):
		r.damaged = err.Error()
		return r.open()
	case err != nil:
		return nil, err
	case u == Update{}:
		return r.open()
	}
	return &u, nil
}

// Tidy removes temporary files of interrupted writes. Only the process that holds the lock of the directory may call
// it.
func (r *Records) Tidy() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.record.Tidy(), r.log.tidy())
}

// open returns the update that has no final line in the log, for which there is no record.
func (r *Records) open() (*Update, error) {
	last, err := r.log.last()
	if last == nil || err != nil || masterapi.Final(last.Step) {
		return nil, err
	}
	return &Update{Type: last.Type, Trace: last.Trace, Failed: r.damaged}, nil
}

// Ended tells whether u has ended, though its record is there: final is its final line in the log, or nil when the log
// goes on with a later update.
func (r *Records) Ended(u Update) (ended bool, final *masterapi.OTARecord, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, err := r.log.last()
	if last == nil || err != nil {
		return false, nil, err
	}
	switch same := last.Type == u.Type && last.Trace == u.Trace; {
	case same && masterapi.Final(last.Step):
		return true, last, nil
	case !same && !masterapi.Final(last.Step):
		return true, nil, nil
	}
	return false, nil, nil
}

// Begin accepts u: after it the update ends with a final line, whatever happens.
func (r *Records) Begin(u Update) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The log first: at the next start a line that is not final and has no record is an update that touched nothing.
	if err := r.log.begin(entry(u, masterapi.StepUpdating, "update accepted", nil)); err != nil {
		return err
	}
	r.damaged = ""
	if err := r.record.Save(u); err != nil {
		return errors.Join(err, r.log.append(entry(u, masterapi.StepFailure, "update not started", err)), r.record.Remove())
	}
	fault.At("accepted")
	return nil
}

// Save replaces what the record says of the pending update.
func (r *Records) Save(u Update) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record.Save(u)
}

// Step logs where u is.
func (r *Records) Step(u Update, step, msg string, cause error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.append(entry(u, step, msg, cause))
}

// End logs the final step of u, unless the log ends with one, and forgets the update.
func (r *Records) End(u Update, step, msg string, cause error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, err := r.log.last()
	if err != nil {
		return err
	}
	if last == nil || !masterapi.Final(last.Step) {
		if err := r.log.append(entry(u, step, msg, cause)); err != nil {
			return err
		}
	}
	fault.At("recorded")
	return r.record.Remove()
}

// Forget removes the record of an update that has ended.
func (r *Records) Forget() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record.Remove()
}
