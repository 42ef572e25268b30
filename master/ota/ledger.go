// Package ota keeps what an update must not forget when the master is killed, and changes the master's own binary.
//
//	accept ─► Begin: UPDATING in the log, journal ─► … Step … ─► End: one final record in the log, journal removed
//	                       │ killed anywhere                                  ▲
//	                       └─► next boot: Pending ─► look at the files ───────┘
//
//	<program>  ── stays what it is until the candidate has proved itself ──►  one rename: <program>.new becomes <program>
//
// It promises that every update which Begin accepted gets exactly one final record, that the log is written by the master alone,
// and that <program> is a whole, working binary at any moment. It knows nothing of applications and services.
package ota

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
)

// Update is an update that has been accepted and has not ended: the content of the journal.
type Update struct {
	Type   string `json:"type"`             // masterapi.UpdateApp or UpdateMaster
	Trace  string `json:"trace"`            // of the request
	SHA256 string `json:"sha256"`           // of the candidate: application.yml or binary
	Starts int    `json:"starts,omitempty"` // of a candidate binary, without a commit
	Failed string `json:"failed,omitempty"` // why it was given up; what was before is put back
}

// Ledger is the journal and the log of updates. It belongs to one process at a time; its methods may be called from any goroutine.
type Ledger struct {
	journal string
	log     otaLog

	mu sync.Mutex // guards the files
}

// NewLedger returns the ledger with these files. It opens nothing.
func NewLedger(journal, log string) *Ledger { return &Ledger{journal: journal, log: otaLog{log}} }

// Pending returns the update that has not ended, nil when there is none. One without SHA256 was killed before the journal was
// written and has touched nothing. A journal that cannot be read, which was damaged after it had been written, is moved aside; its
// update has failed.
func (l *Ledger) Pending() (*Update, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	data, err := os.ReadFile(l.journal)
	if errors.Is(err, fs.ErrNotExist) {
		return l.open("")
	}
	if err != nil {
		return nil, fmt.Errorf("read journal of the update: %w", err)
	}
	u := &Update{}
	if err := json.Unmarshal(data, u); err != nil {
		if err := os.Rename(l.journal, l.journal+".damaged"); err != nil {
			return nil, fmt.Errorf("move damaged journal aside: %w", err)
		}
		return l.open("the journal of the update is damaged: " + err.Error())
	}
	return u, nil
}

// open returns the update that has no final record in the log, for which there is no journal.
func (l *Ledger) open(failed string) (*Update, error) {
	last, err := l.log.last()
	if last == nil || err != nil || masterapi.Final(last.Step) {
		return nil, err
	}
	return &Update{Type: last.Type, Trace: last.Trace, Failed: failed}, nil
}

// Begin accepts u: after it the update ends with a final record, whatever happens.
func (l *Ledger) Begin(u Update) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// The log first: at the next boot a record that is not final and has no journal is an update that touched nothing.
	if err := l.log.begin(record(u, masterapi.StepUpdating, "update accepted", nil)); err != nil {
		return err
	}
	if err := l.save(u); err != nil {
		return errors.Join(err, l.log.append(record(u, masterapi.StepFailure, "update not begun", err)))
	}
	fault.At("accepted")
	return nil
}

// Save replaces what the journal says of the pending update.
func (l *Ledger) Save(u Update) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.save(u)
}

func (l *Ledger) save(u Update) error {
	data, err := json.Marshal(u)
	if err != nil {
		return err
	}
	if err := file.WriteAtomic(l.journal, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write journal of the update: %w", err)
	}
	return nil
}

// Step records where u is.
func (l *Ledger) Step(u Update, step, msg string, cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.append(record(u, step, msg, cause))
}

// End records the final step of u, unless that has been done, and forgets the update.
func (l *Ledger) End(u Update, step, msg string, cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, err := l.log.last()
	if err != nil {
		return err
	}
	if last == nil || !masterapi.Final(last.Step) {
		if err := l.log.append(record(u, step, msg, cause)); err != nil {
			return err
		}
	}
	fault.At("recorded")
	if err := os.Remove(l.journal); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove journal of the update: %w", err)
	}
	return file.SyncDir(filepath.Dir(l.journal))
}
